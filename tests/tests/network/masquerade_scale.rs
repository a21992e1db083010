//! Many flows: ports run out for one destination alone, and a quota keeps containers from each other
//! (conformance cases 12, 13 and 14).

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::iter::repeat_n;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use tests::packet::{Ip, PROTOCOL_UDP, ip};
use tests::records::Records;
use tests::world::{
    Capture, Captured, Dial, HOST, LAN, Namespace, Object, PATIENCE, Service, Transport, World, ask_stream, eventually,
    objects, send_all,
};

use super::{address, drops_reach};

/// So many connections, kept open.
/// Ports that are published, so that another container which sends from them cannot keep them outside.
const PUBLISHED: Range<u16> = 9_000..9_080;

fn publishes(world: &World) {
    for protocol in ["tcp", "udp"] {
        let name = format!("web-{protocol}");
        world.run(&name, &["-p", &format!("9000-9079:9000-9079/{protocol}")]);
    }
}

fn open(client: &Namespace, dial: &Dial, count: usize) -> Vec<TcpStream> {
    client
        .enter(|| (0..count).map(|_| dial.open(PATIENCE)).collect::<io::Result<_>>())
        .unwrap()
}

/// Streams from the first `count` of [`PUBLISHED`].
fn open_published(client: &Namespace, dial: &Dial, count: usize) -> Vec<TcpStream> {
    let streams = PUBLISHED.map(|port| dial.from("0.0.0.0", port).open(PATIENCE));
    client.enter(|| streams.take(count).collect::<io::Result<_>>()).unwrap()
}

/// A datagram and its answer: the port that the server saw.
fn seen_port(socket: &UdpSocket) -> u16 {
    let mut buffer = [0; 200];
    let length = eventually("an answer", || {
        socket.send(b"who?").map_err(|error| error.to_string())?;
        socket.recv(&mut buffer).map_err(|error| error.to_string())
    });
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let client = text.trim_end().rsplit_once(' ').unwrap().1;
    client.parse::<SocketAddr>().unwrap().port()
}

/// Sockets at these ports; 0 for any.
fn sockets(client: &Namespace, to: SocketAddr, ports: impl Iterator<Item = u16> + Send) -> Vec<UdpSocket> {
    client.enter(|| {
        let socket = |port| {
            let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket
        };
        ports.map(socket).collect()
    })
}

#[test]
fn case_12_ports_run_out_for_one_destination_and_come_back() {
    let world = World::with_lan_and(&["--masquerade-ports", "10240-10303"]);
    world.run("one", &[]);
    publishes(&world);
    let one = world.inside("one");
    let _services = [7, 8].map(|port| Service::start(world.lan(), Transport::Tcp, port, "lan"));
    let from = |dial: Dial, port| dial.from("0.0.0.0", port);
    let (full, other) = (Dial::tcp(LAN[0], 7), from(Dial::tcp(LAN[0], 8), 9_070));
    let streams = open_published(&one, &full, 64);
    let ports: HashSet<u16> = streams
        .iter()
        .map(|stream| ask_stream(stream).unwrap().client.port())
        .collect();
    assert_eq!(ports, (10_240..10_304).collect());
    assert_eq!(world.drops("one", "bridge", "ports-exhausted"), 0);
    from(full, 9_071).unanswered(&one);
    drops_reach(&world, "one", "bridge", "ports-exhausted", 1);
    // the same ports serve another destination, and those in use go on
    other.answered(&one);
    for stream in &streams {
        assert_eq!(ask_stream(stream).unwrap().name, "lan");
    }
    drop(streams);
    from(full, 9_072).answered(&one);
}

#[test]
fn case_12_datagrams_too() {
    let world = World::with_lan_and(&["--masquerade-ports", "10240-10303"]);
    world.run("one", &[]);
    publishes(&world);
    let one = world.inside("one");
    let _services = [7, 8].map(|port| Service::start(world.lan(), Transport::Udp, port, "lan"));
    let sockets = sockets(&one, (address(LAN[0]), 7).into(), PUBLISHED.take(64));
    let ports: HashSet<u16> = sockets.iter().map(seen_port).collect();
    assert_eq!(ports, (10_240..10_304).collect());
    Dial::udp(LAN[0], 7).from("0.0.0.0", 9_070).unanswered(&one);
    drops_reach(&world, "one", "bridge", "ports-exhausted", 1);
    Dial::udp(LAN[0], 8).from("0.0.0.0", 9_071).answered(&one);
}

/// What the server sees of flows from these ports of a container, sent as frames: a process may not have
/// so many sockets.
fn seen_ports(from: &Namespace, packet: &Ip, sources: Range<u16>) -> BTreeMap<u16, u16> {
    let heard = Capture::start(from, "eth0");
    let mut seen = BTreeMap::new();
    eventually("every flow is answered", || {
        let missing = sources.clone().filter(|source| !seen.contains_key(source));
        let frames: Vec<_> = missing.take(200).map(|source| packet.udp(source, 7, b"who?")).collect();
        send_all(from, "eth0", frames.iter().map(Vec::as_slice));
        while !frames.is_empty() {
            let answers = heard.during(Duration::from_millis(20));
            if answers.is_empty() {
                break;
            }
            seen.extend(answers.iter().filter_map(answer));
        }
        if seen.len() == sources.len() {
            Ok(())
        } else {
            Err(format!("{} answers", seen.len()))
        }
    });
    seen
}

/// The container's port and the one that the server saw, of an answer of the service at port 7.
fn answer(captured: &Captured) -> Option<(u16, u16)> {
    let (is_outgoing, frame) = (captured.is_outgoing, &captured.frame);
    if is_outgoing || frame.len() < 42 || frame[23] != PROTOCOL_UDP || frame[34..36] != [0, 7] {
        return None;
    }
    let text = std::str::from_utf8(&frame[42..]).ok()?.trim_end();
    let client: SocketAddr = text.rsplit_once(' ')?.1.parse().ok()?;
    Some((u16::from_be_bytes([frame[36], frame[37]]), client.port()))
}

#[test]
fn twenty_thousand_flows_to_one_destination_at_once() {
    let world = World::with_lan();
    let _service = Service::start(world.lan(), Transport::Udp, 7, "lan");
    let gateway = super::masquerade::mac(&world.host, "docker0");
    let clients = ["one", "two"].map(|name| {
        world.run(name, &[]);
        let macs = (world.mac(name, "bridge"), gateway);
        let packet = ip(macs, world.address(name, "bridge"), address(LAN[0]));
        (world.inside(name), packet)
    });
    let round = || {
        clients
            .each_ref()
            .map(|(inside, packet)| seen_ports(inside, packet, 20_000..30_000))
    };
    let first = round();
    let ports: HashSet<u16> = first.iter().flat_map(BTreeMap::values).copied().collect();
    assert_eq!(ports.len(), 20_000, "each has its own port");
    // all of them are still there
    assert!(round() == first, "a flow lost its port");
    for name in ["one", "two"] {
        assert_eq!(world.drops(name, "bridge", "ports-exhausted"), 0);
    }
}

#[test]
fn ten_times_the_quota_of_short_flows_pass_without_the_agent() {
    let world = World::with_lan_and(&["--flow-quota", "64"]);
    world.run("web", &["-p", "8080:80"]);
    let web = world.inside("web");
    let _service = Service::start_v4(&web, Transport::Tcp, 80, "web");
    let _lan = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    world.kill_agent();
    for _ in 0..640 {
        Dial::tcp(LAN[0], 7).answered(&web);
        Dial::tcp(HOST[0], 8080).answered(world.lan());
    }
}

#[test]
fn case_14_a_flood_costs_others_nothing() {
    let world = World::with_lan_and(&["--flow-quota", "64"]);
    for name in ["bad", "good"] {
        world.run(name, &[]);
    }
    let (bad, good) = (world.inside("bad"), world.inside("good"));
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    let dial = Dial::tcp(LAN[0], 7);
    let established = open(&good, &dial, 10);
    for stream in &established {
        ask_stream(stream).unwrap();
    }
    let answered = sockets(&bad, (address(LAN[0]), 7).into(), repeat_n(0, 64));
    for _ in 0..2 {
        for socket in &answered {
            seen_port(socket);
        }
    }
    Dial::udp(LAN[0], 7).unanswered(&bad);
    drops_reach(&world, "bad", "bridge", "flow-quota", 1);
    // each datagram asks for a flow of its own
    let flood = sockets(&bad, (address(LAN[0]), 7).into(), repeat_n(0, 2000));
    for _ in 0..3 {
        for socket in &flood {
            // what is dropped is dropped in silence
            let _ = socket.send(b"who?");
        }
    }
    for stream in &established {
        assert_eq!(ask_stream(stream).unwrap().name, "lan");
    }
    for _ in 0..10 {
        dial.answered(&good);
        Dial::udp(LAN[0], 7).answered(&good);
    }
    assert_eq!(world.drops("good", "bridge", "flow-quota"), 0);
}

#[test]
fn case_14_a_flood_from_the_world_costs_its_target_alone() {
    let world = World::with_lan_and(&["--flow-quota", "64"]);
    world.run("target", &["-p", "5000:53/udp"]);
    world.run("good", &["-p", "5001:53/udp"]);
    let inside = ["target", "good"].map(|name| world.inside(name));
    let _services = ["target", "good"].map(|name| Service::start_v4(&world.inside(name), Transport::Udp, 53, name));
    let _lan = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    let established = open(&inside[1], &Dial::tcp(LAN[0], 7), 10);
    let flood = sockets(world.lan(), (address(HOST[0]), 5000).into(), repeat_n(0, 1000));
    for socket in &flood {
        let _ = socket.send(b"who?");
    }
    assert_eq!(Dial::udp(HOST[0], 5001).answered(world.lan()).name, "good");
    Dial::tcp(LAN[0], 7).answered(&inside[1]);
    for stream in &established {
        assert_eq!(ask_stream(stream).unwrap().name, "lan");
    }
}

#[test]
fn case_13_short_connections_leave_no_flow_behind() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80"]);
    let web = world.inside("web");
    let _service = Service::start_v4(&web, Transport::Tcp, 80, "web");
    let _lan = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    let entries = || {
        let pinned = objects(&world.bpffs);
        let count = |map: &str| {
            let path = pinned.keys().find(|path| path.ends_with(map)).expect("it is pinned");
            match &pinned[path] {
                Object::Map { entries, .. } => entries.len(),
                other => panic!("{other:?}"),
            }
        };
        (count("/FLOWS"), count("/RECORDS"))
    };
    let before = entries();
    for _ in 0..2000 {
        Dial::tcp(LAN[0], 7).answered(&web);
        Dial::tcp(HOST[0], 8080).answered(world.lan());
    }
    assert!(entries() > before);
    // the agent removes them once servers have forgotten them, too
    Records::of(&world).pass(Duration::from_mins(3));
    eventually("the flows are gone", || match entries() {
        now if now == before => Ok(()),
        now => Err(format!("{now:?} entries, not {before:?}")),
    });
    assert_eq!(world.ok(&["flows"]).lines().count(), 1, "the heading");
}
