//! Rows of the guard over ARP and neighbour discovery: nobody speaks for another.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{ALL_NODES, Row, sends};
use crate::{
    fixture::{A, ALPHA_HOST, B, EXTRA_V4, EXTRA_V6, FREE, MORE, SIX, SMALL},
    packet::{Arp, DESTINATION_OPTIONS, ip, multicast_mac, solicited_node},
};

const STRANGE: Mac = Mac([2, 0, 0, 0, 0, 9]);

pub fn rows() -> Vec<Row> {
    [address_resolution(), advertisements(), mapped_targets()]
        .into_iter()
        .flatten()
        .collect()
}

fn address_resolution() -> Vec<Row> {
    let everyone = Mac::BROADCAST;
    let ask = |sender: (Mac, Ipv4Addr)| Arp::request(sender, SMALL.v4()).frame(A.mac(), everyone);
    let reply = |sender: (Mac, Ipv4Addr)| Arp::reply(sender, (B.mac(), B.v4())).frame(A.mac(), B.mac());
    vec![
        sends(&A, "arp with a neighbour's mac inside", ask((B.mac(), A.v4()))).is_dropped(DropReason::SpoofedArp),
        sends(&A, "arp with a neighbour's address inside", ask((A.mac(), B.v4()))).is_dropped(DropReason::SpoofedArp),
        sends(
            &A,
            "arp with the gateway's address inside",
            ask((A.mac(), ALPHA_HOST.v4())),
        )
        .is_dropped(DropReason::SpoofedArp),
        sends(&A, "an arp answer for the gateway", reply((A.mac(), ALPHA_HOST.v4())))
            .is_dropped(DropReason::SpoofedArp),
        sends(&A, "an arp answer that names another mac", reply((B.mac(), A.v4()))).is_dropped(DropReason::SpoofedArp),
        sends(
            &A,
            "an arp answer without address",
            reply((A.mac(), Ipv4Addr::UNSPECIFIED)),
        )
        .is_dropped(DropReason::SpoofedArp),
        sends(&SIX, "an arp answer without address from a container without any", {
            Arp::reply((SIX.mac(), Ipv4Addr::UNSPECIFIED), (B.mac(), B.v4())).frame(SIX.mac(), B.mac())
        })
        .is_dropped(DropReason::SpoofedArp),
        sends(&A, "a gratuitous arp for a neighbour", {
            Arp::request((A.mac(), B.v4()), B.v4()).frame(A.mac(), everyone)
        })
        .is_dropped(DropReason::SpoofedArp),
        sends(&A, "an arp answer of its own", reply((A.mac(), A.v4()))).reaches(&B),
        sends(&MORE, "an arp answer for a further address", {
            Arp::reply((MORE.mac(), EXTRA_V4), (B.mac(), B.v4())).frame(MORE.mac(), B.mac())
        })
        .reaches(&B),
        sends(&FREE, "an arp answer for a neighbour without guard", {
            Arp::reply((FREE.mac(), A.v4()), (B.mac(), B.v4())).frame(FREE.mac(), B.mac())
        })
        .reaches(&B),
    ]
}

fn advertisements() -> Vec<Row> {
    let to_all = || ip((A.mac(), multicast_mac(ALL_NODES)), A.v6(), ALL_NODES);
    let to_b = || ip((A.mac(), B.mac()), A.v6(), B.v6());
    let ask = |target: Ipv6Addr| {
        let group = solicited_node(target);
        ip((A.mac(), multicast_mac(group)), A.v6(), group)
    };
    let spoofed = DropReason::SpoofedNeighbour;
    let everyone = [&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX];
    vec![
        sends(
            &A,
            "an advertisement for the gateway",
            to_all().advertise(0x20, ALPHA_HOST.v6(), Some(A.mac())),
        )
        .is_dropped(spoofed),
        sends(
            &A,
            "an advertisement for a neighbour",
            to_b().advertise(0x60, SMALL.v6(), Some(A.mac())),
        )
        .is_dropped(spoofed),
        sends(
            &A,
            "an advertisement that names another mac",
            to_b().advertise(0x60, A.v6(), Some(B.mac())),
        )
        .is_dropped(spoofed),
        sends(
            &A,
            "an advertisement of its own",
            to_b().advertise(0x60, A.v6(), Some(A.mac())),
        )
        .reaches(&B),
        sends(
            &A,
            "an advertisement of its link-local",
            to_b().advertise(0x60, A.link_local(), Some(A.mac())),
        )
        .reaches(&B),
        sends(&A, "an advertisement without mac", to_b().advertise(0x40, A.v6(), None)).reaches(&B),
        sends(
            &A,
            "an unsolicited advertisement",
            to_all().advertise(0x20, A.v6(), Some(A.mac())),
        )
        .is_copied_to(&everyone),
        sends(
            &A,
            "a solicitation that names another mac",
            ask(B.v6()).solicit(B.v6(), Some(STRANGE)),
        )
        .is_dropped(spoofed),
        sends(&A, "probing for a neighbour's address", {
            let group = solicited_node(B.v6());
            ip((A.mac(), multicast_mac(group)), Ipv6Addr::UNSPECIFIED, group).solicit(B.v6(), None)
        })
        .is_dropped(spoofed),
        sends(&A, "an advertisement for a neighbour behind an extension header", {
            to_b()
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .advertise(0x60, SMALL.v6(), Some(A.mac()))
        })
        .is_dropped(spoofed),
        sends(
            &A,
            "an advertisement whose options may be in another fragment",
            to_b().fragment(0, true).advertise(0x60, A.v6(), None),
        )
        .is_dropped(DropReason::Malformed),
        sends(&MORE, "an advertisement of a further address", {
            ip((MORE.mac(), B.mac()), MORE.v6(), B.v6()).advertise(0x60, EXTRA_V6, Some(MORE.mac()))
        })
        .reaches(&B),
        sends(&FREE, "an advertisement for a neighbour without guard", {
            ip((FREE.mac(), B.mac()), FREE.v6(), B.v6()).advertise(0x60, A.v6(), Some(FREE.mac()))
        })
        .reaches(&B),
    ]
}

/// Neighbour discovery about IPv4 addresses in IPv6's clothes, which the maps hold so.
fn mapped_targets() -> Vec<Row> {
    let mapped = |address: Ipv4Addr| address.to_ipv6_mapped();
    let ask = |from: Ipv6Addr, target: Ipv6Addr| {
        let group = solicited_node(target);
        ip((A.mac(), multicast_mac(group)), from, group).solicit(target, None)
    };
    let none = Ipv6Addr::UNSPECIFIED;
    let spoofed = DropReason::SpoofedNeighbour;
    vec![
        sends(&A, "an advertisement of its v4 mapped into v6", {
            ip((A.mac(), B.mac()), A.v6(), B.v6()).advertise(0x60, mapped(A.v4()), Some(A.mac()))
        })
        .is_dropped(spoofed),
        sends(&MORE, "an advertisement of a further v4 mapped into v6", {
            ip((MORE.mac(), B.mac()), MORE.v6(), B.v6()).advertise(0x60, mapped(EXTRA_V4), Some(MORE.mac()))
        })
        .is_dropped(spoofed),
        sends(&A, "probing for its v4 mapped into v6", ask(none, mapped(A.v4()))).is_dropped(spoofed),
        sends(&A, "asking for its v4 mapped into v6", ask(A.v6(), mapped(A.v4()))).is_dropped(spoofed),
        sends(
            &A,
            "asking for a neighbour's v4 mapped into v6",
            ask(A.v6(), mapped(B.v4())),
        )
        .is_dropped(spoofed),
        sends(
            &A,
            "asking for a free v4 mapped into v6",
            ask(A.v6(), mapped(Ipv4Addr::new(10, 1, 9, 9))),
        )
        .is_dropped(spoofed),
    ]
}
