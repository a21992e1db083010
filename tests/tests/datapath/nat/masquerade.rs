//! Out to the world with an address and a port of the host's, and back.

use std::net::IpAddr;

use netswitch_common::verdict::DropReason;
use tests::fixture::{
    A, B, HOST_V4, HOST_V6, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, into, out},
};
use tests::packet::{PROTOCOL_GRE, ip};

use super::{NEXT, RANGE, REDIRECT, SHOT, drops, receive, same_frame, same_packet, send, source_port, with_uplink};

#[test]
fn udp_goes_out_with_the_hosts_address_and_comes_back() {
    with_uplink(RANGE, |loaded| {
        for (from, host, world) in [
            (IpAddr::from(A.v4()), IpAddr::from(HOST_V4), IpAddr::from(WORLD_V4)),
            (A.v6().into(), HOST_V6.into(), WORLD_V6.into()),
        ] {
            let sent = send(loaded, &A, &ip(out(&A), from, world).udp(4000, 53, b"question"));
            let port = source_port(&sent.1);
            assert_eq!(port, 4000, "nobody else has it");
            same_packet(&sent, &ip(out(&A), host, world).hops(63).udp(port, 53, b"question"));

            let answer = receive(loaded, &ip(FROM_WORLD, world, host).udp(53, port, b"the answer"));
            same_frame(
                &answer,
                &ip(into(&A), world, from).hops(63).udp(53, 4000, b"the answer"),
            );
            // the same flow keeps its port
            let again = send(loaded, &A, &ip(out(&A), from, world).udp(4000, 53, b"more"));
            assert_eq!(source_port(&again.1), port);
            // to somebody else the port means nothing
            let stranger = receive(loaded, &ip(FROM_WORLD, world, host).udp(54, port, b"forged"));
            assert_eq!(stranger.0, NEXT);
        }
    });
}

#[test]
fn tcp_and_options_and_empty_checksums_are_translated() {
    with_uplink(RANGE, |loaded| {
        let sent = send(
            loaded,
            &A,
            &ip(out(&A), A.v4(), WORLD_V4).options(&[1; 8]).tcp(4000, 80, b"odd"),
        );
        let port = u16::from_be_bytes([sent.1[42], sent.1[43]]);
        same_packet(
            &sent,
            &ip(out(&A), HOST_V4, WORLD_V4)
                .hops(63)
                .options(&[1; 8])
                .tcp(port, 80, b"odd"),
        );
        let mut frame = ip(out(&A), A.v4(), WORLD_V4).udp(4001, 53, b"no checksum");
        frame[40..42].fill(0);
        let sent = send(loaded, &A, &frame);
        assert_eq!(sent.1[40..42], [0, 0]);
    });
}

#[test]
fn echo_requests_get_another_identifier() {
    with_uplink(RANGE, |loaded| {
        for (from, host, world, kinds) in [
            (
                IpAddr::from(A.v4()),
                IpAddr::from(HOST_V4),
                IpAddr::from(WORLD_V4),
                (8, 0),
            ),
            (A.v6().into(), HOST_V6.into(), WORLD_V6.into(), (128, 129)),
        ] {
            let sent = send(
                loaded,
                &A,
                &ip(out(&A), from, world).icmp(kinds.0, 0, b"\x12\x34\x00\x01x"),
            );
            let at = if host.is_ipv4() { 38 } else { 58 };
            let rest = [&sent.1[at..at + 2], b"\x00\x01x"].concat();
            assert_ne!(rest[..2], [0x12, 0x34]);
            same_packet(&sent, &ip(out(&A), host, world).hops(63).icmp(kinds.0, 0, &rest));
            let answer = receive(loaded, &ip(FROM_WORLD, world, host).icmp(kinds.1, 0, &rest));
            same_frame(
                &answer,
                &ip(into(&A), world, from)
                    .hops(63)
                    .icmp(kinds.1, 0, b"\x12\x34\x00\x01x"),
            );
        }
    });
}

#[test]
fn other_protocols_change_their_address_alone() {
    with_uplink(RANGE, |loaded| {
        let sent = send(
            loaded,
            &A,
            &ip(out(&A), A.v4(), WORLD_V4).protocol(PROTOCOL_GRE, b"tunnelled"),
        );
        same_packet(
            &sent,
            &ip(out(&A), HOST_V4, WORLD_V4)
                .hops(63)
                .protocol(PROTOCOL_GRE, b"tunnelled"),
        );
        let answer = receive(
            loaded,
            &ip(FROM_WORLD, WORLD_V4, HOST_V4).protocol(PROTOCOL_GRE, b"back"),
        );
        same_frame(
            &answer,
            &ip(into(&A), WORLD_V4, A.v4()).hops(63).protocol(PROTOCOL_GRE, b"back"),
        );
    });
}

#[test]
fn case_10_two_containers_with_one_port_get_two() {
    with_uplink(RANGE, |loaded| {
        let one = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"a"));
        let two = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(4000, 53, b"b"));
        assert_ne!(source_port(&one.1), source_port(&two.1));
    });
}

#[test]
fn case_12_ports_run_out_towards_one_destination_and_are_free_towards_another() {
    with_uplink((20_000, 8), |loaded| {
        // their own ports stand for another container's sockets
        for port in 4000..4009 {
            let other = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(port, 53, b"x"));
            assert_eq!((other.0, source_port(&other.1)), (REDIRECT, port));
        }
        for port in 4000..4008 {
            let sent = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(port, 53, b"x"));
            assert_eq!(sent.0, REDIRECT, "{port}");
        }
        assert_eq!(
            send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4008, 53, b"x")).0,
            SHOT
        );
        assert_eq!(drops(loaded, &A, DropReason::PortsExhausted), 1);
        let other = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4008, 54, b"x"));
        assert_eq!(other.0, REDIRECT);
    });
}
