//! Which port of the host's stands for a container's socket: its own if that is free, and one for all peers.

use std::net::{IpAddr, Ipv4Addr};

use netswitch::action::Entry;
use netswitch_common::publish::{OutwardKey, OutwardPorts};
use tests::fixture::{
    A, B, HOST_V4, HOST_V6, Port, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, out},
};
use tests::loaded::Loaded;
use tests::packet::{Ip, PROTOCOL_UDPLITE, ip};

use super::{NEXT, RANGE, REDIRECT, publish, receive, send, source_port, with_uplink};

/// Another peer than `WORLD_V4`.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

type Builder = fn(&Ip, u16, u16) -> Vec<u8>;

const TCP: Builder = |ip, from, to| ip.syn(from, to);
const UDP: Builder = |ip, from, to| ip.udp(from, to, b"x");
const UDPLITE: Builder = |ip, from, to| {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    ip.protocol(PROTOCOL_UDPLITE, &[&ports[..], &[0, 0, 0xff, 0xff]].concat())
};

/// The port under which a packet of a container leaves.
fn leaves(loaded: &Loaded, from: &Port, build: Builder, port: u16, to: (IpAddr, u16)) -> u16 {
    let own = match to.0 {
        IpAddr::V4(_) => IpAddr::from(from.v4()),
        IpAddr::V6(_) => from.v6().into(),
    };
    let sent = send(loaded, from, &build(&ip(out(from), own, to.0), port, to.1));
    assert_eq!(sent.0, REDIRECT, "{port} to {to:?}");
    source_port(&sent.1)
}

#[test]
fn a_port_that_is_free_is_kept_whoever_the_peer_is() {
    with_uplink(RANGE, |loaded| {
        for (what, build) in [("tcp", TCP), ("udp", UDP), ("udplite", UDPLITE)] {
            // privileged, below the range for masquerade, in it, and among those that programs get
            for port in [
                1,
                80,
                511,
                512,
                1_023,
                1_024,
                5_000,
                RANGE.0,
                RANGE.0 + 7,
                40_000,
                65_535,
            ] {
                for to in [
                    (IpAddr::from(WORLD_V4), 7_001),
                    (WORLD_V4.into(), 7_002),
                    (ELSEWHERE.into(), 7_001),
                    (WORLD_V6.into(), 7_001),
                ] {
                    assert_eq!(leaves(loaded, &A, build, port, to), port, "{what} to {to:?}");
                }
            }
        }
    });
}

#[test]
fn a_port_of_another_containers_is_replaced_by_one_for_all_peers_and_of_its_class() {
    with_uplink(RANGE, |loaded| {
        let peers = [
            (IpAddr::from(WORLD_V4), 7_001),
            (WORLD_V4.into(), 7_002),
            (ELSEWHERE.into(), 7_001),
        ];
        for build in [TCP, UDP] {
            for (port, class) in [
                (5_000, RANGE.0..=RANGE.0 + RANGE.1 - 1),
                (40_000, RANGE.0..=RANGE.0 + RANGE.1 - 1),
                (400, 1..=511),
                (700, 512..=1_023),
            ] {
                // the other one has spoken with somebody else alone
                assert_eq!(leaves(loaded, &B, build, port, (ELSEWHERE.into(), 9)), port);
                let outside = leaves(loaded, &A, build, port, peers[0]);
                assert!(outside != port && class.contains(&outside), "{port} became {outside}");
                for peer in peers {
                    assert_eq!(leaves(loaded, &A, build, port, peer), outside, "{port} to {peer:?}");
                    assert_eq!(leaves(loaded, &B, build, port, peer), port, "{port} to {peer:?}");
                }
            }
        }
    });
}

#[test]
fn an_identifier_is_one_for_all_peers() {
    with_uplink(RANGE, |loaded| {
        for (own, host, peers, kind) in [
            (
                IpAddr::from(A.v4()),
                IpAddr::from(HOST_V4),
                [IpAddr::from(WORLD_V4), ELSEWHERE.into()],
                8,
            ),
            (A.v6().into(), HOST_V6.into(), [WORLD_V6.into(), WORLD_V6.into()], 128),
        ] {
            let identifiers = peers.map(|peer| {
                let sent = send(loaded, &A, &ip(out(&A), own, peer).icmp(kind, 0, b"\x12\x34\x00\x01x"));
                let at = if host.is_ipv4() { 38 } else { 58 };
                [sent.1[at], sent.1[at + 1]]
            });
            assert_eq!(identifiers[0], identifiers[1]);
        }
    });
}

/// As the agent does for a publication.
fn leads_out(loaded: &mut Loaded, from: &Port, protocol: u8, inside: u16, outside: u16) {
    let [port_high, low] = inside.to_be_bytes();
    let mut value = OutwardPorts::NONE;
    value.0[usize::from(low)] = outside;
    let key = OutwardKey {
        endpoint: from.id,
        protocol,
        port_high,
        _pad: [0; 2],
    };
    let entry = Entry::Outward {
        key,
        value: Box::new(value),
    };
    loaded.datapath.tables().write(&entry).expect("an entry");
}

#[test]
fn what_a_published_port_sends_leaves_by_it() {
    with_uplink(RANGE, |loaded| {
        publish(loaded, HOST_V4, (7_777, 7_777), &A, 5_060, 0);
        for (protocol, build) in [(6, TCP), (17, UDP)] {
            leads_out(loaded, &A, protocol, 5_060, 7_777);
            for to in [(IpAddr::from(WORLD_V4), 7_001), (ELSEWHERE.into(), 7_001)] {
                assert_eq!(leaves(loaded, &A, build, 5_060, to), 7_777);
            }
            // it is published, so it is nobody else's
            let outside = leaves(loaded, &B, build, 7_777, (WORLD_V4.into(), 7_001));
            assert!((RANGE.0..RANGE.0 + RANGE.1).contains(&outside), "{outside}");
            // the publication is gone, and what is written about it is not yet
            leads_out(loaded, &B, protocol, 5_060, 7_776);
            let outside = leaves(loaded, &B, build, 5_060, (WORLD_V4.into(), 7_001));
            assert_eq!(outside, 7_776, "free all the same");
        }
    });
}

#[test]
fn nobody_but_the_peer_answers_at_a_port_that_is_kept() {
    with_uplink(RANGE, |loaded| {
        assert_eq!(leaves(loaded, &A, UDP, 40_000, (WORLD_V4.into(), 7_001)), 40_000);
        let from = |peer: Ipv4Addr, port| ip(FROM_WORLD, peer, HOST_V4).udp(port, 40_000, b"y");
        assert_eq!(receive(loaded, &from(WORLD_V4, 7_001)).0, REDIRECT);
        assert_eq!(receive(loaded, &from(WORLD_V4, 7_002)).0, NEXT);
        assert_eq!(receive(loaded, &from(ELSEWHERE, 7_001)).0, NEXT);
    });
}
