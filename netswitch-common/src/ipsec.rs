//! `IPsec`: the host's security policies (RFC 4301, 4.4.1; `net/xfrm/xfrm_policy.c`). The switch neither encrypts nor
//! decrypts: what a policy wants protected or blocked does not pass.
//!
//! The agent writes the policies twice over: under one half of the keys while the programs read the other, then
//! [`crate::host::config_flags::IPSEC_HALF`] turns. SELECTORS finds those that could cover a packet by the address of
//! who is far away, as a list in SECURITY that stands in the order in which the kernel asks them. The first one that
//! fits decides.

use crate::{address::Address, map_type};

/// Which policies are asked.
pub mod side {
    /// About packets that leave the host (`XFRM_POLICY_OUT`), by their destination.
    pub const OUT: u32 = 0;
    /// About packets that the host passes on (`XFRM_POLICY_FWD`), by their source.
    pub const FORWARD: u32 = 1;
    pub const COUNT: u32 = 2;
}

/// Data of SELECTORS' LPM key. Prefixes are 32 bits longer than the address's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SelectorKey {
    /// Of [`scope`].
    pub scope: u32,
    pub address: Address,
}
map_type!(SelectorKey, 20);

/// One of [`side`] in one half of the keys, 0 or 1.
#[inline(always)]
pub const fn scope(half: u32, side: u32) -> u32 {
    half * side::COUNT + side
}

/// Value of SELECTORS: keys of SECURITY, one after the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyList {
    pub first: u32,
    pub count: u32,
}
map_type!(PolicyList, 8);

/// Value of SECURITY, by keys from [`crate::host::first_key`] on: what a policy covers, and whether that may pass.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityPolicy {
    /// Under its mask, like all that has one.
    pub from: Address,
    pub from_mask: Address,
    pub to: Address,
    pub to_mask: Address,
    /// Ports in network order.
    pub from_port: u16,
    pub from_port_mask: u16,
    pub to_port: u16,
    pub to_port_mask: u16,
    /// The packet's (`skb->mark`).
    pub mark: u32,
    pub mark_mask: u32,
    /// IP protocol number; 0: any.
    pub protocol: u8,
    /// 1: of IPv4. 0: of IPv6.
    pub is_v4: u8,
    /// 1: what it covers passes in the clear. 0: it does not pass.
    pub passes: u8,
    pub _pad: u8,
}
map_type!(SecurityPolicy, 84);

/// What policies are compared with, of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub from: Address,
    pub to: Address,
    pub from_port: u16,
    pub to_port: u16,
    pub mark: u32,
    pub protocol: u32,
    /// Bits of [`unknown`].
    pub unknown: u32,
}

/// What is not known of a packet. A policy that asks for it may cover the packet: one that stops it does, one that
/// lets it pass does not.
pub mod unknown {
    /// The port that it is sent from is not chosen yet.
    pub const FROM_PORT: u32 = 1 << 0;
    pub const TO_PORT: u32 = 1 << 1;
    pub const PROTOCOL: u32 = 1 << 2;
    pub const PORTS: u32 = FROM_PORT | TO_PORT;
}

impl SecurityPolicy {
    /// Whether the policy decides about the packet.
    #[inline(always)]
    #[must_use]
    pub const fn decides(&self, traffic: &Traffic) -> bool {
        if traffic.from.as_v4().is_some() != (self.is_v4 != 0)
            || !traffic.from.is_under(self.from_mask, self.from)
            || !traffic.to.is_under(self.to_mask, self.to)
            || traffic.mark & self.mark_mask != self.mark
        {
            return false;
        }
        self.asks(
            traffic,
            unknown::PROTOCOL,
            self.protocol == 0,
            self.protocol as u32 == traffic.protocol,
        ) && self.asks(
            traffic,
            unknown::FROM_PORT,
            self.from_port_mask == 0,
            traffic.from_port & self.from_port_mask == self.from_port,
        ) && self.asks(
            traffic,
            unknown::TO_PORT,
            self.to_port_mask == 0,
            traffic.to_port & self.to_port_mask == self.to_port,
        )
    }

    #[inline(always)]
    const fn asks(&self, traffic: &Traffic, what: u32, is_any: bool, is_equal: bool) -> bool {
        if is_any {
            return true;
        }
        if traffic.unknown & what != 0 {
            return self.passes == 0;
        }
        is_equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: u8 = 17;

    fn v4(bytes: [u8; 4]) -> Address {
        Address::v4(u32::from_ne_bytes(bytes))
    }

    /// From 10.0.0.0/8 to UDP port 7000 of 192.0.2.1.
    fn policy() -> SecurityPolicy {
        let all = Address([u32::MAX; 4]);
        SecurityPolicy {
            from: v4([10, 0, 0, 0]),
            from_mask: Address([u32::MAX, u32::MAX, u32::MAX, u32::from_ne_bytes([255, 0, 0, 0])]),
            to: v4([192, 0, 2, 1]),
            to_mask: all,
            to_port: 7000_u16.to_be(),
            to_port_mask: u16::MAX,
            protocol: UDP,
            is_v4: 1,
            ..SecurityPolicy::default()
        }
    }

    fn traffic() -> Traffic {
        Traffic {
            from: v4([10, 1, 2, 3]),
            to: v4([192, 0, 2, 1]),
            from_port: 5555_u16.to_be(),
            to_port: 7000_u16.to_be(),
            mark: 0,
            protocol: UDP.into(),
            unknown: 0,
        }
    }

    #[test]
    fn a_policy_decides_about_what_all_of_its_selector_fits() {
        type Change = fn(&mut SecurityPolicy, &mut Traffic);
        let rows: [(&str, Change, bool); 11] = [
            ("as it is", |_, _| {}, true),
            ("another source", |_, packet| packet.from = v4([11, 1, 2, 3]), false),
            ("another target", |_, packet| packet.to = v4([192, 0, 2, 2]), false),
            ("another port", |_, packet| packet.to_port = 7001_u16.to_be(), false),
            ("another protocol", |_, packet| packet.protocol = 6, false),
            (
                "any protocol",
                |policy, packet| (policy.protocol, packet.protocol) = (0, 6),
                true,
            ),
            (
                "part of the ports",
                |policy, packet| {
                    (policy.to_port, policy.to_port_mask) = (0x1000_u16.to_be(), 0xf000_u16.to_be());
                    packet.to_port = 0x1fff_u16.to_be();
                },
                true,
            ),
            (
                "a mark that it lacks",
                |policy, _| (policy.mark, policy.mark_mask) = (1, 1),
                false,
            ),
            (
                "a mark",
                |policy, packet| (policy.mark, policy.mark_mask, packet.mark) = (1, 1, 3),
                true,
            ),
            (
                "no mark of a bit",
                |policy, packet| (policy.mark_mask, packet.mark) = (1, 3),
                false,
            ),
            (
                "IPv6's everything",
                |policy, _| *policy = SecurityPolicy::default(),
                false,
            ),
        ];
        for (name, change, expected) in rows {
            let (mut policy, mut traffic) = (policy(), traffic());
            change(&mut policy, &mut traffic);
            assert_eq!(policy.decides(&traffic), expected, "{name}");
        }
    }

    #[test]
    fn what_is_unknown_is_covered_by_what_stops_and_not_by_what_lets_pass() {
        for what in [unknown::PORTS, unknown::PROTOCOL] {
            for passes in [0, 1] {
                let policy = SecurityPolicy { passes, ..policy() };
                let traffic = Traffic {
                    protocol: UDP.into(),
                    to_port: 0,
                    unknown: what | unknown::PORTS,
                    ..traffic()
                };
                assert_eq!(policy.decides(&traffic), passes == 0, "{what} {passes}");
            }
        }
    }
}
