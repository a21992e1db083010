//! Routing: the rules that choose between IPv6's routing tables (`ip-rule(8)`, `net/ipv6/fib6_rules.c`).
//!
//! `bpf_fib_lookup` follows IPv4's to the letter. Of IPv6's it heeds no `suppress_prefixlength`, by which VPNs keep the
//! main table's default route from being taken, and ends at a route of type `throw`. So where the host has rules of its
//! own, the programs go through them one by one and ask the tables alone. The rules stand in two halves of the keys, as
//! policies of `IPsec` do ([`crate::ipsec`]).

use crate::{address::Address, map_type};

/// Value of RULES, by keys from [`crate::host::first_key`] on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Under its mask, like all that has one.
    pub from: Address,
    pub from_mask: Address,
    pub to: Address,
    pub to_mask: Address,
    /// Of the packet (`skb->mark`).
    pub mark: u32,
    pub mark_mask: u32,
    /// Index of the device that packets arrive on; 0: any.
    pub device: u32,
    /// One of [`action`], and what it needs: number of the table, or of the rule to go on with.
    pub action: u32,
    pub target: u32,
    /// Routes with prefixes of at most this length are as if they were not there; -1: all are.
    pub suppressed: i32,
    /// First and last, host order; a packet without ports is from 0 to 0.
    pub from_ports: [u16; 2],
    pub to_ports: [u16; 2],
    /// IP protocol number; 0: any.
    pub protocol: u8,
    /// The upper six bits of the traffic class; 0: any.
    pub service: u8,
    /// 1: the rule takes what its selector does not fit.
    pub inverted: u8,
    pub _pad: u8,
    /// How many rules follow.
    pub left: u32,
}
map_type!(Rule, 104);

/// What a rule does with what it takes. 0 goes on with the next rule.
pub mod action {
    pub const TABLE: u32 = 1;
    pub const UNREACHABLE: u32 = 2;
    pub const PROHIBIT: u32 = 3;
    pub const BLACKHOLE: u32 = 4;
    pub const GO_ON_AT: u32 = 5;
}

/// Data of PREFIXES' LPM key, prefixes of a table with a rule that suppresses some; the value is their length. Prefixes are
/// 32 bits longer than the address's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrefixKey {
    /// In the uppermost bit the half of the keys.
    pub table: u32,
    pub address: Address,
}
map_type!(PrefixKey, 20);

/// What rules go by, of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub from: Address,
    pub to: Address,
    pub mark: u32,
    pub device: u32,
    pub protocol: u32,
    /// Traffic class.
    pub service: u32,
    /// Host order.
    pub from_port: u16,
    pub to_port: u16,
}

impl Rule {
    /// Whether the rule takes the packet.
    #[inline(always)]
    #[must_use]
    pub const fn takes(&self, asked: &Asked) -> bool {
        let fits = (self.device == 0 || self.device == asked.device)
            && asked.mark & self.mark_mask == self.mark
            && asked.from.is_under(self.from_mask, self.from)
            && asked.to.is_under(self.to_mask, self.to)
            && (self.service == 0 || asked.service & 0xfc == self.service as u32)
            && (self.protocol == 0 || asked.protocol == self.protocol as u32)
            && is_within(asked.from_port, self.from_ports)
            && is_within(asked.to_port, self.to_ports);
        fits != (self.inverted != 0)
    }
}

#[inline(always)]
const fn is_within(port: u16, [first, last]: [u16; 2]) -> bool {
    first <= port && port <= last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_takes_what_all_of_its_selector_fits_or_the_rest() {
        type Change = fn(&mut Rule);
        let asked = Asked {
            from: Address([1, 2, 3, 4]),
            to: Address([5, 6, 7, 8]),
            mark: 0x17,
            device: 3,
            protocol: 6,
            service: 0xb9,
            from_port: 4444,
            to_port: 80,
        };
        let rows: [(&str, Change, bool); 13] = [
            ("everything", |_| {}, true),
            ("its device", |rule| rule.device = 3, true),
            ("another device", |rule| rule.device = 4, false),
            ("its mark", |rule| (rule.mark, rule.mark_mask) = (7, 7), true),
            ("another mark", |rule| (rule.mark, rule.mark_mask) = (8, 8), false),
            (
                "its source",
                |rule| {
                    (rule.from, rule.from_mask) = (Address([1, 2, 0, 0]), Address([u32::MAX, u32::MAX, 0, 0]));
                },
                true,
            ),
            (
                "another target",
                |rule| {
                    (rule.to, rule.to_mask) = (Address([9, 0, 0, 0]), Address([u32::MAX, 0, 0, 0]));
                },
                false,
            ),
            ("its service", |rule| rule.service = 0xb8, true),
            ("another service", |rule| rule.service = 0xbc, false),
            ("another protocol", |rule| rule.protocol = 17, false),
            (
                "its ports",
                |rule| (rule.from_ports, rule.to_ports) = ([4000, 5000], [80, 80]),
                true,
            ),
            ("another port", |rule| rule.to_ports = [81, 90], false),
            (
                "not another port",
                |rule| (rule.to_ports, rule.inverted) = ([81, 90], 1),
                true,
            ),
        ];
        for (name, change, expected) in rows {
            let mut rule = Rule {
                from_ports: [0, u16::MAX],
                to_ports: [0, u16::MAX],
                ..Rule::default()
            };
            change(&mut rule);
            assert_eq!(rule.takes(&asked), expected, "{name}");
        }
    }
}
