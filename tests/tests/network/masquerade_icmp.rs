//! ICMP errors cross the translation in both directions: traceroute and path MTU discovery work
//! (conformance cases 5, 6, 7).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use tests::world::{
    FAR, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, any, eventually, exchange, transfer,
};

use super::{address, dual};

/// `one` (10.66.0.2, `fd66::2`), the host, the router on its LAN, a far machine over a link with this MTU.
fn world(mtu: u16) -> (World, Namespace) {
    let world = World::with_lan();
    let far = world.add_far(mtu);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual", "-p", "8080:80"]);
    (world, far)
}

/// A raw ICMP socket of the calling thread's namespace; std's UDP socket is a descriptor with `sendto`
/// and `recvfrom`, which is all it takes.
fn icmp(family: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match family {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let socket: UdpSocket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?.into();
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// What a probe is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    Udp,
    Echo,
}

/// A time-exceeded, port-unreachable or echo answer about a probe of ours: its type, and from whom.
fn hear(listener: &UdpSocket, target: IpAddr, probe: Probe, mark: u16) -> io::Result<(u8, IpAddr)> {
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = listener.recv_from(&mut buffer)?;
        let (message, inner) = match target {
            IpAddr::V4(_) => (&buffer[20..length], 28),
            IpAddr::V6(_) => (&buffer[..length], 48),
        };
        let short = |at: usize| message.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        let is_ours = match (message[0], probe) {
            (0 | 129, Probe::Echo) => short(4) == Some(mark),
            // the packet that it is about, as the container sent it: source port, or identifier
            (3 | 11 | 1, Probe::Udp) => short(inner) == Some(mark),
            (3 | 11 | 1, Probe::Echo) => short(inner + 4) == Some(mark),
            _ => false,
        };
        // ICMPv6's time exceeded is 3, which is v4's unreachable
        if is_ours {
            return Ok((message[0], from.ip()));
        }
    }
}

/// Asks with one hop limit until there is an answer.
pub(super) fn hop(target: IpAddr, probe: Probe, hops: u32) -> (u8, IpAddr) {
    let listener = icmp(target).unwrap();
    let sender = match probe {
        Probe::Udp => UdpSocket::bind((any(target), 0)).unwrap(),
        Probe::Echo => icmp(target).unwrap(),
    };
    if target.is_ipv4() {
        sender.set_ttl(hops).unwrap();
    } else {
        setsockopt(&sender, sockopt::Ipv6Ttl, &i32::try_from(hops).unwrap()).unwrap();
    }
    let (mark, to, message) = match probe {
        Probe::Udp => {
            let port = sender.local_addr().unwrap().port();
            (port, SocketAddr::from((target, 33_434)), b"probe".to_vec())
        }
        Probe::Echo => {
            let mark = 0x5100 + u16::try_from(hops).unwrap();
            let kind = if target.is_ipv4() { 8 } else { 128 };
            let mut message = [&[kind, 0, 0, 0][..], &mark.to_be_bytes(), &[0, 1], b"probe!"].concat();
            let sum = netswitch_common::checksum::fold(netswitch_common::checksum::sum(&message, 0));
            message[2..4].copy_from_slice(&sum.to_ne_bytes());
            (mark, (target, 0).into(), message)
        }
    };
    eventually("an answer to a probe", || {
        // an error about the probe before is told here
        let _ = sender.send_to(&message, to);
        hear(&listener, target, probe, mark).map_err(|error| error.to_string())
    })
}

#[test]
fn case_7_a_traceroute_names_the_gateway_the_router_and_the_target() {
    let (world, _far) = world(1500);
    let one = world.inside("one");
    let paths = [["10.66.0.1", LAN[0], FAR[0]], ["fd66::1", LAN[1], FAR[1]]];
    for (family, path) in paths.into_iter().enumerate() {
        for probe in [Probe::Udp, Probe::Echo] {
            for (hops, router) in (1..).zip(path) {
                let (kind, from) = one.enter(|| hop(address(path[2]), probe, hops));
                assert_eq!(from, address(router), "{probe:?}, hop {hops}");
                let wanted = match (hops, probe, family) {
                    (3, Probe::Udp, 0) => 3,
                    (3, Probe::Udp, _) => 1,
                    (3, Probe::Echo, 0) => 0,
                    (3, Probe::Echo, _) => 129,
                    (_, _, 0) => 11,
                    _ => 3,
                };
                assert_eq!(kind, wanted, "{probe:?} to {}, hop {hops}", path[2]);
            }
        }
    }
}

/// Asks until the kernel knows the MTU of a path.
fn knows_mtu(namespace: &Namespace, target: &str, mtu: u16) {
    let said = namespace.sh(&format!("ip route get {target}")).ok();
    assert!(said.contains(&format!(" mtu {mtu}")), "{said}");
}

#[test]
fn case_5_a_path_with_a_small_mtu_is_learnt() {
    let (world, far) = world(1400);
    let one = world.inside("one");
    for to in FAR {
        transfer(&one, &far, address(to), 4 << 20);
        knows_mtu(&one, to, 1400);
    }
}

#[test]
fn case_6_the_answers_of_a_published_port_learn_it_too() {
    let (world, far) = world(1400);
    let one = world.inside("one");
    for ((to, own), far_own) in HOST.into_iter().zip(["0.0.0.0", "::"]).zip(FAR) {
        exchange(
            &far,
            (address(to), 8080).into(),
            &one,
            (address(own), 80).into(),
            4 << 20,
        );
        knows_mtu(&one, far_own, 1400);
    }
}

#[test]
fn an_uplink_with_a_small_mtu_is_told() {
    let world = World::with_lan();
    let lan = world.lan();
    dual(&world, "dual", 66, &[]);
    world.host.sh("ip link set up0 mtu 1400").ok();
    world.run("one", &["--net", "dual", "-p", "8080:80"]);
    let one = world.inside("one");
    for (to, host) in LAN.into_iter().zip(HOST) {
        transfer(&one, lan, address(to), 4 << 20);
        knows_mtu(&one, to, 1400);
        let own = if to.contains(':') { "::" } else { "0.0.0.0" };
        exchange(
            lan,
            (address(host), 8080).into(),
            &one,
            (address(own), 80).into(),
            4 << 20,
        );
    }
    assert!(world.path("answer-too-big") >= 2);
    // a datagram that may be fragmented is not lost
    let _service = Service::start(lan, Transport::Udp, 7, "lan");
    for to in LAN {
        let socket = one.enter(|| UdpSocket::bind((any(address(to)), 0))).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&[7; 1450], (address(to), 7)).unwrap();
        let mut buffer = [0; 100];
        assert!(socket.recv(&mut buffer).unwrap() > 0);
    }
}
