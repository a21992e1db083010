//! Rows of what no container may be to its neighbours: a router, a DHCP server, a bridge.

use netswitch_common::{address::Mac, verdict::DropReason};

use super::{ALL_NODES, ALL_ONES, ALL_ROUTERS, Row, sends, v4, v6};
use crate::{
    fixture::{A, ALPHA_HOST, B, BETA_HOST, D, FREE, J, K, MORE, OPEN_HOST, Port, SIX, SMALL},
    packet::{
        DESTINATION_OPTIONS, ETHERTYPE_QINQ, ETHERTYPE_VLAN, HOP_BY_HOP, PROTOCOL_ICMPV6, PROTOCOL_UDP, ethernet, ip,
        multicast_mac, tagged,
    },
};

const SPANNING_TREE: Mac = Mac([0x01, 0x80, 0xc2, 0, 0, 0]);
const LLDP: Mac = Mac([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

pub fn rows() -> Vec<Row> {
    [routers(), dhcp(), links()].into_iter().flatten().collect()
}

fn routers() -> Vec<Row> {
    let advertisement = [64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let to_all = || ip((A.mac(), multicast_mac(ALL_NODES)), A.link_local(), ALL_NODES).hops(255);
    let opened = ip((J.mac(), multicast_mac(ALL_NODES)), J.link_local(), ALL_NODES).hops(255);
    let reason = DropReason::RouterAdvertisement;
    vec![
        sends(&A, "a router advertisement", to_all().icmp(134, 0, &advertisement)).is_dropped(reason),
        sends(&A, "a router advertisement to one", {
            ip((A.mac(), B.mac()), A.link_local(), B.v6())
                .hops(255)
                .icmp(134, 0, &advertisement)
        })
        .is_dropped(reason),
        sends(&A, "a redirect over v4", {
            v4(&A, &B).icmp(5, 1, &[&[10, 1, 0, 2][..], &quoted(&B, &ALPHA_HOST)].concat())
        })
        .is_dropped(reason),
        sends(
            &A,
            "a router advertisement over v4",
            v4(&A, &B).icmp(9, 0, &[1, 2, 7, 8, 10, 1, 0, 2, 0, 0, 0, 0]),
        )
        .is_dropped(reason),
        sends(
            &J,
            "a redirect over v4 where it is allowed",
            v4(&J, &K).icmp(5, 1, &[&[10, 1, 0, 2][..], &quoted(&K, &J)].concat()),
        )
        .reaches(&K),
        sends(&A, "a redirect", {
            ip((A.mac(), B.mac()), A.link_local(), B.v6())
                .hops(255)
                .icmp(137, 0, &[0; 36])
        })
        .is_dropped(reason),
        sends(&A, "a router advertisement behind one extension header", {
            to_all()
                .extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0])
                .icmp(134, 0, &advertisement)
        })
        .is_dropped(reason),
        sends(&A, "a router advertisement behind three extension headers", {
            to_all()
                .extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0])
                .extension(DESTINATION_OPTIONS, &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .icmp(134, 0, &advertisement)
        })
        .is_dropped(reason),
        sends(
            &A,
            "a router advertisement in a first fragment",
            to_all().fragment(0, true).icmp(134, 0, &advertisement),
        )
        .is_dropped(reason),
        sends(&FREE, "a router advertisement without guard", {
            ip((FREE.mac(), B.mac()), FREE.link_local(), B.v6())
                .hops(255)
                .icmp(134, 0, &advertisement)
        })
        .is_dropped(reason),
        sends(&A, "a router solicitation", {
            ip((A.mac(), multicast_mac(ALL_ROUTERS)), A.link_local(), ALL_ROUTERS)
                .hops(255)
                .icmp(133, 0, &[0; 4])
        })
        .is_copied_to(&[&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX]),
        sends(
            &J,
            "a router advertisement where it is allowed",
            opened.icmp(134, 0, &advertisement),
        )
        .is_copied_to(&[&OPEN_HOST, &K]),
    ]
}

/// The start of a packet between two ports, as an ICMP error quotes it.
fn quoted(from: &Port, to: &Port) -> Vec<u8> {
    v4(from, to).udp(1, 2, b"x")[14..].to_vec()
}

fn dhcp() -> Vec<Row> {
    let to_all = (A.mac(), Mac::BROADCAST);
    vec![
        sends(&A, "a dhcp offer", ip(to_all, A.v4(), ALL_ONES).udp(67, 68, b"offer"))
            .is_dropped(DropReason::DhcpServer),
        sends(&A, "a dhcp offer to one", v4(&A, &B).udp(67, 68, b"offer")).is_dropped(DropReason::DhcpServer),
        sends(
            &A,
            "a dhcp offer behind options",
            v4(&A, &B).options(&[1; 8]).udp(67, 68, b"offer"),
        )
        .is_dropped(DropReason::DhcpServer),
        sends(
            &A,
            "a dhcp offer in a first fragment",
            v4(&A, &B).fragment(0, true).udp(67, 68, b"offer.."),
        )
        .is_dropped(DropReason::DhcpServer),
        sends(&A, "a dhcp offer from another port", v4(&A, &B).udp(1067, 68, b"offer"))
            .is_dropped(DropReason::DhcpServer),
        sends(
            &A,
            "a dhcpv6 reply from another port",
            v6(&A, &B).udp(1547, 546, b"reply"),
        )
        .is_dropped(DropReason::DhcpServer),
        sends(&A, "a dhcpv6 reply", v6(&A, &B).udp(547, 546, b"reply")).is_dropped(DropReason::DhcpServer),
        sends(&A, "a dhcpv6 reply behind an extension header", {
            v6(&A, &B)
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .udp(547, 546, b"reply")
        })
        .is_dropped(DropReason::DhcpServer),
        sends(&FREE, "a dhcp offer without guard", v4(&FREE, &B).udp(67, 68, b"offer"))
            .is_dropped(DropReason::DhcpServer),
        sends(&A, "port 67 in tcp is no dhcp", v4(&A, &B).tcp(67, 68, b"x")).reaches(&B),
        sends(&A, "port 547 in v4 is no dhcp", v4(&A, &B).udp(547, 546, b"x")).reaches(&B),
        sends(&A, "port 67 in v6 is no dhcp", v6(&A, &B).udp(67, 68, b"x")).reaches(&B),
        sends(&A, "bytes like a dhcp offer in a later fragment", {
            v4(&A, &B)
                .fragment(8, false)
                .protocol(PROTOCOL_UDP, &[0, 67, 0, 68, 0, 8, 0, 0])
        })
        .reaches(&B),
        sends(&J, "a dhcp offer where it is allowed", v4(&J, &K).udp(67, 68, b"offer")).reaches(&K),
        sends(
            &J,
            "a dhcpv6 reply where it is allowed",
            v6(&J, &K).udp(547, 546, b"reply"),
        )
        .reaches(&K),
        sends(
            &BETA_HOST,
            "the host may serve dhcp",
            v4(&BETA_HOST, &D).udp(67, 68, b"offer"),
        )
        .reaches(&D),
        sends(&A, "bytes like a router advertisement in a later fragment", {
            v6(&A, &B)
                .fragment(8, false)
                .protocol(PROTOCOL_ICMPV6, &[134, 0, 0, 0, 0, 0, 0, 0])
        })
        .reaches(&B),
    ]
}

fn links() -> Vec<Row> {
    let ping = v4(&A, &B).ping();
    vec![
        sends(&A, "an 802.1q tag", tagged(&ping, ETHERTYPE_VLAN)).is_dropped(DropReason::VlanTag),
        sends(&A, "an 802.1ad tag", tagged(&ping, ETHERTYPE_QINQ)).is_dropped(DropReason::VlanTag),
        sends(
            &FREE,
            "a tag without guard",
            tagged(&v4(&FREE, &B).ping(), ETHERTYPE_VLAN),
        )
        .is_dropped(DropReason::VlanTag),
        sends(
            &J,
            "a tag where it is allowed",
            tagged(&v4(&J, &K).ping(), ETHERTYPE_VLAN),
        )
        .reaches(&K),
        sends(
            &A,
            "a spanning tree frame",
            ethernet(A.mac(), SPANNING_TREE, 0x0026, &[0x42; 38]),
        )
        .is_dropped(DropReason::LinkControl),
        sends(&A, "an lldp frame", ethernet(A.mac(), LLDP, 0x88cc, &[0; 46])).is_dropped(DropReason::LinkControl),
        sends(
            &FREE,
            "an lldp frame without guard",
            ethernet(FREE.mac(), LLDP, 0x88cc, &[0; 46]),
        )
        .is_dropped(DropReason::LinkControl),
        sends(
            &J,
            "an lldp frame where it is allowed",
            ethernet(J.mac(), LLDP, 0x88cc, &[0; 46]),
        )
        .is_copied_to(&[&OPEN_HOST, &K]),
        sends(
            &A,
            "a group just beyond link control",
            ethernet(A.mac(), Mac([1, 0x80, 0xc2, 0, 0, 0x10]), 0x88b5, b"x"),
        )
        .is_copied_to(&[&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX]),
    ]
}
