//! Broadcast and multicast reach the members of a network, and nobody else.

use std::net::{IpAddr, Ipv4Addr};

use netswitch_common::address::Mac;
use tests::packet::{ip, multicast_mac};
use tests::world::{Capture, World, eventually, send, send_repeatedly};

use super::{address, words};

#[test]
fn members_hear_broadcast_and_multicast_and_others_do_not() {
    let world = World::new();
    world.ok(&words(
        "network create --ipv6 --subnet 10.6.0.0/24 --subnet fd06::/64 mynet",
    ));
    for name in ["sender", "one", "two"] {
        world.run(name, &["--net", "mynet"]);
    }
    world.run("other", &[]);
    let sender = world.inside("sender");
    let host_end = format!("br-{}", &world.network("mynet")["Id"].as_str().unwrap()[..12]);
    let hears = |name: &str| Capture::start(&world.inside(name), "eth0");
    let members = [hears("one"), hears("two"), Capture::start(&world.host, &host_end)];
    let others = [hears("other"), Capture::start(&world.host, "docker0")];
    let mac = world.mac("sender", "mynet");
    let groups: [(IpAddr, IpAddr, Mac); 4] = [
        (address("10.6.0.2"), Ipv4Addr::BROADCAST.into(), Mac([0xff; 6])),
        (address("10.6.0.2"), address("10.6.0.255"), Mac([0xff; 6])),
        (
            address("10.6.0.2"),
            address("224.0.0.251"),
            multicast_mac(address("224.0.0.251")),
        ),
        (
            address("fd06::2"),
            address("ff02::fb"),
            multicast_mac(address("ff02::fb")),
        ),
    ];
    let hears_itself = Capture::start(&sender, "eth0");
    for (from, to, group) in groups {
        let frame = ip((mac, group), from, to).udp(5353, 5353, format!("to {to}").as_bytes());
        send(&sender, "eth0", &frame);
        for member in &members {
            member.expect(&format!("frame to {to}"), |captured| captured.frame == frame);
        }
    }
    let own = |capture: &Capture| {
        capture
            .so_far()
            .into_iter()
            .filter(|captured| captured.frame[6..12] == mac.0)
            .count()
    };
    for other in &others {
        assert_eq!(own(other), 0);
    }
    let returned = hears_itself.so_far().into_iter();
    assert_eq!(
        returned
            .filter(|captured| !captured.is_outgoing && captured.frame[6..12] == mac.0)
            .count(),
        0
    );
    // and the members' sockets do too
    let socket = world
        .inside("one")
        .enter(|| std::net::UdpSocket::bind("0.0.0.0:9999").unwrap());
    socket.set_read_timeout(Some(tests::world::PATIENCE)).unwrap();
    sender.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_broadcast(true).unwrap();
        socket.send_to(b"all", "10.6.0.255:9999").unwrap();
    });
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"all"[..], address("10.6.0.2")));
}

#[test]
fn the_hosts_broadcast_reaches_every_member() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    let sockets = ["one", "two"].map(|name| {
        let socket = world
            .inside(name)
            .enter(|| std::net::UdpSocket::bind("0.0.0.0:9999").unwrap());
        socket.set_read_timeout(Some(tests::world::PATIENCE)).unwrap();
        socket
    });
    world.host.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_broadcast(true).unwrap();
        socket.send_to(b"all", "172.17.255.255:9999").unwrap();
    });
    for socket in sockets {
        let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip(), address("172.17.0.1"));
    }
}

#[test]
fn a_storm_is_limited_and_counted() {
    let world = World::new();
    world.run("sender", &[]);
    world.run("one", &[]);
    let mac = world.mac("sender", "bridge");
    let frame = ip((mac, Mac([0xff; 6])), address("172.17.0.2"), Ipv4Addr::BROADCAST).udp(9, 9, b"storm");
    let sender = world.inside("sender");
    eventually("the sender's rate is limited", || {
        send_repeatedly(&sender, "eth0", &frame, 5000);
        match world.drops("sender", "bridge", "replication-rate") {
            0 => Err("no drop".into()),
            _ => Ok(()),
        }
    });
    assert_eq!(world.drops("one", "bridge", "replication-rate"), 0);
}
