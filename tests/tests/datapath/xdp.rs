//! The XDP guard: what it drops, what it redirects into a container, and that all else goes on untouched.

use std::net::IpAddr;

use netswitch::action::{Device, Entry};
use netswitch_common::{checksum, host::Uplink, verdict::DropReason};
use tests::fixture::{
    A, HOST_V4, HOST_V6, UPLINK_MAC, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, into, out},
};
use tests::loaded::Loaded;
use tests::packet::{Ip, describe, ip};

use super::nat::{RANGE, drops, publish, receive, send, with_uplink};

/// Verdicts of XDP.
const DROP: i32 = 1;
const PASS: i32 = 2;
const REDIRECT: i32 = 4;

/// The fixed world as the guard sees it in a test: what arrives, arrives at the first device.
fn guarded(test: impl FnOnce(&mut Loaded) + Send + 'static) {
    with_uplink(RANGE, |loaded| {
        let uplink = Entry::Uplink {
            device: Device {
                name: "lo".into(),
                index: Some(1),
            },
            value: Uplink {
                mtu: 1500,
                mac: UPLINK_MAC,
                ..Uplink::default()
            },
        };
        loaded.datapath.tables().write(&uplink).expect("an uplink");
        for host in [IpAddr::from(HOST_V4), HOST_V6.into()] {
            loaded
                .datapath
                .tables()
                .write(&Entry::Local { address: host })
                .expect("an address of the host");
            publish(loaded, host, (8080, 8080), &A, 80, 0);
        }
        test(loaded);
    });
}

#[track_caller]
fn passes(loaded: &mut Loaded, frame: &[u8]) {
    let ran = loaded.datapath.run_guard(frame).expect("it runs");
    assert_eq!(ran.verdict, PASS, "{}", describe(frame));
    assert!(ran.frame == frame, "{} was changed", describe(frame));
}

/// Client, published address and container's, by family.
fn sides() -> [(IpAddr, IpAddr, IpAddr); 2] {
    [
        (WORLD_V4.into(), HOST_V4.into(), A.v4().into()),
        (WORLD_V6.into(), HOST_V6.into(), A.v6().into()),
    ]
}

type Finish = fn(&Ip, u16, u16, &[u8]) -> Vec<u8>;
const TRANSPORTS: [Finish; 2] = [Ip::tcp, Ip::udp];

#[test]
fn a_published_ports_flow_is_redirected_once_it_is_open() {
    guarded(|loaded| {
        for (client, host, container) in sides() {
            for finish in TRANSPORTS {
                let frame = finish(&ip(FROM_WORLD, client, host), 4000, 8080, b"question");
                let answer = finish(&ip(out(&A), container, client), 80, 4000, b"answer");
                passes(loaded, &frame);
                receive(loaded, &frame);
                passes(loaded, &frame);
                send(loaded, &A, &answer);
                // it might be a stranger's until the client has heard the answer
                passes(loaded, &frame);
                receive(loaded, &frame);
                let ran = loaded.datapath.run_guard(&frame).expect("it runs");
                assert_eq!(ran.verdict, REDIRECT, "{}", describe(&frame));
                let expected = finish(&ip(into(&A), client, container).hops(63), 4000, 80, b"question");
                assert!(
                    ran.frame == expected,
                    "{}\ninstead of\n{}",
                    describe(&ran.frame),
                    describe(&expected)
                );
            }
        }
    });
}

#[test]
fn whatever_is_not_plain_goes_on_to_tcx() {
    guarded(|loaded| {
        for (client, host, container) in sides() {
            let at = if host.is_ipv4() { 34 } else { 54 };
            for finish in TRANSPORTS {
                let frame = finish(&ip(FROM_WORLD, client, host), 4000, 8080, b"x");
                receive(loaded, &frame);
                send(loaded, &A, &finish(&ip(out(&A), container, client), 80, 4000, b"x"));
                receive(loaded, &frame);
                // no hop left; nobody's flow; a frame that is another machine's
                passes(loaded, &finish(&ip(FROM_WORLD, client, host).hops(1), 4000, 8080, b"x"));
                passes(loaded, &finish(&ip(FROM_WORLD, client, host), 4001, 8080, b"x"));
                let elsewhere = (FROM_WORLD.0, FROM_WORLD.0);
                passes(loaded, &finish(&ip(elsewhere, client, host), 4000, 8080, b"x"));
                // too long for the container
                passes(loaded, &finish(&ip(FROM_WORLD, client, host), 4000, 8080, &[0; 1600]));
            }
            // a checksum that a device would have finished
            let mut frame = ip(FROM_WORLD, client, host).udp(4000, 8080, b"left to the device");
            let address = if host.is_ipv4() { 26..34 } else { 22..54 };
            let pseudo = [&frame[address], &[0, 17, 0, 26]].concat();
            let sum = !checksum::fold(checksum::sum(&pseudo, 0));
            frame[at + 6..at + 8].copy_from_slice(&sum.to_ne_bytes());
            passes(loaded, &frame);
            // the end of a connection changes its state
            let mut frame = ip(FROM_WORLD, client, host).tcp(4000, 8080, b"");
            frame[at + 13] |= 1;
            passes(loaded, &frame);
        }
        passes(
            loaded,
            &ip(FROM_WORLD, WORLD_V4, HOST_V4).options(&[1; 4]).udp(4000, 8080, b"x"),
        );
        let mut frame = ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(4000, 8080, b"none");
        frame[40..42].fill(0);
        let ran = loaded.datapath.run_guard(&frame).expect("it runs");
        assert_eq!((ran.verdict, &ran.frame[40..42]), (REDIRECT, &[0, 0][..]));
    });
}

#[test]
fn whom_a_port_does_not_let_in_and_unpublished_containers_are_dropped_and_counted() {
    guarded(|loaded| {
        let restricted = netswitch_common::publish::flags::SOURCES;
        for (client, host, container) in sides() {
            publish(loaded, host, (9090, 9090), &A, 90, restricted);
            let mut dropped = |to, port, reason| {
                let before = drops(loaded, &A, reason);
                let frame = ip(FROM_WORLD, client, to).tcp(4000, port, b"");
                assert_eq!(loaded.datapath.run_guard(&frame).expect("it runs").verdict, DROP);
                assert_eq!(drops(loaded, &A, reason), before + 1);
            };
            dropped(host, 9090, DropReason::SourceDenied);
            dropped(container, 80, DropReason::NotPublished);
        }
    });
}
