//! Rows of frames between members of one network: they arrive as they were sent.

use std::net::Ipv4Addr;

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{Row, sends, v4, v6};
use crate::{
    fixture::{
        A, ALPHA, ALPHA_HOST, B, BETA, BETA_HOST, D, E, F, G, H, HOST_V4, HOST_V6, I, INNER_HOST, QUIET_HOST, SIX,
        WORLD_V4, WORLD_V6,
    },
    packet::{
        AUTHENTICATION, DESTINATION_OPTIONS, HOP_BY_HOP, PROTOCOL_ESP, PROTOCOL_GRE, PROTOCOL_SCTP, PROTOCOL_UDP,
        ROUTING, ethernet, ip,
    },
};

pub fn rows() -> Vec<Row> {
    [protocols(), hops(), headers(), fragments(), strangers(), host()]
        .into_iter()
        .flatten()
        .collect()
}

fn protocols() -> Vec<Row> {
    vec![
        sends(&A, "v4 ping", v4(&A, &B).ping()).reaches(&B),
        sends(&B, "v4 ping the other way", v4(&B, &A).ping()).reaches(&A),
        sends(&A, "v4 udp", v4(&A, &B).udp(40_000, 53, b"query")).reaches(&B),
        sends(&A, "v4 tcp", v4(&A, &B).tcp(40_000, 6379, b"PING\r\n")).reaches(&B),
        sends(&A, "v4 sctp", v4(&A, &B).protocol(PROTOCOL_SCTP, &[0; 12])).reaches(&B),
        sends(&A, "v4 gre", v4(&A, &B).protocol(PROTOCOL_GRE, &[0, 0, 8, 0])).reaches(&B),
        sends(&A, "v4 esp", v4(&A, &B).protocol(PROTOCOL_ESP, &[1; 16])).reaches(&B),
        sends(&A, "an unknown v4 protocol", v4(&A, &B).protocol(253, b"?")).reaches(&B),
        sends(&A, "v4 without payload", v4(&A, &B).protocol(253, &[])).reaches(&B),
        sends(&A, "v6 ping", v6(&A, &B).ping()).reaches(&B),
        sends(&A, "v6 udp", v6(&A, &B).udp(40_000, 53, b"query")).reaches(&B),
        sends(&A, "v6 tcp", v6(&A, &B).tcp(40_000, 6379, b"PING\r\n")).reaches(&B),
        sends(&A, "v6 sctp", v6(&A, &B).protocol(PROTOCOL_SCTP, &[0; 12])).reaches(&B),
        sends(&A, "v6 gre", v6(&A, &B).protocol(PROTOCOL_GRE, &[0, 0, 8, 0])).reaches(&B),
        sends(&A, "v6 esp", v6(&A, &B).protocol(PROTOCOL_ESP, &[1; 16])).reaches(&B),
        sends(&SIX, "v6 from a container without v4", v6(&SIX, &A).ping()).reaches(&A),
        sends(&D, "v4 on a v4-only network", v4(&D, &E).ping()).reaches(&E),
        sends(&H, "between members of an internal network", v4(&H, &I).ping()).reaches(&I),
        sends(
            &A,
            "an experimental ethertype",
            ethernet(A.mac(), B.mac(), 0x88b5, b"hello"),
        )
        .reaches(&B),
        sends(&A, "mpls", ethernet(A.mac(), B.mac(), 0x8847, &[0, 1, 1, 64])).reaches(&B),
        sends(
            &A,
            "an 802.3 length instead of an ethertype",
            ethernet(A.mac(), B.mac(), 3, &[0x42; 46]),
        )
        .reaches(&B),
        sends(
            &A,
            "one byte of an unknown ethertype",
            ethernet(A.mac(), B.mac(), 0x88b5, &[0]),
        )
        .reaches(&B),
        // the destination address does not matter to a switch: this one is routed by a container
        sends(
            &A,
            "through a neighbour that routes",
            ip((A.mac(), B.mac()), A.v4(), WORLD_V4).ping(),
        )
        .reaches(&B),
        sends(
            &A,
            "another network's address to a neighbour's mac",
            ip((A.mac(), B.mac()), A.v4(), D.v4()).ping(),
        )
        .reaches(&B),
    ]
}

fn hops() -> Vec<Row> {
    vec![
        sends(&A, "ttl 64 stays", v4(&A, &B).hops(64).ping()).reaches(&B),
        sends(&A, "ttl 1 stays", v4(&A, &B).hops(1).ping()).reaches(&B),
        sends(&A, "ttl 0 stays", v4(&A, &B).hops(0).ping()).reaches(&B),
        sends(&A, "hop limit 1 stays", v6(&A, &B).hops(1).ping()).reaches(&B),
        sends(
            &ALPHA_HOST,
            "ttl 64 from the host stays",
            v4(&ALPHA_HOST, &A).hops(64).tcp(1, 2, b"x"),
        )
        .reaches(&A),
        sends(
            &A,
            "ttl 64 to the host stays",
            v4(&A, &ALPHA_HOST).hops(64).tcp(2, 1, b"x"),
        )
        .reaches(&ALPHA_HOST),
    ]
}

fn headers() -> Vec<Row> {
    let six = (0..5).fold(v6(&A, &B).extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0]), |packet, _| {
        packet.extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
    });
    // a switch carries packets: their checksums are for the receiver to check
    let with = |mut frame: Vec<u8>, offset: usize, value: u8| {
        frame[offset] = value;
        frame
    };
    vec![
        sends(
            &A,
            "v4 with a wrong checksum",
            with(v4(&A, &B).tcp(1, 2, b"x"), 25, 0xee),
        )
        .reaches(&B),
        sends(&A, "v6 that claims no length", with(v6(&A, &B).tcp(1, 2, b"x"), 19, 0)).reaches(&B),
        sends(
            &A,
            "v4 record route",
            v4(&A, &B).options(&[7, 7, 4, 0, 0, 0, 0, 0]).ping(),
        )
        .reaches(&B),
        sends(
            &A,
            "v4 with forty bytes of options",
            v4(&A, &B).options(&[1; 40]).udp(1, 2, b"x"),
        )
        .reaches(&B),
        sends(
            &A,
            "v6 behind hop-by-hop",
            v6(&A, &B).extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0]).udp(1, 2, b"x"),
        )
        .reaches(&B),
        sends(&A, "v6 behind destination options", {
            v6(&A, &B)
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .tcp(1, 2, b"x")
        })
        .reaches(&B),
        sends(
            &A,
            "v6 behind a routing header",
            v6(&A, &B).extension(ROUTING, &[4, 0, 0, 0, 0, 0]).udp(1, 2, b"x"),
        )
        .reaches(&B),
        sends(
            &A,
            "v6 behind an authentication header",
            v6(&A, &B).extension(AUTHENTICATION, &[0; 22]).udp(1, 2, b"x"),
        )
        .reaches(&B),
        sends(&A, "v6 behind six extension headers", six.ping()).reaches(&B),
        sends(&A, "v6 with no next header", v6(&A, &B).protocol(59, &[])).reaches(&B),
        sends(
            &A,
            "v4 with bytes behind the packet",
            [v4(&A, &B).udp(1, 2, b"x"), vec![0; 20]].concat(),
        )
        .reaches(&B),
        sends(
            &A,
            "v6 with bytes behind the packet",
            [v6(&A, &B).udp(1, 2, b"x"), vec![0; 20]].concat(),
        )
        .reaches(&B),
    ]
}

fn fragments() -> Vec<Row> {
    vec![
        sends(
            &A,
            "a first v4 fragment",
            v4(&A, &B).fragment(0, true).udp(1, 2, &[7; 64]),
        )
        .reaches(&B),
        sends(
            &A,
            "a middle v4 fragment",
            v4(&A, &B).fragment(72, true).protocol(PROTOCOL_UDP, &[7; 64]),
        )
        .reaches(&B),
        sends(
            &A,
            "a last v4 fragment",
            v4(&A, &B).fragment(136, false).protocol(PROTOCOL_UDP, &[7; 3]),
        )
        .reaches(&B),
        sends(
            &A,
            "a first v6 fragment",
            v6(&A, &B).fragment(0, true).udp(1, 2, &[7; 64]),
        )
        .reaches(&B),
        sends(
            &A,
            "a last v6 fragment",
            v6(&A, &B).fragment(72, false).protocol(PROTOCOL_UDP, &[7; 3]),
        )
        .reaches(&B),
        sends(
            &A,
            "an atomic v6 fragment",
            v6(&A, &B).fragment(0, false).udp(1, 2, b"x"),
        )
        .reaches(&B),
    ]
}

fn strangers() -> Vec<Row> {
    let nobody = Mac([2, 0x42, 10, 1, 0, 200]);
    vec![
        sends(
            &A,
            "a mac that nobody has",
            ip((A.mac(), nobody), A.v4(), ALPHA.v4(200)).ping(),
        )
        .is_told(DropReason::NoSuchNeighbour),
        sends(
            &A,
            "a member of another network by its mac",
            ip((A.mac(), D.mac()), A.v4(), D.v4()).ping(),
        )
        .is_told(DropReason::NoSuchNeighbour),
        sends(
            &A,
            "another network's gateway by its mac",
            ip((A.mac(), BETA_HOST.mac()), A.v4(), BETA_HOST.v4()).ping(),
        )
        .is_told(DropReason::NoSuchNeighbour),
        sends(
            &A,
            "an unknown ethertype to nobody",
            ethernet(A.mac(), nobody, 0x88b5, b"x"),
        )
        .is_dropped(DropReason::NoSuchNeighbour),
        sends(&F, "without icc: v4 to a neighbour", v4(&F, &G).ping()).is_dropped(DropReason::IccDisabled),
        sends(&F, "without icc: v6 to a neighbour", v6(&F, &G).tcp(1, 2, b"x")).is_dropped(DropReason::IccDisabled),
        sends(
            &F,
            "without icc: an ethertype to a neighbour",
            ethernet(F.mac(), G.mac(), 0x88b5, b"x"),
        )
        .is_dropped(DropReason::IccDisabled),
        sends(
            &F,
            "without icc: to nobody",
            ip((F.mac(), nobody), F.v4(), G.v4()).ping(),
        )
        .is_told(DropReason::NoSuchNeighbour),
    ]
}

fn host() -> Vec<Row> {
    let to_a = (ALPHA_HOST.mac(), A.mac());
    vec![
        sends(&ALPHA_HOST, "v4 from the gateway", v4(&ALPHA_HOST, &A).ping()).reaches(&A),
        sends(&ALPHA_HOST, "v6 from the gateway", v6(&ALPHA_HOST, &A).ping()).reaches(&A),
        sends(&ALPHA_HOST, "v6 from the gateway's link-local", {
            ip(to_a, ALPHA_HOST.link_local(), A.link_local()).ping()
        })
        .reaches(&A),
        sends(
            &ALPHA_HOST,
            "v4 from the host's other address",
            ip(to_a, HOST_V4, A.v4()).ping(),
        )
        .reaches(&A),
        sends(
            &ALPHA_HOST,
            "v6 from the host's other address",
            ip(to_a, HOST_V6, A.v6()).ping(),
        )
        .reaches(&A),
        sends(
            &ALPHA_HOST,
            "v4 from another network's gateway",
            ip(to_a, BETA_HOST.v4(), A.v4()).ping(),
        )
        .reaches(&A),
        sends(
            &ALPHA_HOST,
            "v4 from loopback",
            ip(to_a, Ipv4Addr::LOCALHOST, A.v4()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v6 from another network's link-local",
            ip(to_a, INNER_HOST.link_local(), A.v6()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        // one bit away from an address of alpha, which has a route
        sends(
            &ALPHA_HOST,
            "v4 from nowhere",
            ip(to_a, Ipv4Addr::new(138, 1, 0, 2), A.v4()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v4 from the world",
            ip(to_a, WORLD_V4, A.v4()).tcp(1, 2, b"x"),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v6 from the world",
            ip(to_a, WORLD_V6, A.v6()).tcp(1, 2, b"x"),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v4 from another network, routed",
            ip(to_a, D.v4(), A.v4()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v4 from a neighbour, through the host",
            ip(to_a, B.v4(), A.v4()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "v6 from a neighbour, through the host",
            ip(to_a, B.v6(), A.v6()).ping(),
        )
        .is_dropped(DropReason::NotPublished),
        sends(
            &ALPHA_HOST,
            "an unknown ethertype from the host",
            ethernet(ALPHA_HOST.mac(), A.mac(), 0x88b5, b"x"),
        )
        .reaches(&A),
        sends(
            &ALPHA_HOST,
            "the host to nobody",
            ip((ALPHA_HOST.mac(), D.mac()), ALPHA_HOST.v4(), A.v4()).ping(),
        )
        .is_told(DropReason::NoSuchNeighbour),
        sends(&QUIET_HOST, "without icc: from the host", v4(&QUIET_HOST, &F).ping()).reaches(&F),
        sends(&BETA_HOST, "v6 from the host where there is none", {
            ip((BETA_HOST.mac(), D.mac()), BETA_HOST.link_local(), BETA.v6(2)).ping()
        })
        .is_dropped(DropReason::NoV6),
    ]
}
