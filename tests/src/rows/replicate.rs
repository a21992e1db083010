//! Rows of broadcast and multicast: a copy to every other member, or to the host alone.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{ALL_NODES, ALL_ONES, Row, sends};
use crate::{
    fixture::{
        A, ALPHA, ALPHA_HOST, B, BETA, BETA_HOST, CROWD_HOST, CROWD_MEMBERS, D, E, F, FREE, G, H, HOST_V4, HOST_V6,
        MORE, Port, QUIET_HOST, SIX, SMALL, WORLD_V4, WORLD_V6, X, Y,
    },
    packet::{Arp, PROTOCOL_IGMP, PROTOCOL_UDP, ethernet, ip, multicast_mac},
};

const MDNS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const SSDP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const IGMP_V3: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

pub fn rows() -> Vec<Row> {
    [
        members(),
        unicast_packets(),
        refused_packets(),
        host(),
        without_icc(),
        crowd(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn to_all(from: &Port) -> (Mac, Mac) {
    (from.mac(), Mac::BROADCAST)
}

fn members() -> Vec<Row> {
    let others: [&Port; 6] = [&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX];
    vec![
        sends(
            &A,
            "v4 limited broadcast",
            ip(to_all(&A), A.v4(), ALL_ONES).udp(1, 9, b"hello"),
        )
        .is_copied_to(&others),
        sends(
            &A,
            "v4 broadcast of the subnet",
            ip(to_all(&A), A.v4(), ALPHA.broadcast()).ping(),
        )
        .is_copied_to(&others),
        sends(
            &A,
            "v4 mdns",
            ip((A.mac(), multicast_mac(MDNS_V4)), A.v4(), MDNS_V4)
                .hops(255)
                .udp(5353, 5353, b"?"),
        )
        .is_copied_to(&others),
        sends(
            &A,
            "v4 ssdp",
            ip((A.mac(), multicast_mac(SSDP)), A.v4(), SSDP).udp(1900, 1900, b"?"),
        )
        .is_copied_to(&others),
        sends(&A, "v4 group membership", {
            ip((A.mac(), multicast_mac(IGMP_V3)), A.v4(), IGMP_V3)
                .hops(1)
                .protocol(PROTOCOL_IGMP, &[0x22; 16])
        })
        .is_copied_to(&others),
        sends(&A, "a later fragment of a broadcast", {
            ip(to_all(&A), A.v4(), ALL_ONES)
                .fragment(64, false)
                .protocol(PROTOCOL_UDP, b"rest")
        })
        .is_copied_to(&others),
        sends(
            &A,
            "v6 all nodes",
            ip((A.mac(), multicast_mac(ALL_NODES)), A.link_local(), ALL_NODES).ping(),
        )
        .is_copied_to(&others),
        sends(
            &A,
            "v6 mdns",
            ip((A.mac(), multicast_mac(MDNS_V6)), A.v6(), MDNS_V6)
                .hops(255)
                .udp(5353, 5353, b"?"),
        )
        .is_copied_to(&others),
        sends(
            &A,
            "an unknown ethertype to everyone",
            ethernet(A.mac(), Mac::BROADCAST, 0x88b5, b"hello"),
        )
        .is_copied_to(&others),
        sends(
            &D,
            "a broadcast stays on its network",
            ip(to_all(&D), D.v4(), ALL_ONES).udp(1, 9, b"hello"),
        )
        .is_copied_to(&[&BETA_HOST, &E]),
        sends(&A, "a group mac over a neighbour's address", {
            ip((A.mac(), multicast_mac(MDNS_V4)), A.v4(), B.v4()).ping()
        })
        .is_copied_to(&others),
    ]
}

/// To a group's MAC, for one address: a copy may go to the host only where the gateway's MAC may.
fn unicast_packets() -> Vec<Row> {
    let others: [&Port; 6] = [&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX];
    let to_group = (A.mac(), multicast_mac(MDNS_V6));
    vec![
        sends(&A, "a broadcast over the gateway's v4", {
            ip(to_all(&A), A.v4(), ALPHA_HOST.v4()).udp(1, 53, b"?")
        })
        .is_copied_to(&others),
        sends(&A, "a group mac over the gateway's v6", {
            ip(to_group, A.v6(), ALPHA_HOST.v6()).ping()
        })
        .is_copied_to(&others),
        sends(&A, "a broadcast over the host's other v4", {
            ip(to_all(&A), A.v4(), HOST_V4).udp(1, 53, b"?")
        })
        .is_copied_to(&others),
        sends(&A, "a broadcast over the host's other v6", {
            ip(to_all(&A), A.v6(), HOST_V6).udp(1, 53, b"?")
        })
        .is_copied_to(&others),
        sends(&A, "a group mac over a neighbour's v6", {
            ip(to_group, A.v6(), B.v6()).udp(1, 53, b"?")
        })
        .is_copied_to(&others),
        sends(&A, "a group mac over a neighbour's link-local", {
            ip(to_group, A.link_local(), B.link_local()).ping()
        })
        .is_copied_to(&others),
        sends(&ALPHA_HOST, "a broadcast from the host over one address", {
            ip(to_all(&ALPHA_HOST), ALPHA_HOST.v4(), D.v4()).ping()
        })
        .is_copied_to(&[&A, &B, &SMALL, &FREE, &MORE, &SIX]),
    ]
}

fn refused_packets() -> Vec<Row> {
    let to_group_v4 = (A.mac(), multicast_mac(MDNS_V4));
    let to_group_v6 = (A.mac(), multicast_mac(MDNS_V6));
    vec![
        sends(&A, "a broadcast over another network's gateway, v4 icmp", {
            ip(to_all(&A), A.v4(), BETA_HOST.v4()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over another network's gateway, v4 udp", {
            ip(to_all(&A), A.v4(), BETA_HOST.v4()).udp(1, 53, b"?")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a group mac over another network's gateway, v4 icmp", {
            ip(to_group_v4, A.v4(), BETA_HOST.v4()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a group mac over another network's gateway, v4 udp", {
            ip(to_group_v4, A.v4(), BETA_HOST.v4()).udp(1, 53, b"?")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over another network's gateway, v6 icmp", {
            ip(to_all(&A), A.v6(), QUIET_HOST.v6()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over another network's gateway, v6 udp", {
            ip(to_all(&A), A.v6(), QUIET_HOST.v6()).udp(1, 53, b"?")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a group mac over another network's gateway, v6 icmp", {
            ip(to_group_v6, A.v6(), QUIET_HOST.v6()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a group mac over another network's gateway, v6 udp", {
            ip(to_group_v6, A.v6(), QUIET_HOST.v6()).udp(1, 53, b"?")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a later fragment to everyone over another network's gateway", {
            ip(to_all(&A), A.v4(), BETA_HOST.v4())
                .fragment(64, false)
                .protocol(PROTOCOL_UDP, b"rest")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over a member of another network", {
            ip(to_all(&A), A.v4(), D.v4()).udp(1, 9, b"hello")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over another network's broadcast", {
            ip(to_all(&A), A.v4(), BETA.broadcast()).udp(1, 9, b"hello")
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&A, "a broadcast over loopback", {
            ip(to_all(&A), A.v4(), Ipv4Addr::LOCALHOST).udp(1, 53, b"?")
        })
        .is_dropped(DropReason::Martian),
        sends(&A, "a broadcast over the world's v4", {
            ip(to_all(&A), A.v4(), WORLD_V4).ping()
        })
        .is_dropped(DropReason::NoUplink),
        sends(&A, "a group mac over the world's v6", {
            ip(to_group_v6, A.v6(), WORLD_V6).ping()
        })
        .is_dropped(DropReason::NoUplink),
        sends(&H, "internal: a broadcast over the world's v4", {
            ip(to_all(&H), H.v4(), WORLD_V4).ping()
        })
        .is_dropped(DropReason::InternalNetwork),
        sends(&F, "without icc: a broadcast over another network's gateway", {
            ip(to_all(&F), F.v4(), ALPHA_HOST.v4()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
        sends(&FREE, "without guard: a broadcast over another network's gateway", {
            ip(to_all(&FREE), FREE.v4(), BETA_HOST.v4()).ping()
        })
        .is_dropped(DropReason::OtherNetwork),
    ]
}

fn host() -> Vec<Row> {
    let containers: [&Port; 6] = [&A, &B, &SMALL, &FREE, &MORE, &SIX];
    let host = &ALPHA_HOST;
    vec![
        sends(
            host,
            "a broadcast from the host",
            ip(to_all(host), host.v4(), ALL_ONES).udp(1, 9, b"hello"),
        )
        .is_copied_to(&containers),
        sends(host, "multicast from the host", {
            ip((host.mac(), multicast_mac(MDNS_V6)), host.link_local(), MDNS_V6).udp(5353, 5353, b"?")
        })
        .is_copied_to(&containers),
        sends(host, "a gratuitous arp from the host", {
            Arp::request((host.mac(), host.v4()), host.v4()).frame(host.mac(), Mac::BROADCAST)
        })
        .is_copied_to(&containers),
        sends(host, "multicast from the world", {
            ip((host.mac(), multicast_mac(SSDP)), WORLD_V4, SSDP).udp(1900, 1900, b"?")
        })
        .is_dropped(DropReason::NotPublished),
        sends(&BETA_HOST, "v6 multicast from the host where there is no v6", {
            ip(
                (BETA_HOST.mac(), multicast_mac(ALL_NODES)),
                BETA_HOST.link_local(),
                ALL_NODES,
            )
            .ping()
        })
        .is_dropped(DropReason::NoV6),
        sends(&BETA_HOST, "v4 multicast from the host where there is no v6", {
            ip((BETA_HOST.mac(), multicast_mac(MDNS_V4)), BETA.v4(1), MDNS_V4).udp(5353, 5353, b"?")
        })
        .is_copied_to(&[&D, &E]),
    ]
}

fn without_icc() -> Vec<Row> {
    vec![
        sends(
            &F,
            "without icc: a broadcast reaches the host",
            ip(to_all(&F), F.v4(), ALL_ONES).udp(1, 9, b"hello"),
        )
        .is_copied_to(&[&QUIET_HOST]),
        sends(&F, "without icc: v6 multicast reaches the host", {
            ip((F.mac(), multicast_mac(MDNS_V6)), F.v6(), MDNS_V6).udp(5353, 5353, b"?")
        })
        .is_copied_to(&[&QUIET_HOST]),
        sends(&F, "without icc: a gratuitous arp reaches the host", {
            Arp::request((F.mac(), F.v4()), F.v4()).frame(F.mac(), Mac::BROADCAST)
        })
        .is_copied_to(&[&QUIET_HOST]),
        sends(&QUIET_HOST, "without icc: the host's broadcast reaches all", {
            ip(to_all(&QUIET_HOST), QUIET_HOST.v4(), ALL_ONES).udp(1, 9, b"hello")
        })
        .is_copied_to(&[&F, &G]),
    ]
}

fn crowd() -> Vec<Row> {
    let mut others = vec![&Y; CROWD_MEMBERS as usize - 2];
    others.push(&CROWD_HOST);
    vec![
        sends(&X, "a broadcast to more members than copies", {
            ip(to_all(&X), X.v4(), ALL_ONES).udp(1, 9, b"hello")
        })
        .is_copied_to(&others),
    ]
}
