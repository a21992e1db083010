//! Which port of the host's a container's socket has outside: one for all peers (RFC 4787, REQ-1), its own where that is
//! free, and never one that the host's own sockets get.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use tests::world::{Dial, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, any, ask_stream, eventually};

use super::{address, dual};

/// The services that everybody asks: their ports on the LAN's machine.
const PEERS: [u16; 3] = [7, 8, 9];

/// A world with containers on a network of both families, and services of both transports at [`PEERS`].
fn world(containers: &[(&str, &[&str])]) -> (World, Vec<Service>) {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    for (name, options) in containers {
        world.run(name, &[&["--net", "dual"], *options].concat());
    }
    let places = PEERS
        .into_iter()
        .flat_map(|port| Transport::BOTH.map(|transport| (transport, port)));
    let services = places.map(|(transport, port)| Service::start(world.lan(), transport, port, "lan"));
    let services = services.collect();
    (world, services)
}

fn from(dial: Dial, port: u16) -> Dial {
    let own = any(dial.to.ip()).to_string();
    dial.from(&own, port)
}

/// What the peers see of sockets at these ports of a container: ports by the socket's own.
fn seen(client: &Namespace, ports: impl Iterator<Item = u16> + Send, to: IpAddr) -> BTreeMap<u16, Vec<u16>> {
    client.enter(|| {
        let sockets = ports.map(|port| (port, UdpSocket::bind((any(to), port)).unwrap()));
        let sockets: Vec<_> = sockets.collect();
        let seen = sockets.iter().map(|(port, socket)| {
            socket
                .set_read_timeout(Some(std::time::Duration::from_millis(500)))
                .unwrap();
            let outside = PEERS.map(|peer| eventually("an answer", || seen_by(socket, (to, peer).into())));
            (*port, outside.to_vec())
        });
        seen.collect()
    })
}

/// The client's port that a peer sees.
fn seen_by(socket: &UdpSocket, peer: SocketAddr) -> Result<u16, String> {
    let mut buffer = [0; 200];
    socket.send_to(b"who?", peer).map_err(|error| error.to_string())?;
    loop {
        let (length, from) = socket.recv_from(&mut buffer).map_err(|error| error.to_string())?;
        if from != peer {
            continue;
        }
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let client = text.trim_end().rsplit_once(' ').ok_or("no client")?.1.to_owned();
        return client
            .parse::<SocketAddr>()
            .map(|client| client.port())
            .map_err(|error| error.to_string());
    }
}

#[test]
fn a_thousand_sockets_of_ten_containers_have_one_port_each() {
    const PORTS: std::ops::Range<u16> = 5_000..5_100;
    let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let containers: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let (world, _services) = world(&containers);
    let mut outside = BTreeMap::new();
    for name in &names {
        for (own, seen) in seen(&world.inside(name), PORTS, address(LAN[0])) {
            assert!(seen.iter().all(|port| *port == seen[0]), "{name} {own}: {seen:?}");
            let other = outside.insert(seen[0], (name, own));
            assert!(other.is_none(), "{name} {own} has the port of {other:?}: {seen:?}");
        }
    }
    let kept = outside.iter().filter(|(port, (_, own))| *port == own).count();
    assert_eq!((outside.len(), kept), (1_000, 100), "the first one keeps its ports");
}

#[test]
fn a_published_port_is_what_its_socket_sends_from() {
    let (world, _services) = world(&[(
        "one",
        &["-p", "7777:5060/udp", "-p", "7777:5060", "-p", "41641:41641/udp"],
    )]);
    let one = world.inside("one");
    for to in LAN.map(address) {
        let ports = seen(&one, [5_060, 41_641, 5_061].into_iter(), to);
        for (own, outside) in [(5_060, 7_777), (41_641, 41_641), (5_061, 5_061)] {
            assert_eq!(ports[&own], [outside; 3], "{own} to {to}");
        }
    }
    for (peer, to) in PEERS.into_iter().zip(LAN.into_iter().cycle()) {
        let dial = from(Dial::tcp(to, peer), 5_060);
        assert_eq!(dial.answered(&one).client.port(), 7_777, "{dial:?}");
    }
}

/// The host's kernel gives its own sockets this port alone.
fn only_port(world: &World, port: u16) {
    world
        .host
        .sh(&format!(
            "echo '{port} {port}' > /proc/sys/net/ipv4/ip_local_port_range"
        ))
        .ok();
}

#[test]
fn a_socket_of_the_hosts_that_has_a_kept_port_is_answered() {
    const PORT: u16 = 45_000;
    let (world, _services) = world(&[("one", &[])]);
    let one = world.inside("one");
    for (to, host) in LAN.into_iter().zip(HOST) {
        for is_connected in [false, true] {
            let peer = PEERS[usize::from(is_connected)];
            let dial = from(Dial::udp(to, peer), PORT);
            assert_eq!(dial.answered(&one).client.port(), PORT);
            // the host binds it
            let own = Dial::udp(to, peer).from(host, PORT);
            let own = if is_connected { own.connected() } else { own };
            assert_eq!(own.answered(&world.host).client.port(), PORT, "{own:?}");
        }
        // the host's kernel would choose it
        let dial = from(Dial::udp(to, PEERS[2]), PORT);
        assert_eq!(dial.answered(&one).client.port(), PORT);
        only_port(&world, PORT);
        let own = Dial::udp(to, PEERS[2]).connected();
        own.answered(&world.host);
        dial.answered(&one);
        world
            .host
            .sh("echo '32768 60999' > /proc/sys/net/ipv4/ip_local_port_range")
            .ok();
    }
}

#[test]
fn a_connection_of_the_hosts_leaves_alone_what_a_container_has() {
    let (world, _services) = world(&[("one", &[])]);
    let one = world.inside("one");
    for to in LAN {
        // many of them, so that the kernel's choice would meet one soon
        let streams: Vec<_> = (40_000..40_200)
            .map(|port| one.enter(|| from(Dial::tcp(to, 7), port).open(PATIENCE)).unwrap())
            .collect();
        for stream in streams.iter().step_by(50) {
            let client = ask_stream(stream).unwrap().client.port();
            assert!((40_000..40_200).contains(&client), "{client} is kept");
        }
        for _ in 0..200 {
            let own = Dial::tcp(to, 7).answered(&world.host).client.port();
            assert!(!(40_000..40_200).contains(&own), "{own} is the container's");
        }
        for stream in &streams {
            ask_stream(stream).expect("the container's connection goes on");
        }
    }
}
