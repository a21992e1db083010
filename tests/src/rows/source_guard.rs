//! Rows of the source guard: what a container may not say (DATAPATH §5).

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{ALL_ONES, ALL_ROUTERS, Row, sends, stranger_sends, v4};
use crate::{
    fixture::{A, ALPHA, ALPHA_HOST, B, BETA, D, E, EXTRA_V4, EXTRA_V6, FREE, MORE, SIX, SMALL, UPLINK_INDEX},
    packet::{HOP_BY_HOP, ethernet, ip, multicast_mac},
};

const STRANGE: Mac = Mac([2, 0, 0, 0, 0, 9]);

pub fn rows() -> Vec<Row> {
    [macs(), addresses(), v6_addresses(), mapped_addresses(), destinations()]
        .into_iter()
        .flatten()
        .collect()
}

fn macs() -> Vec<Row> {
    let from = |source: Mac| ip((source, B.mac()), A.v4(), B.v4()).ping();
    let group = Mac([3, 0x42, 10, 1, 0, 2]);
    vec![
        sends(&A, "a neighbour's mac", from(B.mac())).is_dropped(DropReason::SpoofedMac),
        sends(&A, "the gateway's mac", from(ALPHA_HOST.mac())).is_dropped(DropReason::SpoofedMac),
        sends(&A, "an unknown mac", from(STRANGE)).is_dropped(DropReason::SpoofedMac),
        sends(&A, "a group mac as source", from(group)).is_dropped(DropReason::SpoofedMac),
        sends(
            &A,
            "a strange mac on an unknown ethertype",
            ethernet(STRANGE, B.mac(), 0x88b5, b"x"),
        )
        .is_dropped(DropReason::SpoofedMac),
        sends(
            &ALPHA_HOST,
            "a strange mac from the host",
            ip((STRANGE, A.mac()), ALPHA_HOST.v4(), A.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedMac),
        sends(
            &FREE,
            "a strange mac without guard",
            ip((STRANGE, A.mac()), A.v4(), B.v4()).ping(),
        )
        .reaches(&A),
        stranger_sends(UPLINK_INDEX, "a device that is no port", v4(&A, &B).ping())
            .is_dropped(DropReason::UnknownEndpoint),
    ]
}

fn addresses() -> Vec<Row> {
    let macs = (A.mac(), B.mac());
    let to_all = (A.mac(), Mac::BROADCAST);
    let none = Ipv4Addr::UNSPECIFIED;
    vec![
        sends(&A, "a neighbour's v4", ip(macs, SMALL.v4(), B.v4()).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "the gateway's v4",
            ip(macs, ALPHA_HOST.v4(), B.v4()).udp(1, 2, b"x"),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "a broadcast v4 as source",
            ip(macs, ALPHA.broadcast(), B.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "a loopback v4 as source",
            ip(macs, Ipv4Addr::LOCALHOST, B.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "a neighbour's v4 to everyone",
            ip(to_all, B.v4(), ALL_ONES).udp(1, 2, b"x"),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "a neighbour's v4 in a later fragment",
            ip(macs, SMALL.v4(), B.v4()).fragment(8, false).protocol(17, b"x"),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "no v4 yet, asking for one",
            ip(to_all, none, ALL_ONES).udp(68, 67, b"discover"),
        )
        .is_copied_to(&[&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX]),
        sends(
            &A,
            "no v4 and other ports",
            ip(to_all, none, ALL_ONES).udp(68, 68, b"x"),
        )
        .is_dropped(DropReason::DhcpServer),
        sends(
            &A,
            "no v4 yet, asking one neighbour",
            ip(macs, none, B.v4()).udp(68, 67, b"discover"),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(&A, "no v4 and no udp", ip(to_all, none, ALL_ONES).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "no v4 in a later fragment",
            ip(to_all, none, ALL_ONES)
                .fragment(8, false)
                .protocol(17, &[0, 68, 0, 67]),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &SIX,
            "no v4 from a container without any",
            ip((SIX.mac(), B.mac()), none, B.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &SIX,
            "some v4 from a container without any",
            ip((SIX.mac(), B.mac()), SIX.v4(), B.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &MORE,
            "a further v4",
            ip((MORE.mac(), B.mac()), EXTRA_V4, B.v4()).ping(),
        )
        .reaches(&B),
        sends(
            &MORE,
            "a neighbour's v4 is no further one",
            ip((MORE.mac(), A.mac()), B.v4(), A.v4()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(&A, "a further v4 of another", ip(macs, EXTRA_V4, B.v4()).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(
            &FREE,
            "a neighbour's v4 without guard",
            ip((FREE.mac(), A.mac()), B.v4(), A.v4()).ping(),
        )
        .reaches(&A),
    ]
}

fn v6_addresses() -> Vec<Row> {
    let macs = (A.mac(), B.mac());
    let none = Ipv6Addr::UNSPECIFIED;
    let to_routers = (A.mac(), multicast_mac(ALL_ROUTERS));
    let report = ip((A.mac(), multicast_mac(ALL_ROUTERS)), none, ALL_ROUTERS)
        .hops(1)
        .extension(HOP_BY_HOP, &[5, 2, 0, 0, 1, 0])
        .icmp(143, 0, &[0, 0, 0, 0]);
    let everyone = [&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX];
    vec![
        sends(&A, "a neighbour's v6", ip(macs, SMALL.v6(), B.v6()).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "the gateway's v6",
            ip(macs, ALPHA_HOST.v6(), B.v6()).tcp(1, 2, b"x"),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "a neighbour's link-local",
            ip(macs, SMALL.link_local(), B.link_local()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "its own link-local",
            ip(macs, A.link_local(), B.link_local()).ping(),
        )
        .reaches(&B),
        sends(&A, "no v6 and a ping", ip(macs, none, B.v6()).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(&A, "no v6 and udp", ip(to_routers, none, ALL_ROUTERS).udp(1, 2, b"x"))
            .is_dropped(DropReason::SpoofedAddress),
        sends(
            &A,
            "no v6 and a router solicitation",
            ip(to_routers, none, ALL_ROUTERS).hops(255).icmp(133, 0, &[0; 4]),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(&A, "no v6 and a listener report", report).is_copied_to(&everyone),
        sends(&A, "no v6 and a listener report to one", {
            ip(macs, none, B.v6()).hops(1).icmp(143, 0, &[0, 0, 0, 0])
        })
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &MORE,
            "a further v6",
            ip((MORE.mac(), B.mac()), EXTRA_V6, B.v6()).ping(),
        )
        .reaches(&B),
        sends(&A, "a further v6 of another", ip(macs, EXTRA_V6, B.v6()).ping()).is_dropped(DropReason::SpoofedAddress),
        sends(
            &D,
            "v6 where there is none",
            ip((D.mac(), E.mac()), BETA.v6(2), BETA.v6(3)).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &D,
            "link-local where there is no v6",
            ip((D.mac(), E.mac()), D.link_local(), E.link_local()).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &D,
            "the unspecified address is nobody's own",
            ip((D.mac(), E.mac()), none, BETA.v6(3)).ping(),
        )
        .is_dropped(DropReason::SpoofedAddress),
        sends(
            &FREE,
            "a neighbour's v6 without guard",
            ip((FREE.mac(), A.mac()), B.v6(), A.v6()).ping(),
        )
        .reaches(&A),
    ]
}

/// IPv4 addresses in IPv6's clothes: the maps hold them so, the wire never does.
fn mapped_addresses() -> Vec<Row> {
    let macs = (A.mac(), B.mac());
    let mapped = |address: Ipv4Addr| address.to_ipv6_mapped();
    let report = ip(
        (A.mac(), multicast_mac(ALL_ROUTERS)),
        mapped(Ipv4Addr::UNSPECIFIED),
        ALL_ROUTERS,
    )
    .hops(1)
    .icmp(143, 0, &[0, 0, 0, 0]);
    let spoofed = DropReason::SpoofedAddress;
    vec![
        sends(&A, "its v4 mapped into v6", ip(macs, mapped(A.v4()), B.v6()).ping()).is_dropped(spoofed),
        sends(
            &A,
            "its v4 mapped into v6 and udp",
            ip(macs, mapped(A.v4()), B.v6()).udp(1, 2, b"x"),
        )
        .is_dropped(spoofed),
        sends(
            &A,
            "a neighbour's v4 mapped into v6",
            ip(macs, mapped(B.v4()), B.v6()).ping(),
        )
        .is_dropped(spoofed),
        sends(&A, "its v4 mapped into v6, to everyone", {
            ip((A.mac(), multicast_mac(ALL_ROUTERS)), mapped(A.v4()), ALL_ROUTERS).udp(1, 2, b"x")
        })
        .is_dropped(spoofed),
        sends(&A, "no v4 mapped into v6 and a listener report", report).is_dropped(spoofed),
        sends(&MORE, "a further v4 mapped into v6", {
            ip((MORE.mac(), B.mac()), mapped(EXTRA_V4), B.v6()).ping()
        })
        .is_dropped(spoofed),
        sends(&ALPHA_HOST, "the gateway's v4 mapped into v6", {
            ip((ALPHA_HOST.mac(), A.mac()), mapped(ALPHA_HOST.v4()), A.v6()).ping()
        })
        .is_dropped(spoofed),
    ]
}

/// Nobody has these: a receiver that believed them would take the packet for its own.
fn destinations() -> Vec<Row> {
    let to_v4 = |to: [u8; 4]| ip((A.mac(), B.mac()), A.v4(), Ipv4Addr::from(to)).udp(1, 2, b"x");
    let to_v6 = |to: Ipv6Addr| ip((A.mac(), B.mac()), A.v6(), to).udp(1, 2, b"x");
    let martian = DropReason::Martian;
    vec![
        sends(&A, "to a neighbour's loopback", to_v4([127, 0, 0, 1])).is_dropped(martian),
        sends(&A, "to the end of loopback", to_v4([127, 255, 255, 255])).is_dropped(martian),
        sends(&A, "to no v4", to_v4([0; 4])).is_dropped(martian),
        sends(&A, "to this network", to_v4([0, 1, 2, 3])).is_dropped(martian),
        sends(&A, "to itself", to_v4(A.v4().octets())).is_dropped(martian),
        sends(&A, "to itself over v6", to_v6(A.v6())).is_dropped(martian),
        sends(&A, "just before loopback", to_v4([126, 255, 255, 255])).reaches(&B),
        sends(&A, "just behind loopback", to_v4([128, 0, 0, 0])).reaches(&B),
        sends(&A, "to a neighbour's loopback over v6", to_v6(Ipv6Addr::LOCALHOST)).is_dropped(martian),
        sends(&A, "to no v6", to_v6(Ipv6Addr::UNSPECIFIED)).is_dropped(martian),
        sends(&A, "to a neighbour's v4 mapped into v6", to_v6(B.v4().to_ipv6_mapped())).is_dropped(martian),
        sends(
            &FREE,
            "to a neighbour's loopback without guard",
            ip((FREE.mac(), B.mac()), FREE.v4(), Ipv4Addr::LOCALHOST).ping(),
        )
        .is_dropped(martian),
    ]
}
