//! `--uplink-mode stack`, packet by packet: the host's stack gets containers' packets as they are, the uplinks'
//! hooks translate, and the stack's own part (routes, hop limit, MACs) is left to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    host::{Config, config_flags},
    publish::{flags, protocol},
    verdict::DropReason,
};
use tests::fixture::{
    A, ALPHA_HOST, B, FREE, H, HOST_V4, HOST_V6, UPLINK_INDEX, UPLINK_MAC, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, ROUTER_MAC, out},
};
use tests::loaded::Loaded;
use tests::packet::{describe, ip};

use super::{NEXT, RANGE, REDIRECT, SHOT, drops, publish, receive, send, source_port, with_uplink};

/// A frame as the stack sends it out.
const TO_WORLD: (Mac, Mac) = (UPLINK_MAC, ROUTER_MAC);

fn in_stack_mode(test: impl FnOnce(&mut Loaded) + Send + 'static) {
    with_uplink(RANGE, |loaded| {
        loaded.datapath.load(Hook::UplinkEgress).expect("it loads");
        let tables = loaded.datapath.tables();
        let config = tables.config().expect("a configuration");
        let flags = config_flags::STACK;
        tables.set_config(&Config { flags, ..config }).expect("a configuration");
        test(loaded);
    });
}

/// The stack sends it out of the uplink.
fn leave(loaded: &Loaded, frame: &[u8]) -> (i32, Vec<u8>) {
    let ran = loaded
        .datapath
        .run(Hook::UplinkEgress, UPLINK_INDEX, frame, 1)
        .expect("it runs");
    (ran.verdict, ran.frame)
}

/// The stack sends it into a network's host end, to A.
fn forward(loaded: &Loaded, from: IpAddr, to: IpAddr, build: impl Fn(&tests::packet::Ip) -> Vec<u8>) -> i32 {
    send(
        loaded,
        &ALPHA_HOST,
        &build(&ip((ALPHA_HOST.mac(), A.mac()), from, to).hops(63)),
    )
    .0
}

/// Goes on as this frame.
#[track_caller]
fn goes_on(found: &(i32, Vec<u8>), expected: &[u8]) {
    assert_eq!(found.0, NEXT, "{}", describe(&found.1));
    assert!(
        found.1 == expected,
        "{}\ninstead of\n{}",
        describe(&found.1),
        describe(expected)
    );
}

const FAMILIES: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(HOST_V4), IpAddr::V4(WORLD_V4)),
    (IpAddr::V6(HOST_V6), IpAddr::V6(WORLD_V6)),
];

#[test]
fn what_goes_out_is_translated_where_it_leaves_and_answers_where_they_enter() {
    in_stack_mode(|loaded| {
        for ((host, world), own) in FAMILIES.into_iter().zip([IpAddr::from(A.v4()), A.v6().into()]) {
            let question = ip(out(&A), own, world).udp(4000, 53, b"question");
            let sent = send(loaded, &A, &question);
            assert_eq!(sent.0, REDIRECT);
            assert!(
                sent.1 == question,
                "the stack gets it as it was sent: {}",
                describe(&sent.1)
            );

            let left = leave(loaded, &ip(TO_WORLD, own, world).hops(63).udp(4000, 53, b"question"));
            let port = source_port(&left.1);
            assert_eq!(port, 4000, "nobody else has it");
            goes_on(&left, &ip(TO_WORLD, host, world).hops(63).udp(port, 53, b"question"));

            let answer = receive(loaded, &ip(FROM_WORLD, world, host).udp(53, port, b"the answer"));
            goes_on(&answer, &ip(FROM_WORLD, world, own).udp(53, 4000, b"the answer"));
            assert_eq!(
                forward(loaded, world, own, |ip| ip.udp(53, 4000, b"the answer")),
                REDIRECT
            );
            // of no flow
            assert_eq!(forward(loaded, world, own, |ip| ip.udp(53, 4001, b"forged")), SHOT);
            assert_eq!(forward(loaded, world, own, tests::packet::Ip::ping), SHOT);
        }
        assert_eq!(drops(loaded, &ALPHA_HOST, DropReason::NotPublished), 4);
    });
}

#[test]
fn a_published_port_is_led_to_by_the_stack() {
    in_stack_mode(|loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8010), &A, 80, 0);
        publish(loaded, Ipv6Addr::UNSPECIFIED, (8100, 8110), &A, 80, 0);
        let own = [(IpAddr::from(A.v4()), 8000), (A.v6().into(), 8100)];
        for ((host, world), (own, base)) in FAMILIES.into_iter().zip(own) {
            let came = receive(loaded, &ip(FROM_WORLD, world, host).tcp(5000, base + 3, b"hello"));
            goes_on(&came, &ip(FROM_WORLD, world, own).tcp(5000, 83, b"hello"));
            assert_eq!(forward(loaded, world, own, |ip| ip.tcp(5000, 83, b"hello")), REDIRECT);
            let answer = ip(out(&A), own, world).tcp(83, 5000, b"welcome");
            assert_eq!(send(loaded, &A, &answer), (REDIRECT, answer));
            let left = leave(loaded, &ip(TO_WORLD, own, world).hops(63).tcp(83, 5000, b"welcome"));
            goes_on(
                &left,
                &ip(TO_WORLD, host, world).hops(63).tcp(base + 3, 5000, b"welcome"),
            );
        }
    });
}

#[test]
fn a_port_that_needs_the_gateways_address_is_left_to_the_relay() {
    in_stack_mode(|loaded| {
        publish(loaded, HOST_V4, (8000, 8000), &H, 80, flags::GATEWAY_SOURCE);
        let question = ip(FROM_WORLD, WORLD_V4, HOST_V4).tcp(5000, 8000, b"hello");
        goes_on(&receive(loaded, &question), &question);
    });
}

#[test]
fn what_is_the_hosts_own_leaves_as_it_is() {
    in_stack_mode(|loaded| {
        for (host, world) in FAMILIES {
            let packet = ip(TO_WORLD, host, world);
            for frame in [packet.udp(4000, 53, b"x"), packet.tcp(4000, 80, b"x"), packet.ping()] {
                goes_on(&leave(loaded, &frame), &frame);
            }
        }
        let forwarded = ip(TO_WORLD, Ipv4Addr::new(10, 99, 0, 1), WORLD_V4).udp(4000, 53, b"x");
        goes_on(&leave(loaded, &forwarded), &forwarded);
    });
}

#[test]
fn the_stacks_errors_about_our_packets_are_translated() {
    in_stack_mode(|loaded| {
        publish(loaded, HOST_V4, (8000, 8000), &A, 80, 0);
        let came = receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5000, 8000, b"hello"));
        let quote = |packet: &[u8]| [&[0; 4], &packet[14..42]].concat();
        let said = leave(loaded, &ip(TO_WORLD, HOST_V4, WORLD_V4).icmp(3, 10, &quote(&came.1)));
        let mut original = ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5000, 8000, b"hello");
        original[40..42].copy_from_slice(&came.1[40..42]);
        goes_on(&said, &ip(TO_WORLD, HOST_V4, WORLD_V4).icmp(3, 10, &quote(&original)));
        // and about others are not
        let other = ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5000, 9000, b"hello");
        let said = ip(TO_WORLD, HOST_V4, WORLD_V4).icmp(3, 3, &quote(&other));
        goes_on(&leave(loaded, &said), &said);
    });
}

#[test]
fn nothing_leaves_that_could_not_come_back() {
    in_stack_mode(|loaded| {
        let spoofed = ip(out(&FREE), Ipv4Addr::new(10, 1, 0, 200), WORLD_V4).udp(4000, 53, b"x");
        assert_eq!(send(loaded, &FREE, &spoofed).0, REDIRECT); // back, with the reason
        assert_eq!(drops(loaded, &FREE, DropReason::NoUplink), 1);
        let inner = ip(out(&H), H.v4(), WORLD_V4).udp(4000, 53, b"x");
        assert_eq!(send(loaded, &H, &inner).0, SHOT);
        assert_eq!(drops(loaded, &H, DropReason::InternalNetwork), 1);
        let uplinks = loaded.datapath.tables().host_entries().expect("UPLINKS");
        for uplink in uplinks {
            loaded.datapath.tables().remove(&uplink).expect("an uplink");
        }
        let nowhere = ip(out(&B), B.v4(), WORLD_V4).udp(4000, 53, b"x");
        assert_eq!(send(loaded, &B, &nowhere).0, REDIRECT);
        assert_eq!(drops(loaded, &B, DropReason::NoUplink), 1);
    });
}

#[test]
fn packets_that_the_stack_has_cut_are_translated_alike() {
    in_stack_mode(|loaded| {
        let datagram = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, &[7; 72]);
        let part = |source: Ipv4Addr, from: usize, more| {
            let offset = u16::try_from(from).expect("a small offset");
            ip(TO_WORLD, source, WORLD_V4)
                .fragment(offset, more)
                .protocol(protocol::UDP, &datagram[34 + from..(34 + from + 40)])
        };
        // the endpoint's hook lets none of them past its first one
        assert_eq!(leave(loaded, &part(A.v4(), 40, false)).0, SHOT);
        assert_eq!(drops(loaded, &A, DropReason::Fragment), 1);
        let first = leave(loaded, &part(A.v4(), 0, true));
        assert_eq!((first.0, &first.1[26..30]), (NEXT, &HOST_V4.octets()[..]));
        goes_on(&leave(loaded, &part(A.v4(), 40, false)), &part(HOST_V4, 40, false));
    });
}
