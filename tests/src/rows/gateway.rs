//! Rows of frames to the gateway's MAC: judged by the destination address.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::verdict::DropReason;

use super::{ALL_NODES, ALL_ONES, Row, sends, v4, v6, via_gateway};
use crate::{
    fixture::{
        A, ALPHA_HOST, B, BETA_HOST, D, F, FREE, H, HOST_V4, HOST_V6, I, INNER_HOST, J, OPEN_HOST, QUIET_HOST,
        WORLD_V4, WORLD_V6,
    },
    packet::{Arp, ETHERTYPE_VLAN, ethernet, tagged},
};

pub fn rows() -> Vec<Row> {
    [host(), elsewhere(), internal(), others()]
        .into_iter()
        .flatten()
        .collect()
}

fn host() -> Vec<Row> {
    let host = &ALPHA_HOST;
    vec![
        sends(&A, "v4 ping to the gateway", v4(&A, host).ping()).reaches(host),
        sends(&A, "v4 dns to the gateway", v4(&A, host).udp(40_000, 53, b"?")).reaches(host),
        sends(&A, "v6 ping to the gateway", v6(&A, host).ping()).reaches(host),
        sends(
            &A,
            "v6 ping to the gateway's link-local",
            via_gateway(&A, host.link_local()).ping(),
        )
        .reaches(host),
        sends(
            &D,
            "v4 ping to the gateway of a v4-only network",
            v4(&D, &BETA_HOST).ping(),
        )
        .reaches(&BETA_HOST),
        sends(&F, "without icc: v4 ping to the gateway", v4(&F, &QUIET_HOST).ping()).reaches(&QUIET_HOST),
        sends(&A, "the host's other v4", via_gateway(&A, HOST_V4).tcp(1, 22, b"x")).reaches(host),
        sends(&A, "the host's other v6", via_gateway(&A, HOST_V6).tcp(1, 22, b"x")).reaches(host),
        sends(
            &A,
            "limited broadcast to the gateway's mac",
            via_gateway(&A, ALL_ONES).udp(68, 67, b"renew"),
        )
        .reaches(host),
        sends(&A, "v4 multicast to the gateway's mac", {
            via_gateway(&A, Ipv4Addr::new(224, 0, 0, 251)).udp(5353, 5353, b"?")
        })
        .reaches(host),
        sends(
            &A,
            "v6 multicast to the gateway's mac",
            via_gateway(&A, ALL_NODES).ping(),
        )
        .reaches(host),
    ]
}

fn elsewhere() -> Vec<Row> {
    vec![
        sends(&A, "v4 of another network", via_gateway(&A, D.v4()).ping()).is_dropped(DropReason::OtherNetwork),
        sends(&A, "v6 of another network", via_gateway(&A, F.v6()).ping()).is_dropped(DropReason::OtherNetwork),
        sends(
            &A,
            "a free address of another network",
            via_gateway(&A, Ipv4Addr::new(10, 2, 9, 9)).ping(),
        )
        .is_dropped(DropReason::OtherNetwork),
        sends(
            &A,
            "another network's gateway over v4",
            via_gateway(&A, BETA_HOST.v4()).tcp(1, 22, b"x"),
        )
        .reaches(&ALPHA_HOST),
        sends(
            &A,
            "another network's gateway over v6",
            via_gateway(&A, QUIET_HOST.v6()).tcp(1, 22, b"x"),
        )
        .reaches(&ALPHA_HOST),
        sends(&F, "without icc: v4 of another network", via_gateway(&F, A.v4()).ping())
            .is_dropped(DropReason::OtherNetwork),
        sends(
            &A,
            "a v4 neighbour by the gateway's mac",
            via_gateway(&A, B.v4()).ping(),
        )
        .is_dropped(DropReason::NotRouted),
        sends(
            &A,
            "a v6 neighbour by the gateway's mac",
            via_gateway(&A, B.v6()).ping(),
        )
        .is_dropped(DropReason::NotRouted),
        sends(&F, "without icc: a neighbour by the gateway's mac", {
            via_gateway(&F, QUIET_HOST.network.v4(3)).ping()
        })
        .is_dropped(DropReason::NotRouted),
        sends(&A, "the world over v4", via_gateway(&A, WORLD_V4).tcp(1, 443, b"x")).is_told(DropReason::NoUplink),
        sends(&A, "the world over v6", via_gateway(&A, WORLD_V6).tcp(1, 443, b"x")).is_told(DropReason::NoUplink),
        sends(
            &A,
            "the uplink's neighbour",
            via_gateway(&A, Ipv4Addr::new(192, 0, 2, 254)).ping(),
        )
        .is_told(DropReason::NoUplink),
        sends(&A, "loopback over v4", via_gateway(&A, Ipv4Addr::LOCALHOST).ping()).is_dropped(DropReason::Martian),
        sends(&FREE, "loopback over v4 without guard", {
            via_gateway(&FREE, Ipv4Addr::LOCALHOST).ping()
        })
        .is_dropped(DropReason::Martian),
        sends(&FREE, "loopback over v6 without guard", {
            via_gateway(&FREE, Ipv6Addr::LOCALHOST).ping()
        })
        .is_dropped(DropReason::Martian),
        sends(
            &A,
            "the metadata address",
            via_gateway(&A, Ipv4Addr::new(169, 254, 169, 254)).tcp(1, 80, b"x"),
        )
        .is_told(DropReason::NoUplink),
        sends(&A, "the gateway's v4 mapped into v6 as destination", {
            via_gateway(&A, ALPHA_HOST.v4().to_ipv6_mapped()).ping()
        })
        .is_dropped(DropReason::Martian),
        sends(
            &A,
            "an unknown v6 prefix",
            via_gateway(&A, Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1)).ping(),
        )
        .is_told(DropReason::NoUplink),
    ]
}

fn internal() -> Vec<Row> {
    vec![
        sends(&H, "internal: v4 ping to the gateway", v4(&H, &INNER_HOST).ping()).reaches(&INNER_HOST),
        sends(&H, "internal: v6 ping to the gateway", v6(&H, &INNER_HOST).ping()).reaches(&INNER_HOST),
        sends(
            &H,
            "internal: the world over v4",
            via_gateway(&H, WORLD_V4).tcp(1, 443, b"x"),
        )
        .is_dropped(DropReason::InternalNetwork),
        sends(
            &H,
            "internal: the world over v6",
            via_gateway(&H, WORLD_V6).tcp(1, 443, b"x"),
        )
        .is_dropped(DropReason::InternalNetwork),
        sends(&H, "internal: another network", via_gateway(&H, A.v4()).ping()).is_dropped(DropReason::OtherNetwork),
        sends(
            &H,
            "internal: a neighbour by the gateway's mac",
            via_gateway(&H, I.v4()).ping(),
        )
        .is_dropped(DropReason::NotRouted),
    ]
}

fn others() -> Vec<Row> {
    let host = &ALPHA_HOST;
    vec![
        sends(
            &A,
            "an unknown ethertype to the gateway",
            ethernet(A.mac(), host.mac(), 0x88b5, b"x"),
        )
        .reaches(host),
        sends(&A, "an arp answer to the gateway", {
            Arp::reply((A.mac(), A.v4()), (host.mac(), host.v4())).frame(A.mac(), host.mac())
        })
        .reaches(host),
        sends(
            &A,
            "an advertisement to the gateway",
            v6(&A, host).advertise(0x60, A.v6(), Some(A.mac())),
        )
        .reaches(host),
        sends(
            &J,
            "a tag to the gateway where it is allowed",
            tagged(&v4(&J, &OPEN_HOST).ping(), ETHERTYPE_VLAN),
        )
        .reaches(&OPEN_HOST),
    ]
}
