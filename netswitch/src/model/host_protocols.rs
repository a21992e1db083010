//! Which IP protocols without ports the host uses, by what it has: sockets and tunnels.

use netswitch_common::{capacity, host::waits};

use crate::kernel::Link;

/// Bits of [`waits`] by IP protocol number.
pub type Families = [u32; capacity::HOST_PROTOCOLS as usize];

pub const SCTP: usize = 132;
/// ESP and AH.
pub const IPSEC: [usize; 2] = [50, 51];

const IPIP: usize = 4;
const IPV6: usize = 41;
const GRE: usize = 47;
const L2TP: usize = 115;
const MPLS: usize = 137;

/// Raw sockets that send only: nothing reaches them.
const IPPROTO_RAW: usize = 255;

/// The protocols that tunnel devices receive. One that is down receives nothing, like `gre0`, which comes with its
/// module.
pub fn of_links(links: &[Link]) -> Families {
    let mut used = [0; capacity::HOST_PROTOCOLS as usize];
    for link in links.iter().filter(|link| link.up) {
        let (protocols, family): (&[usize], u32) = match link.kind.as_str() {
            "ipip" => (&[IPIP, MPLS], waits::V4),
            "sit" => (&[IPIP, IPV6, MPLS], waits::V4),
            "gre" | "gretap" | "erspan" => (&[GRE], waits::V4),
            "ip6gre" | "ip6gretap" | "ip6erspan" => (&[GRE], waits::V6),
            "ip6tnl" => (&[IPIP, IPV6, MPLS], waits::V6),
            "vti" => (&[IPIP, 50, 51], waits::V4),
            "vti6" => (&[IPIP, IPV6, 50, 51], waits::V6),
            "xfrm" => (&IPSEC, waits::V4 | waits::V6),
            "l2tpeth" => (&[L2TP], waits::V4 | waits::V6),
            _ => continue,
        };
        for protocol in protocols {
            used[*protocol] |= family;
        }
    }
    used
}

/// Adds the protocols of raw sockets, as `/proc/net/raw` and `raw6` list them: the port of the local address is the
/// protocol.
pub fn of_sockets(text: &str, family: u32, used: &mut Families) {
    for line in text.lines().skip(1) {
        let protocol = line
            .split_whitespace()
            .nth(1)
            .and_then(|local| usize::from_str_radix(local.rsplit_once(':')?.1, 16).ok());
        if let Some(protocol) = protocol.filter(|protocol| *protocol != IPPROTO_RAW)
            && let Some(families) = used.get_mut(protocol)
        {
            *families |= family;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::LinkHeader;

    fn link(kind: &str, up: bool) -> Link {
        Link {
            kind: kind.to_owned(),
            up,
            index: 1,
            name: "it".into(),
            alias: None,
            mac: None,
            mtu: 1500,
            peer: None,
            qdisc: String::new(),
            header: LinkHeader::Ethernet,
            controller: None,
        }
    }

    fn numbers(used: &Families) -> Vec<(usize, u32)> {
        (0..).zip(*used).filter(|(_, families)| *families != 0).collect()
    }

    #[test]
    fn tunnels_that_are_up_use_their_protocols() {
        for (kind, expected) in [
            ("veth", vec![]),
            ("wireguard", vec![]),
            ("gre", vec![(GRE, waits::V4)]),
            ("ip6gretap", vec![(GRE, waits::V6)]),
            ("ipip", vec![(IPIP, waits::V4), (MPLS, waits::V4)]),
            ("sit", vec![(IPIP, waits::V4), (IPV6, waits::V4), (MPLS, waits::V4)]),
            ("xfrm", vec![(50, waits::V4 | waits::V6), (51, waits::V4 | waits::V6)]),
        ] {
            assert_eq!(numbers(&of_links(&[link(kind, true)])), expected, "{kind}");
            assert_eq!(numbers(&of_links(&[link(kind, false)])), [], "{kind}");
        }
    }

    #[test]
    fn raw_sockets_use_their_protocols() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                    1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n\
                    89: 0100007F:0059 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n\
                    255: 00000000:00FF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n";
        let mut used = of_links(&[]);
        of_sockets(text, waits::V4, &mut used);
        assert_eq!(numbers(&used), [(1, waits::V4), (89, waits::V4)]);
    }
}
