//! Containers reach the world with the host's address: TCP, UDP, ICMP and everything else.

use std::collections::HashSet;

use netswitch_common::address::Mac;
use tests::packet::{DESTINATION_OPTIONS, HOP_BY_HOP, Ip, PROTOCOL_ESP, PROTOCOL_GRE, ip, read_sctp};
use tests::world::{
    Capture, Captured, Dial, HOST, LAN, Namespace, Service, Transport, World, any, eventually, interfaces, send,
};

use super::{address, dual, ping};

/// A container `one` on a network `dual` (10.66.0.0/24, `fd66::/64`), and the world.
fn world(options: &[&str]) -> World {
    let world = World::with_lan();
    dual(&world, "dual", 66, options);
    world.run("one", &["--net", "dual"]);
    world
}

pub(super) fn mac(namespace: &Namespace, device: &str) -> Mac {
    let found = interfaces(namespace).into_iter().find(|found| found.name == device);
    netswitch::model::endpoint::parse_mac(&found.unwrap().mac).unwrap()
}

#[test]
fn the_world_sees_the_hosts_address() {
    let world = world(&[]);
    let one = world.inside("one");
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    for transport in Transport::BOTH {
        for (to, host) in LAN.into_iter().zip(HOST) {
            // below the range for masquerade, in it, and above it; each socket has one of its own
            for (port, is_connected) in [(5_001, false), (20_001, true), (45_001, false), (45_002, true)] {
                let dial = Dial::new(transport, (address(to), 7).into());
                let dial = dial.from(&any(address(to)).to_string(), port);
                let dial = if is_connected { dial.connected() } else { dial };
                let answer = dial.answered(&one);
                assert_eq!(answer.client, (address(host), port).into(), "{dial:?}");
                assert_eq!(answer.peer, dial.to, "{dial:?}");
            }
        }
    }
    for to in LAN {
        // routed: one hop
        ping(&one, to, 63);
    }
    for (size, to) in [(4000, LAN[0]), (4000, LAN[1])] {
        ping(&one, &format!("-s {size} {to}"), 63);
    }
}

#[test]
fn the_hosts_own_traffic_is_left_alone() {
    let world = world(&[]);
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    for transport in Transport::BOTH {
        for (to, host) in LAN.into_iter().zip(HOST) {
            // from a port of the masquerade range, too
            let dial = Dial::new(transport, (address(to), 7).into()).from(host, 10_300);
            let answer = dial.answered(&world.host);
            assert_eq!(answer.client, (address(host), 10_300).into());
        }
    }
    let _host = Service::start(&world.host, Transport::Tcp, 11_000, "host");
    assert_eq!(Dial::tcp(HOST[0], 11_000).answered(world.lan()).name, "host");
}

#[test]
fn case_2_bytes_arrive_as_they_were_sent() {
    let world = world(&[]);
    let one = world.inside("one");
    for to in LAN {
        tests::world::transfer(&one, world.lan(), address(to), 16 << 20);
        tests::world::datagrams(&one, world.lan(), address(to), 1400, 100);
    }
    // without offloads, every checksum is written before it is translated
    for namespace in [&one, world.lan()] {
        namespace.sh("ethtool -K eth0 tso off gso off gro off tx off").ok();
    }
    for to in LAN {
        tests::world::transfer(&one, world.lan(), address(to), 4 << 20);
    }
}

#[test]
fn case_10_two_containers_use_the_same_port() {
    let world = world(&[]);
    world.run("two", &["--net", "dual"]);
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    for transport in Transport::BOTH {
        for (family, to) in LAN.into_iter().enumerate() {
            let own = [["10.66.0.2", "fd66::2"], ["10.66.0.3", "fd66::3"]];
            let clients = ["one", "two"].map(|name| world.inside(name));
            let seen: HashSet<_> = clients
                .iter()
                .zip(own)
                .map(|(client, own)| {
                    let dial = Dial::new(transport, (address(to), 7).into()).from(own[family], 5000);
                    dial.answered(client).client
                })
                .collect();
            assert_eq!(seen.len(), 2, "{transport:?} to {to}: {seen:?}");
        }
    }
}

#[test]
fn case_8_a_closed_port_is_told() {
    let world = world(&[]);
    let one = world.inside("one");
    for to in LAN {
        for dial in [Dial::udp(to, 9).connected(), Dial::tcp(to, 9)] {
            let refused = dial.ask(&one).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{dial:?}");
        }
    }
    // and of a published port nobody listens at
    world.ok(&["publish", "one", "8080:80/udp"]);
    world.ok(&["publish", "one", "8080:80/tcp"]);
    for to in HOST {
        for dial in [Dial::udp(to, 8080).connected(), Dial::tcp(to, 8080)] {
            let refused = dial.ask(world.lan()).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{dial:?}");
        }
    }
}

/// Of a packet from `one` to the machine outside, on a bridge `br-dual`.
fn outward(world: &World) -> Ip {
    let macs = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    ip(macs, address("10.66.0.2"), address(LAN[0]))
}

/// Of a packet from the machine outside to the host.
fn inward(world: &World) -> Ip {
    let macs = (mac(world.lan(), "eth0"), mac(&world.host, "up0"));
    ip(macs, address(LAN[0]), address(HOST[0]))
}

/// Source and payload of an IPv4 packet of a protocol that came in.
fn packet(captured: &Captured, protocol: u8) -> Option<(&[u8], &[u8])> {
    let frame = &captured.frame;
    let fits = !captured.is_outgoing && frame.len() > 34 && frame[12..14] == [8, 0] && frame[23] == protocol;
    fits.then(|| (&frame[26..30], &frame[34..]))
}

#[test]
fn case_31_other_protocols_go_by_address() {
    let world = world(&["-o", "com.docker.network.bridge.name=br-dual"]);
    let (one, lan) = (world.inside("one"), world.lan());
    let (out, back) = (outward(&world), inward(&world));
    for (protocol, body) in [
        (PROTOCOL_GRE, &[0, 0, 8, 0, 1, 2, 3, 4][..]),
        (PROTOCOL_ESP, &[5; 64]),
        (253, b"anything"),
    ] {
        let (outside, inside) = (Capture::start(lan, "eth0"), Capture::start(&one, "eth0"));
        send(&one, "eth0", &out.protocol(protocol, body));
        outside.expect("the packet with the host's address", |captured| {
            packet(captured, protocol) == Some((&[192, 168, 56, 99], body))
        });
        send(lan, "eth0", &back.protocol(protocol, body));
        inside.expect("its answer", |captured| {
            packet(captured, protocol) == Some((&[192, 168, 56, 1], body))
        });
    }
}

#[test]
fn sctp_is_masqueraded_and_published_with_a_correct_checksum() {
    let world = world(&["-o", "com.docker.network.bridge.name=br-dual"]);
    world.ok(&["publish", "one", "3868:36412/sctp"]);
    let (one, lan) = (world.inside("one"), world.lan());
    let (out, back) = (outward(&world), inward(&world));
    let (outside, inside) = (Capture::start(lan, "eth0"), Capture::start(&one, "eth0"));
    // an INIT (RFC 9260, 3.3.2) without parameters, and its answer
    let init = [&[1, 0, 0, 20, 0, 0, 0, 9][..], &[0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]].concat();
    let sctp = |captured: &Captured| {
        let (source, body) = packet(captured, 132)?;
        let (from, to, tag, chunk) = read_sctp(body)?;
        Some((source.to_vec(), from, to, tag, chunk.to_vec()))
    };
    send(&one, "eth0", &out.sctp(5000, 36412, 0, &init));
    let came = outside.expect(
        "INIT with a correct checksum",
        |captured| matches!(sctp(captured), Some((source, _, 36412, 0, _)) if source == [192, 168, 56, 99]),
    );
    let (_, port, _, _, chunk) = sctp(&came).unwrap();
    assert_eq!(chunk, init);
    send(lan, "eth0", &back.sctp(36412, port, 9, &init));
    inside.expect("the answer with a correct checksum", |captured| {
        sctp(captured) == Some((vec![192, 168, 56, 1], 36412, 5000, 9, init.clone()))
    });
    // published
    send(lan, "eth0", &back.sctp(4000, 3868, 0, &init));
    inside.expect("INIT at the published port", |captured| {
        sctp(captured) == Some((vec![192, 168, 56, 1], 4000, 36412, 0, init.clone()))
    });
    send(&one, "eth0", &out.sctp(36412, 4000, 7, &init));
    outside.expect("its answer from the published port", |captured| {
        sctp(captured) == Some((vec![192, 168, 56, 99], 3868, 4000, 7, init.clone()))
    });
}

#[test]
fn case_30_options_and_extension_headers_pass_or_are_counted() {
    let world = world(&["-o", "com.docker.network.bridge.name=br-dual"]);
    let (one, lan) = (world.inside("one"), world.lan());
    let _service = Service::start(lan, Transport::Udp, 7, "lan");
    let macs = (world.mac("one", "dual"), mac(&world.host, "br-dual"));
    let v4 = ip(macs, address("10.66.0.2"), address(LAN[0]));
    let v6 = ip(macs, address("fd66::2"), address(LAN[1]));
    let plain = [1, 4, 0, 0, 0, 0];
    let packets = [
        ("no-operation", v4.clone().options(&[1, 1, 1, 0])),
        ("router alert", v4.options(&[0x94, 4, 0, 0])),
        ("hop-by-hop", v6.clone().extension(HOP_BY_HOP, &plain)),
        ("destination options", v6.clone().extension(DESTINATION_OPTIONS, &plain)),
        (
            "seven headers",
            (0..7).fold(v6, |packet, _| packet.extension(DESTINATION_OPTIONS, &plain)),
        ),
    ];
    for (number, (name, packet)) in (5000..).zip(packets) {
        let inside = Capture::start(&one, "eth0");
        let dropped = || {
            let endpoints = world.stats().endpoints.into_iter();
            let of_one = endpoints.filter(|endpoint| endpoint.container == "one");
            of_one.flat_map(|endpoint| endpoint.drops.into_values()).sum::<u64>()
        };
        let before = dropped();
        send(&one, "eth0", &packet.udp(number, 7, b"who?"));
        eventually(name, || {
            let is_answer = |captured: &Captured| !captured.is_outgoing && captured.frame.ends_with(b"\n");
            if inside.so_far().iter().any(is_answer) || dropped() > before {
                Ok(())
            } else {
                Err("neither answered nor counted".to_owned())
            }
        });
    }
    Dial::udp(LAN[0], 7).answered(&one);
}
