//! Rows of a network that the host, and metadata services, are closed to.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::{
    address::Mac,
    verdict::{DropReason, Verdict},
};

use super::{ALL_NODES, ALL_ONES, Row, sends, v4, v6, via_gateway};
use crate::{
    fixture::{HOST_V4, HOST_V6, P, Port, Q, R, SHUT_HOST, WORLD_V4},
    packet::{Arp, ethernet, ip},
};

const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// What follows the checksum of an echo.
const ECHO: &[u8] = b"\x12\x34\x00\x01netswitch!!";

pub fn rows() -> Vec<Row> {
    [closed(), goes_on(), names_only(), groups(), metadata()]
        .into_iter()
        .flatten()
        .collect()
}

fn closed() -> Vec<Row> {
    let host = &SHUT_HOST;
    let dropped = DropReason::HostAccess;
    vec![
        sends(&P, "closed host: v4 ping to the gateway", v4(&P, host).ping()).is_dropped(dropped),
        sends(&P, "closed host: v6 ping to the gateway", v6(&P, host).ping()).is_dropped(dropped),
        sends(&P, "closed host: v6 ping to its link-local address", {
            ip((P.mac(), host.mac()), P.link_local(), host.link_local()).ping()
        })
        .is_dropped(dropped),
        sends(&P, "closed host: v4 dns", v4(&P, host).udp(40_000, 53, b"?")).is_dropped(dropped),
        sends(
            &P,
            "closed host: v4 connection to the gateway",
            v4(&P, host).syn(40_000, 22),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: v6 connection to the gateway",
            v6(&P, host).syn(40_000, 22),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: v4 acknowledgement of nothing",
            v4(&P, host).tcp(40_000, 22, b"x"),
        )
        .is_dropped(dropped),
        sends(&P, "closed host: its other v4", via_gateway(&P, HOST_V4).syn(1, 22)).is_dropped(dropped),
        sends(
            &P,
            "closed host: its other v6",
            via_gateway(&P, HOST_V6).udp(1, 22, b"x"),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: an unknown protocol",
            v4(&P, host).protocol(253, b"12345678"),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: an unknown ethertype",
            ethernet(P.mac(), host.mac(), 0x88b5, b"x"),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: a broadcast to its mac",
            via_gateway(&P, ALL_ONES).udp(68, 67, b"?"),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: a multicast to its mac",
            via_gateway(&P, ALL_NODES).ping(),
        )
        .is_dropped(dropped),
        sends(
            &P,
            "closed host: the world is not it",
            via_gateway(&P, WORLD_V4).syn(1, 443),
        )
        .is_told(DropReason::NoUplink),
        sends(&P, "closed host: a neighbour is not it", v4(&P, &Q).syn(1, 22)).reaches(&Q),
    ]
}

/// What the host has begun, and what lets it begin.
fn goes_on() -> Vec<Row> {
    let host = &SHUT_HOST;
    let asked = v4(host, &P).udp(1, 2, b"?");
    vec![
        sends(&P, "closed host: v4 echo reply", v4(&P, host).icmp(0, 0, ECHO)).reaches(host),
        sends(&P, "closed host: v6 echo reply", v6(&P, host).icmp(129, 0, ECHO)).reaches(host),
        sends(&P, "closed host: an error about its packet", {
            v4(&P, host).icmp(3, 3, &[&[0; 4], &asked[14..]].concat())
        })
        .reaches(host),
        sends(&P, "closed host: an arp answer", {
            Arp::reply((P.mac(), P.v4()), (host.mac(), host.v4())).frame(P.mac(), host.mac())
        })
        .reaches(host),
        sends(
            &P,
            "closed host: an advertisement",
            v6(&P, host).advertise(0x60, P.v6(), Some(P.mac())),
        )
        .reaches(host),
        sends(&P, "closed host: who has the gateway", {
            Arp::request((P.mac(), P.v4()), host.v4()).frame(P.mac(), Mac::BROADCAST)
        })
        .is_answered(Verdict::AnswerArp, host.mac(), {
            Arp::reply((host.mac(), host.v4()), (P.mac(), P.v4())).frame(host.mac(), P.mac())
        }),
    ]
}

/// `netswitch.host_access=dns`.
fn names_only() -> Vec<Row> {
    let host = &SHUT_HOST;
    let dropped = DropReason::HostAccess;
    vec![
        sends(&Q, "names only: v4 ping to the gateway", v4(&Q, host).ping()).reaches(host),
        sends(&Q, "names only: v6 ping to the gateway", v6(&Q, host).ping()).reaches(host),
        sends(
            &Q,
            "names only: ping to the host's other v4",
            via_gateway(&Q, HOST_V4).ping(),
        )
        .is_dropped(dropped),
        sends(
            &Q,
            "names only: ping to the host's other v6",
            via_gateway(&Q, HOST_V6).ping(),
        )
        .is_dropped(dropped),
        sends(&Q, "names only: v4 connection to the gateway", v4(&Q, host).syn(1, 22)).is_dropped(dropped),
        sends(
            &Q,
            "names only: v6 datagram to the gateway",
            v6(&Q, host).udp(1, 54, b"?"),
        )
        .is_dropped(dropped),
    ]
}

fn groups() -> Vec<Row> {
    let to_all = |from: &Port| ip((from.mac(), Mac::BROADCAST), from.v4(), ALL_ONES).udp(5000, 5001, b"x");
    vec![
        sends(&P, "closed host: a broadcast", to_all(&P)).is_copied_to(&[&Q, &R]),
        sends(&R, "closed host: a broadcast that nobody else hears", to_all(&R)).is_dropped(DropReason::HostAccess),
    ]
}

fn metadata() -> Vec<Row> {
    let dropped = DropReason::Metadata;
    vec![
        sends(&P, "closed metadata: over v4", via_gateway(&P, METADATA_V4).syn(1, 80)).is_dropped(dropped),
        sends(&P, "closed metadata: over v6", via_gateway(&P, METADATA_V6).syn(1, 80)).is_dropped(dropped),
        sends(&P, "closed metadata: ping", via_gateway(&P, METADATA_V4).ping()).is_dropped(dropped),
        sends(&P, "closed metadata: to everybody's mac", {
            ip((P.mac(), Mac::BROADCAST), P.v4(), METADATA_V4).udp(1, 80, b"x")
        })
        .is_dropped(dropped),
    ]
}
