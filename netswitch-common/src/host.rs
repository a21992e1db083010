//! The host: its uplinks, and what holds for every hook.

use crate::{
    address::{Address, Mac},
    map_type,
};

/// Mark of the agent's own sockets: they may bind published ports, and are not translated ("nswd").
pub const SOCKET_MARK: u32 = 0x6e73_7764;

/// Value of CONFIG, at 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Of the agent's network namespace (`SO_NETNS_COOKIE`): socket hooks leave others alone.
    pub namespace_cookie: u64,
    /// Raised when a route, a link, an address or a publication changes: flows look up again whether they
    /// still have what they were made with.
    pub generation: u32,
    /// Ports for masquerade: the first, host order, and how many.
    pub first_port: u16,
    pub port_count: u16,
    /// Flows that one endpoint may have at once.
    pub flow_quota: u32,
    /// Bits of [`config_flags`].
    pub flags: u16,
    /// Where the agent answers questions about names, at every gateway; host order, 0 for nowhere.
    pub names_port: u16,
    /// Of the policy in force ([`crate::policy`]); 0: there is none.
    pub policy_epoch: u32,
    /// Of these, how many it may have whatever other endpoints do; 0: all. The shares take half of RECORDS, the
    /// rest is for whoever needs more ([`crate::capacity::COMMON_RECORDS`]).
    pub flow_share: u32,
}
map_type!(Config, 32);

impl Config {
    /// Whether the host's own stack carries what goes between containers and the world.
    #[inline(always)]
    pub const fn uses_stack(&self) -> bool {
        self.flags & config_flags::STACK != 0
    }

    /// Whether a flow alone may say what becomes of its packets.
    #[inline(always)]
    pub const fn lets_settle(&self) -> bool {
        self.flags & (config_flags::STACK | config_flags::IPSEC) == 0
    }

    /// Whether packets are compared with `IPsec` policies.
    #[inline(always)]
    pub const fn has_ipsec(&self) -> bool {
        self.flags & config_flags::IPSEC != 0
    }

    /// Whether the programs go through the rules of IPv6 themselves.
    #[inline(always)]
    pub const fn has_routing(&self) -> bool {
        self.flags & config_flags::ROUTING != 0
    }

    /// Which half of the keys the rules stand under, 0 or 1.
    #[inline(always)]
    pub const fn routing_half(&self) -> u32 {
        (self.flags & config_flags::ROUTING_HALF != 0) as u32
    }

    /// Which half of the keys the policies stand under, 0 or 1.
    #[inline(always)]
    pub const fn ipsec_half(&self) -> u32 {
        (self.flags & config_flags::IPSEC_HALF != 0) as u32
    }
}

/// Key of the first entry of a half, 0 or 1, in maps that have two; the others follow.
#[inline(always)]
pub const fn first_key(half: u32) -> u32 {
    half << 31
}

/// Bits of [`Config::flags`].
pub mod config_flags {
    /// `--uplink-mode stack`: what goes between containers and the world goes through the host's own stack.
    pub const STACK: u16 = 1 << 0;
    /// The host has `IPsec` policies: every packet that is passed on is compared with them ([`crate::ipsec`]).
    pub const IPSEC: u16 = 1 << 1;
    /// The half of the keys under which the programs read the policies.
    pub const IPSEC_HALF: u16 = 1 << 2;
    /// Rules of the host's own choose between IPv6's routing tables: the programs go through them ([`crate::routing`]).
    pub const ROUTING: u16 = 1 << 3;
    /// The half of the keys under which the programs read the rules.
    pub const ROUTING_HALF: u16 = 1 << 4;
}

/// Bits of the map `HOST_PROTOCOLS`, by IP protocol number: the families in which the host itself could be waiting for
/// packets of a protocol without ports, by a raw socket, a tunnel or an `IPsec` policy.
pub mod waits {
    pub const V4: u32 = 1 << 0;
    pub const V6: u32 = 1 << 1;
}

/// Value of UPLINKS, by ifindex: a device towards the world.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Addresses to masquerade with where the kernel does not choose one (before 6.7).
    pub v4: Address,
    pub v6: Address,
    /// In bytes, without the Ethernet header.
    pub mtu: u32,
    /// Bits of [`uplink_flags`].
    pub flags: u32,
    /// Of the device; [`NO_MAC`] where it has no Ethernet headers.
    pub mac: Mac,
    pub _pad: [u8; 2],
}
map_type!(Uplink, 48);

impl Uplink {
    /// Whether its frames have Ethernet headers. Packets of other devices have one only while the switch looks at them.
    #[inline(always)]
    pub const fn has_ethernet(&self) -> bool {
        self.flags & uplink_flags::NO_ETHERNET == 0
    }
}

/// Bits of [`Uplink::flags`].
pub mod uplink_flags {
    /// A tunnel or another device without Ethernet headers (`dev_is_mac_header_xmit` in `linux/if_arp.h`).
    pub const NO_ETHERNET: u32 = 1 << 0;
}

/// Both MACs of the Ethernet header that the switch gives a packet of an uplink without such headers. A locally administered
/// address.
pub const NO_MAC: Mac = Mac([0x02, b'n', b's', b'w', 0, 0]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_used_where_the_agent_was_told_so() {
        for (flags, expected) in [(0, false), (config_flags::STACK, true), (!config_flags::STACK, false)] {
            let config = Config {
                flags,
                ..Config::default()
            };
            assert_eq!(config.uses_stack(), expected, "{flags:#x}");
        }
    }
}
