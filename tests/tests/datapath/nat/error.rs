//! ICMP errors: those that find their flow, and those that the switch itself sends.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::checksum;
use tests::fixture::{
    A, ALPHA, B, HOST_V4, HOST_V6, UPLINK_MAC, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, ROUTER_MAC, into, out},
};
use tests::packet::{describe, ip};

use super::{NEXT, RANGE, REDIRECT, publish, receive, same_frame, send, with_uplink};

#[test]
fn errors_from_routers_find_their_flow() {
    with_uplink(RANGE, |loaded| {
        let router = Ipv4Addr::new(203, 0, 113, 1);
        let original = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"question");
        let sent = send(loaded, &A, &original);
        // the router quotes what it got, and says how long it may be
        let quote = |packet: &[u8], hops: u8| {
            let mut quoted = packet[14..42].to_vec();
            quoted[8] = hops;
            quoted[10..12].fill(0);
            let sum = checksum::fold(checksum::sum(&quoted[..20], 0));
            quoted[10..12].copy_from_slice(&sum.to_ne_bytes());
            [&[0, 0, 0x05, 0x14][..], &quoted].concat()
        };
        let found = receive(loaded, &ip(FROM_WORLD, router, HOST_V4).icmp(3, 4, &quote(&sent.1, 60)));
        let mut expected = quote(&original, 60);
        // the quoted transport checksum stays as it was on the wire
        expected[30..32].copy_from_slice(&sent.1[40..42]);
        same_frame(&found, &ip(into(&A), router, A.v4()).hops(63).icmp(3, 4, &expected));
        // about what is none of ours the host's stack knows
        let other = ip(out(&A), HOST_V4, WORLD_V4).udp(9, 9, b"question");
        assert_eq!(
            receive(loaded, &ip(FROM_WORLD, router, HOST_V4).icmp(3, 4, &quote(&other, 60))).0,
            NEXT
        );
    });
}

#[test]
fn errors_over_ipv6_find_their_flow() {
    with_uplink(RANGE, |loaded| {
        let router: Ipv6Addr = "2001:db8:aaaa::1".parse().expect("an address");
        let original = ip(out(&A), A.v6(), WORLD_V6).udp(4000, 53, b"question");
        let sent = send(loaded, &A, &original);
        let quote = |packet: &[u8]| [&[0, 0, 0x05, 0x14][..], &packet[14..]].concat();
        let found = receive(loaded, &ip(FROM_WORLD, router, HOST_V6).icmp(2, 0, &quote(&sent.1)));
        let mut expected = original.clone();
        expected[21] = 63; // its hop limit when it was quoted
        expected[60..62].copy_from_slice(&sent.1[60..62]);
        same_frame(
            &found,
            &ip(into(&A), router, A.v6()).hops(63).icmp(2, 0, &quote(&expected)),
        );
    });
}

#[test]
fn hops_end_here_with_word_to_the_sender() {
    with_uplink(RANGE, |loaded| {
        let original = ip(out(&A), A.v4(), WORLD_V4).hops(1).udp(4000, 33434, b"traceroute");
        let told = send(loaded, &A, &original);
        let gateway = ALPHA.host_port().v4();
        assert_eq!(told.0, REDIRECT);
        assert_eq!((told.1[34], told.1[35]), (11, 0), "{}", describe(&told.1));
        assert_eq!(told.1[26..34], [gateway.octets(), A.v4().octets()].concat());
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
        let told = receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).hops(1).udp(5000, 8000, b"x"));
        assert_eq!((told.0, told.1[34]), (REDIRECT, 11));
        assert_eq!(told.1[..12], [ROUTER_MAC.0, UPLINK_MAC.0].concat());
        assert_eq!(told.1[26..34], [HOST_V4.octets(), WORLD_V4.octets()].concat());
    });
}
