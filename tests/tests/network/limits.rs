//! Limits of a container, on the wire: what passes, what is counted, and that they change and stay.

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::json;
use tests::world::{
    Dial, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, ask_stream, eventually, send_offloaded,
};

use super::{address, drops_reach, dual, words};

/// Datagrams of a burst: many times what a limit of this file lets through meanwhile.
const BURST: u32 = 5_000;

/// Sends a burst of datagrams as fast as it can; how many arrive.
fn burst(from: &Namespace, to: &str, server: &Namespace) -> usize {
    let any = if to.contains(':') { "[::]:7" } else { "0.0.0.0:7" };
    burst_at(from, (to, 7), server, any)
}

fn burst_at(from: &Namespace, to: (&str, u16), server: &Namespace, own: &str) -> usize {
    // a child of another test has the last one's socket until it is another program
    let server = eventually("the port is free", || {
        server.enter(|| UdpSocket::bind(own)).map_err(|error| error.to_string())
    });
    let client = from.enter(|| {
        let any = if to.0.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.connect((address(to.0), to.1)).unwrap();
        client
    });
    server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut received = 0;
    let mut buffer = [0; 100];
    let mut drain = || {
        while server.recv(&mut buffer).is_ok() {
            received += 1;
        }
    };
    // less at a time than a socket holds
    for _ in 0..BURST / 100 {
        for _ in 0..100 {
            // a full queue is told, and no matter
            let _ = client.send(&[7; 100]);
        }
        server.set_nonblocking(true).unwrap();
        drain();
    }
    server.set_nonblocking(false).unwrap();
    drain();
    received
}

/// Some arrived, and far fewer than were sent.
#[track_caller]
fn is_limited(received: usize) {
    assert!((1..BURST as usize / 2).contains(&received), "{received}");
}

fn pair(options: &[&str]) -> (World, Namespace, Namespace) {
    let world = World::new();
    dual(&world, "mynet", 7, &[]);
    world.run("web", &[&["--net", "mynet"], options].concat());
    world.run("db", &["--net", "mynet"]);
    let (web, db) = (world.inside("web"), world.inside("db"));
    (world, web, db)
}

#[test]
fn packets_and_bytes_are_limited_in_each_direction() {
    for (options, reason) in [(["--pps", "100"], "packet-rate"), (["--rate", "100kbit"], "rate-limit")] {
        let (world, web, db) = pair(&options);
        for (own, other) in [("10.7.0.2", "10.7.0.3"), ("fd7::2", "fd7::3")] {
            is_limited(burst(&web, other, &db));
            is_limited(burst(&db, own, &web));
            is_limited(burst(&world.host, own, &web));
        }
        // whoever sent it, it is the limited one's
        drops_reach(&world, "web", "mynet", reason, 1000);
        assert_eq!(world.drops("db", "mynet", reason), 0);
        assert_ne!(world.path("peer"), 0);
    }
}

#[test]
fn a_packet_that_is_cut_counts_as_its_parts() {
    let (world, web, _db) = pair(&["--pps", "10"]);
    let macs = (world.mac("web", "mynet"), world.mac("db", "mynet"));
    let frame = tests::packet::ip(macs, address("10.7.0.2"), address("10.7.0.3")).tcp(1, 80, &vec![7; 20_000]);
    // virtio_net_hdr: TCP over IPv4, to be cut at 1,000 bytes, headers of 54 bytes
    let header = [0, 1, 54, 0, 0xe8, 3, 0, 0, 0, 0];
    let send = || send_offloaded(&web, "eth0", header, &frame);
    // not before the share is whole again, which the container's first packets about itself have begun
    eventually("the first one passes", || {
        send();
        match world.path("peer") {
            0 => Err(format!("{} dropped", world.drops("web", "mynet", "packet-rate"))),
            _ => Ok(()),
        }
    });
    let before = world.drops("web", "mynet", "packet-rate");
    // that was two seconds' share
    send();
    drops_reach(&world, "web", "mynet", "packet-rate", before + 1);
}

#[test]
fn endpoints_of_a_container_share_its_limit() {
    let (world, web, db) = pair(&["--pps", "1"]);
    dual(&world, "other", 8, &[]);
    world.ok(&["network", "connect", "other", "web"]);
    world.run("far", &["--net", "other"]);
    let far = world.inside("far");
    burst(&web, "10.7.0.3", &db);
    // a packet a second, of which others took the share of minutes
    let before = world.drops("web", "other", "packet-rate");
    assert!(burst(&web, "10.8.0.3", &far) < 60);
    assert!(world.drops("web", "other", "packet-rate") > before);
}

#[test]
fn limits_change_while_traffic_flows_and_outlive_the_agent() {
    let (world, web, db) = pair(&[]);
    let all = |world: &World| {
        eventually("everything arrives", || match burst(&web, "10.7.0.3", &db) {
            received if received > BURST as usize * 9 / 10 => Ok(()),
            received => Err(format!("{received}, {}", world.inspect("web")["Limits"])),
        });
    };
    all(&world);
    assert_eq!(world.ok(&words("update --pps 100 --max-flows 50 web")), "web");
    is_limited(burst(&web, "10.7.0.3", &db));
    world.ok(&words("update --rate 1gbit web"));
    let limits = json!({"Rate": 1_000_000_000, "PacketRate": 100, "MaxFlows": 50});
    assert_eq!(world.inspect("web")["Limits"], limits);
    eventually("the limits are shown", || {
        let stats = world.ok(&["stats"]);
        let is_shown = stats.contains("1gbit, 100 packets/s, 50 flows");
        is_shown.then_some(()).ok_or(stats)
    });
    world.kill_agent();
    is_limited(burst(&web, "10.7.0.3", &db));
    world.start_agent(&[]);
    is_limited(burst(&web, "10.7.0.3", &db));
    assert_eq!(world.inspect("web")["Limits"], limits);
    world.restart_agent();
    is_limited(burst(&db, "fd7::2", &web));
    // and a restart of the container
    world.ok(&["stop", "-t", "0", "web"]);
    world.ok(&["start", "web"]);
    let again = world.inside("web");
    is_limited(burst(&again, "10.7.0.3", &db));
    world.ok(&words("update --rate none --pps none --max-flows none web"));
    eventually("everything arrives", || match burst(&again, "10.7.0.3", &db) {
        received if received > BURST as usize * 9 / 10 => Ok(()),
        received => Err(received.to_string()),
    });
}

#[test]
fn an_attached_namespace_has_limits_too() {
    let world = World::new();
    dual(&world, "mynet", 7, &[]);
    let (mine, other) = (Namespace::new(), Namespace::new());
    let attach = |name, namespace: &Namespace, more: &[&str]| {
        let path = namespace.path();
        world.ok(&[&["attach", name, "--netns", &path, "--network", "mynet"], more].concat());
    };
    attach("mine", &mine, &["--pps", "100"]);
    attach("other", &other, &[]);
    is_limited(burst(&mine, "10.7.0.3", &other));
    is_limited(burst(&other, "fd7::2", &mine));
    drops_reach(&world, "mine", "mynet", "packet-rate", 1000);
    world.ok(&["detach", "mine"]);
}

/// In each mode of the uplinks: out, and in by a published port.
#[test]
fn the_world_is_limited_in_both_directions() {
    for mode in ["tcx", "xdp", "stack"] {
        let world = World::with_lan_and(&["--uplink-mode", mode]);
        world.lan().sh("ethtool -K eth0 tx off").ok();
        dual(&world, "mynet", 7, &[]);
        world.run("web", &words("--net mynet --pps 100 -p 9000:7/udp"));
        let web = world.inside("web");
        for family in [0, 1] {
            is_limited(burst(&web, LAN[family], world.lan()));
            let own = ["0.0.0.0:7", "[::]:7"][family];
            is_limited(burst_at(world.lan(), (HOST[family], 9000), &web, own));
        }
        drops_reach(&world, "web", "mynet", "packet-rate", 1000);
    }
}

#[test]
fn no_more_connections_than_a_container_may_have() {
    let world = World::with_lan();
    dual(&world, "mynet", 7, &[]);
    world.run("web", &words("--net mynet --max-flows 10"));
    world.run("db", &words("--net mynet"));
    let (web, db) = (world.inside("web"), world.inside("db"));
    let _services = [&db, world.lan()].map(|place| Service::start(place, Transport::Tcp, 80, "there"));
    for (to, round) in [("10.7.0.3", 0), ("fd7::3", 1), (LAN[0], 2), (LAN[1], 3)] {
        let open = || web.enter(|| Dial::tcp(to, 80).open(PATIENCE)).unwrap();
        let streams: Vec<TcpStream> = std::iter::repeat_with(open).take(10).collect();
        for stream in &streams {
            assert_eq!(ask_stream(stream).unwrap().name, "there", "{to}");
        }
        let before = world.drops("web", "mynet", "flow-quota");
        Dial::tcp(to, 80).unanswered(&web);
        assert!(world.drops("web", "mynet", "flow-quota") > before, "{to}");
        // those that are there go on, and what others begin is theirs
        assert_eq!(ask_stream(&streams[0]).unwrap().name, "there", "{to}");
        assert_eq!(Dial::tcp("10.7.0.3", 80).answered(&world.host).name, "there");
        if round == 0 {
            world.ok(&words("update --max-flows 20 web"));
            Dial::tcp(to, 80).answered(&web);
            world.ok(&words("update --max-flows 10 web"));
        }
        drop(streams);
        eventually("they have ended", || match Dial::tcp(to, 80).ask_shortly(&web) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        });
    }
    assert_eq!(world.drops("db", "mynet", "flow-quota"), 0);
}

#[test]
fn why_names_a_limit_that_is_used_up() {
    let (world, web, db) = pair(&["--pps", "1"]);
    let line = "allowed: udp 10.7.0.2 -> 10.7.0.3:7 on mynet, to db, not translated\n";
    // what an interface says of itself as it comes up is counted, too
    eventually("there is a packet left", || {
        let said = world.cli(&words("why web 10.7.0.3:7/udp")).stdout;
        if said == line { Ok(()) } else { Err(said) }
    });
    burst(&web, "10.7.0.3", &db);
    let output = world.cli(&words("why web 10.7.0.3:7/udp"));
    assert_eq!(
        output.stdout,
        "dropped packet-rate: udp 10.7.0.2 -> 10.7.0.3:7 on mynet\n"
    );
    assert_eq!(output.status, 1);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let (world, _web, _db) = pair(&["--pps", "100"]);
    world.run("hosted", &["--net", "host"]);
    let rate = "a rate is a number with bit, kbit, mbit or gbit, or with bps, kbps, mbps or gbps for bytes; or none";
    for (command, flag, value, reason) in [
        ("update", "rate", "fast", rate),
        ("update", "rate", "1kbit", "a rate is from 8kbit to 1tbit"),
        ("update", "pps", "0", "a number from 1 to 1000000000, or none"),
        ("update", "max-flows", "2000000", "a number from 1 to 1048576, or none"),
        ("run", "rate", "100mb", rate),
        ("attach", "pps", "-1", "a number from 1 to 1000000000, or none"),
    ] {
        let text =
            format!("invalid argument {value:?} for \"--{flag}\" flag: {reason}\nSee 'netswitch {command} --help'.");
        world.refuses(&[command, &format!("--{flag}"), value, "web"], 125, &text);
    }
    world.refuses(
        &["update", "web"],
        1,
        "you must provide one or more flags when using this command",
    );
    world.refuses(
        &words("update --pps 5 nope"),
        1,
        "Error response from daemon: No such container: nope",
    );
    let conflict = "conflicting options: traffic limits and the host type network mode";
    world.refuses(
        &words("update --pps 5 hosted"),
        1,
        &format!("Error response from daemon: {conflict}"),
    );
    world.refuses(
        &words("run --net host --pps 5 -- true"),
        125,
        &format!("netswitch: Error response from daemon: {conflict}.\nSee 'netswitch run --help'."),
    );
}
