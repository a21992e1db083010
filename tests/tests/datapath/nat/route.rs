//! What a router owes a packet's sender: the MTU of the route and not of its device, and no source routes.

use std::net::IpAddr;
use std::process::Command;

use tests::fixture::{A, B, HOST_V4, WORLD_V4, WORLD_V6, uplink::FROM_WORLD, uplink::out};
use tests::loaded::Loaded;
use tests::packet::{describe, ip};
use tests::world::eventually;

use super::{RANGE, REDIRECT, SHOT, publish, receive, send, with_uplink};

/// Options of IPv4 that name routers to pass (RFC 791, 3.1), and those that a router leaves alone.
const LOOSE: [u8; 8] = [131, 7, 4, 203, 0, 113, 1, 0];
const STRICT: [u8; 8] = [137, 7, 4, 203, 0, 113, 1, 0];
const LATER: [u8; 12] = [1, 1, 1, 131, 7, 4, 203, 0, 113, 1, 0, 0];
const BEHIND_ANOTHER: [u8; 12] = [0x94, 4, 0, 0, 137, 7, 4, 203, 0, 113, 1, 0];
const RECORD: [u8; 8] = [7, 7, 4, 0, 0, 0, 0, 0];
const TIMESTAMP: [u8; 8] = [68, 8, 5, 0, 0, 0, 0, 0];
const ALERT: [u8; 4] = [0x94, 4, 0, 0];
/// The bytes of a source route, as the data of another option.
const INSIDE_ANOTHER: [u8; 8] = [0x88, 4, 131, 7, 1, 1, 1, 0];

#[test]
fn source_routes_lead_neither_out_nor_in() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, HOST_V4, (8000, 8000), &B, 80, 0);
        let rows: [(&str, &[u8]); 4] = [
            ("loose", &LOOSE),
            ("strict", &STRICT),
            ("behind no-operations", &LATER),
            ("behind a router alert", &BEHIND_ANOTHER),
        ];
        let mut wrong = Vec::new();
        for ((name, options), port) in rows.into_iter().zip(4000..) {
            let outward = ip(out(&A), A.v4(), WORLD_V4).options(options);
            for (kind, frame) in [
                ("udp", outward.udp(port, 53, b"x")),
                ("tcp", outward.syn(port, 80)),
                ("ping", outward.ping()),
            ] {
                if send(loaded, &A, &frame).0 != SHOT {
                    wrong.push(format!("{name}: {kind} goes out"));
                }
            }
            let inward = ip(FROM_WORLD, WORLD_V4, HOST_V4).options(options);
            if receive(loaded, &inward.udp(port, 8000, b"x")).0 == REDIRECT {
                wrong.push(format!("{name}: udp comes in"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn source_routes_do_not_follow_a_flow_that_is_there() {
    with_uplink(RANGE, |loaded| {
        let packet = ip(out(&A), A.v4(), WORLD_V4);
        assert_eq!(send(loaded, &A, &packet.udp(4000, 53, b"x")).0, REDIRECT);
        assert_eq!(
            send(loaded, &A, &packet.clone().options(&LOOSE).udp(4000, 53, b"x")).0,
            SHOT
        );
        assert_eq!(send(loaded, &A, &packet.udp(4000, 53, b"x")).0, REDIRECT);
    });
}

#[test]
fn other_options_go_out() {
    with_uplink(RANGE, |loaded| {
        let rows: [&[u8]; 4] = [&RECORD, &TIMESTAMP, &ALERT, &INSIDE_ANOTHER];
        for (options, port) in rows.into_iter().zip(4000..) {
            let frame = ip(out(&A), A.v4(), WORLD_V4).options(options).udp(port, 53, b"x");
            assert_eq!(send(loaded, &A, &frame).0, REDIRECT, "{options:?}");
        }
    });
}

/// The default routes get this MTU; 0 for their device's. `bpf_fib_lookup` tells only one that is locked
/// (`ip_mtu_from_fib_result`, `ip6_mtu_from_fib6`).
fn set_route_mtu(mtu: u16) {
    let limit = if mtu == 0 {
        String::new()
    } else {
        format!(" mtu lock {mtu}")
    };
    for route in [
        format!("route replace default via 192.0.2.254{limit}"),
        format!("-6 route replace default via 2001:db8::fe{limit}"),
    ] {
        let ip = Command::new("ip").args(route.split(' ')).status().expect("ip runs");
        assert!(ip.success(), "{route}");
    }
}

const FAMILIES: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(A.v4()), IpAddr::V4(WORLD_V4)),
    (IpAddr::V6(A.v6()), IpAddr::V6(WORLD_V6)),
];

/// A datagram of so many bytes with its IP header.
fn datagram((from, to): (IpAddr, IpAddr), port: u16, size: usize) -> Vec<u8> {
    let headers = if from.is_ipv4() { 28 } else { 48 };
    ip(out(&A), from, to)
        .dont_fragment()
        .udp(port, 53, &vec![7; size - headers])
}

/// The MTU that an ICMP error tells the sender.
fn told((verdict, frame): &(i32, Vec<u8>)) -> Option<u16> {
    if *verdict != REDIRECT {
        return None;
    }
    let short = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match (&frame[12..14], frame.get(34), frame.get(54)) {
        ([8, 0], Some(3), _) if frame[23] == 1 => Some(short(40)),
        ([0x86, 0xdd], _, Some(2)) if frame[20] == 58 => Some(short(60)),
        _ => None,
    }
}

#[test]
fn a_route_with_a_small_mtu_is_told() {
    with_uplink(RANGE, |loaded| {
        set_route_mtu(1400);
        for family in FAMILIES {
            let large = send(loaded, &A, &datagram(family, 4000, 1450));
            assert_eq!(told(&large), Some(1400), "{family:?}: {}", describe(&large.1));
            let fits = send(loaded, &A, &datagram(family, 4001, 1400));
            assert_eq!((fits.0, told(&fits)), (REDIRECT, None), "{family:?}");
        }
    });
}

#[test]
fn a_route_whose_mtu_changes_is_told_to_flows_that_are_there() {
    with_uplink(RANGE, |loaded| {
        let large = |loaded: &Loaded, family| told(&send(loaded, &A, &datagram(family, 4000, 1450)));
        for family in FAMILIES {
            assert_eq!(large(loaded, family), None);
        }
        set_route_mtu(1400);
        for family in FAMILIES {
            eventually("the route's new MTU", || match large(loaded, family) {
                Some(1400) => Ok(()),
                other => Err(format!("{family:?}: {other:?}")),
            });
        }
        set_route_mtu(0);
        for family in FAMILIES {
            eventually("the device's MTU", || match large(loaded, family) {
                None => Ok(()),
                other => Err(format!("{family:?}: {other:?}")),
            });
        }
    });
}
