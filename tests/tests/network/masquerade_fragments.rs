//! Datagrams in fragments cross the translation both ways, in whatever order (conformance case 3).

use std::net::{SocketAddr, UdpSocket};

use tests::packet::{PROTOCOL_UDP, ip};
use tests::world::{HOST, LAN, Namespace, PATIENCE, World, datagrams, eventually, send};

use super::masquerade::mac;
use super::{address, dual};

const SIZE: usize = 8192;
/// Payload of a fragment: fits both families.
const FRAGMENT: usize = 1448;

fn world() -> World {
    let world = World::with_lan();
    dual(&world, "dual", 66, &["-o", "com.docker.network.bridge.name=br-dual"]);
    world.run("one", &["--net", "dual", "-p", "5000:53/udp"]);
    world
}

/// Bytes that say where they belong.
pub(super) fn data() -> Vec<u8> {
    let bytes = (0..=250_u8).flat_map(|byte| [byte; 7]);
    bytes.cycle().take(SIZE).collect()
}

pub(super) fn socket(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    // until a program that another test starts has closed what it has inherited
    let socket = eventually(&format!("{address} is free"), || {
        let bound = namespace.enter(|| UdpSocket::bind(address));
        bound.map_err(|error| error.to_string())
    });
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Receives what was sent; from whom.
#[track_caller]
pub(super) fn receive(socket: &UdpSocket) -> SocketAddr {
    let mut buffer = vec![0; 65536];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(length, SIZE);
    assert!(buffer[..length] == data()[..], "the datagram changed on its way");
    from
}

#[test]
fn case_3_fragments_go_out_and_come_back() {
    let world = world();
    for to in LAN {
        datagrams(&world.inside("one"), world.lan(), address(to), SIZE, 100);
        datagrams(&world.inside("one"), world.lan(), address(to), 60_000, 20);
    }
}

#[test]
fn case_3_fragments_come_in_and_go_back() {
    let world = world();
    let one = world.inside("one");
    for ((own, to), from) in [("0.0.0.0", HOST[0]), ("::", HOST[1])].into_iter().zip(LAN) {
        let server = socket(&one, (address(own), 53).into());
        let client = socket(world.lan(), (address(from), 0).into());
        for _ in 0..50 {
            client.send_to(&data(), (address(to), 5000)).unwrap();
            let seen = receive(&server);
            assert_eq!(seen.ip(), address(from));
            server.send_to(&data(), seen).unwrap();
            assert_eq!(receive(&client), (address(to), 5000).into());
        }
    }
}

#[test]
fn case_3_fragments_in_reverse_order() {
    let world = world();
    let (one, lan) = (world.inside("one"), world.lan());
    let outwards = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    let inwards = (mac(lan, "eth0"), mac(&world.host, "up0"));
    // (protocol family's wildcard, the container, the host, the LAN)
    let families = [
        ("0.0.0.0", "10.66.0.2", HOST[0], LAN[0]),
        ("::", "fd66::2", HOST[1], LAN[1]),
    ];
    for (any, own, host, to) in families {
        let server = socket(lan, (address(any), 7000).into());
        let inside = socket(&one, (address(any), 53).into());
        for round in 1..=5 {
            // out: masqueraded
            let packet = ip(outwards, address(own), address(to)).identification(round);
            reversed(&one, "eth0", &packet, (6000, 7000));
            let seen = receive(&server);
            assert_eq!(seen.ip(), address(host));
            // in: to a published port
            let packet = ip(inwards, address(to), address(host)).identification(round + 100);
            reversed(lan, "eth0", &packet, (7001, 5000));
            assert_eq!(receive(&inside), (address(to), 7001).into());
        }
    }
}

/// Sends a datagram as fragments, the last one first.
fn reversed(from: &Namespace, device: &str, packet: &tests::packet::Ip, (source, destination): (u16, u16)) {
    let whole = packet.udp(source, destination, &data());
    for fragment in packet
        .fragments(PROTOCOL_UDP, packet.payload(&whole), FRAGMENT)
        .iter()
        .rev()
    {
        send(from, device, fragment);
    }
}

#[test]
fn fragments_of_two_datagrams_may_mix() {
    let world = world();
    let lan = world.lan();
    let inside = socket(&world.inside("one"), (address("0.0.0.0"), 53).into());
    let inwards = (mac(lan, "eth0"), mac(&world.host, "up0"));
    let fragments = [(1, 7001), (2, 7002)].map(|(identification, port)| {
        let packet = ip(inwards, address(LAN[0]), address(HOST[0])).identification(identification);
        let whole = packet.udp(port, 5000, &data());
        packet.fragments(PROTOCOL_UDP, packet.payload(&whole), FRAGMENT)
    });
    for pair in fragments[0].iter().zip(&fragments[1]) {
        send(lan, "eth0", pair.0);
        send(lan, "eth0", pair.1);
    }
    let mut ports = [receive(&inside).port(), receive(&inside).port()];
    ports.sort_unstable();
    assert_eq!(ports, [7001, 7002]);
}
