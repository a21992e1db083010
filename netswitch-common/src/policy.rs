//! Policy: who may begin to speak with whom.
//!
//! Both ends of a flow have an identity: a container's endpoints by STANDINGS, the host's ports likewise, the
//! world by CIDRS. PAIRS says which set of rulings holds between two identities, RULINGS what a set says about
//! a protocol and port. So a new flow costs the same however many rules there are.
//!
//! Everything is written under the next epoch, then [`crate::host::Config::policy_epoch`] is set to it: a
//! policy changes all at once.

use crate::{address::Address, map_type};

/// Identities that every epoch has; classes of endpoints and of addresses follow.
pub mod identity {
    /// Nobody that a rule speaks of.
    pub const NONE: u32 = 0;
    pub const HOST: u32 = 1;
    /// Beyond the host, in none of CIDRS.
    pub const WORLD: u32 = 2;
    pub const FIRST: u32 = 3;
}

/// Value of STANDINGS, by endpoint id: what the policy makes of it, in even and in odd epochs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub identities: [u32; 2],
    /// Bits of [`flags`].
    pub flags: [u32; 2],
}
map_type!(Standing, 16);

/// Bits of [`Standing::flags`].
pub mod flags {
    /// The policy may say something about what the endpoint sends or gets.
    pub const CONCERNED: u32 = 1 << 0;
    /// What no rule allows, it may not send (begin to); get.
    pub const DENY_OUT: u32 = 1 << 1;
    pub const DENY_IN: u32 = 1 << 2;
    /// It may begin to speak only with whom its container's leash names ([`crate::leash`]), or its network's.
    pub const LEASHED: u32 = 1 << 3;
    pub const LEASHED_BY_NETWORK: u32 = 1 << 4;
    /// Any of both: there is a leash to be asked.
    pub const LEASH: u32 = LEASHED | LEASHED_BY_NETWORK;
}

/// Which half of a [`Standing`] an epoch reads.
#[inline(always)]
pub const fn half(epoch: u32) -> usize {
    (epoch & 1) as usize
}

/// Key of PAIRS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey {
    pub epoch: u32,
    /// Identities of who begins the flow and of the other end.
    pub from: u32,
    pub to: u32,
}
map_type!(PairKey, 12);

/// Data of CIDRS' LPM key; its value is an identity. Prefixes are 32 bits longer than the address's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CidrKey {
    pub epoch: u32,
    pub address: Address,
}
map_type!(CidrKey, 20);

/// Data of RULINGS' LPM key: a set (PAIRS' value), a protocol, a port. Prefix lengths: [`SET_BITS`] for whatever
/// has no ruling of its own, [`PROTOCOL_BITS`] for a whole protocol, up to 64 for one port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RulingKey {
    /// Never 0; sets of different epochs have different numbers.
    pub set: u32,
    /// IP protocol number.
    pub protocol: u8,
    pub _pad: u8,
    /// Of the end that did not begin: a container's own, not the published one; network order, so that
    /// prefixes are ranges. 0 for protocols without ports.
    pub port: u16,
}
map_type!(RulingKey, 8);

pub const SET_BITS: u32 = 32;
pub const PROTOCOL_BITS: u32 = 48;

/// Value of RULINGS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// One of [`action`].
    pub action: u32,
    /// Number of the rule that decided.
    pub rule: u32,
}
map_type!(Ruling, 8);

/// What a rule does.
pub mod action {
    pub const ALLOW: u32 = 1;
    pub const DENY: u32 = 2;
}
