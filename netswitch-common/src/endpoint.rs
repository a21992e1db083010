//! An endpoint: one interface on one network. What its host-side veth may send, and where it is.

use crate::{
    address::{Address, Mac},
    family::Family,
    map_type,
    way::Way,
};

/// What sits behind a port of a network.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container's interface: frames go to it with `bpf_redirect_peer`.
    Container = 1,
    /// The host's own port: frames go into its host end with `bpf_redirect(.., BPF_F_INGRESS)`.
    Host = 2,
    /// A container on another host: frames go through a tunnel. No entry has it yet.
    Remote = 3,
}

impl Kind {
    /// How frames go to what is behind a port of this kind.
    pub const fn way(self) -> Way {
        match self {
            Self::Container => Way::Peer,
            Self::Host => Way::HostEnd,
            Self::Remote => Way::Tunnel,
        }
    }
}

/// Bits of [`Endpoint::flags`] and [`Port::flags`].
pub mod flags {
    /// Frames pass between this endpoint and the host only (`enable_icc=false`).
    pub const NO_ICC: u32 = 1 << 0;
    /// The network is `--internal`: nothing beyond the host.
    pub const INTERNAL: u32 = 1 << 1;
    /// The network has IPv6: without it the host's own IPv6 chatter is not replicated.
    pub const V6: u32 = 1 << 2;
    /// Flows to the world get an address of the host's (`enable_ip_masquerade`, gateway mode nat).
    pub const MASQUERADE_V4: u32 = 1 << 3;
    pub const MASQUERADE_V6: u32 = 1 << 4;
    /// Published ports are reached at the container's own address (gateway mode routed).
    pub const ROUTED_V4: u32 = 1 << 5;
    pub const ROUTED_V6: u32 = 1 << 6;
    /// The host has no address on the network (gateway mode isolated).
    pub const ISOLATED: u32 = 1 << 7;
    /// Opt-ins of the network: what the guard would otherwise drop.
    pub const ALLOW_VLAN: u32 = 1 << 8;
    pub const ALLOW_LINK_CONTROL: u32 = 1 << 9;
    pub const ALLOW_ROUTER_ADVERTISEMENT: u32 = 1 << 10;
    pub const ALLOW_DHCP_SERVER: u32 = 1 << 11;
    /// The source guard is off for this endpoint (its MAC, addresses, ARP and ND are not checked).
    pub const NO_GUARD: u32 = 1 << 12;
    /// ADDRESSES holds further addresses that this endpoint may use as a source: under its network, its alone; under
    /// [`crate::neighbour::NeighbourKey::held_by`], shared with others.
    pub const MORE_ADDRESSES: u32 = 1 << 13;
    /// Ports of this endpoint are published: answers to its neighbours may have to be translated.
    pub const PUBLISHES: u32 = 1 << 14;
    /// It forwards for its neighbours (`netswitch.router`): what it sends them may have a source beyond the network.
    pub const ROUTER: u32 = 1 << 15;
    /// The host's own stack is closed to the container (`netswitch.host_access`, gateway mode isolated).
    pub const NO_HOST_V4: u32 = 1 << 20;
    pub const NO_HOST_V6: u32 = 1 << 21;
    /// But for its own gateway's resolver and echo (`netswitch.host_access=dns`).
    pub const MAY_ASK: u32 = 1 << 22;
    /// The metadata addresses are closed (`netswitch.metadata=deny`).
    pub const NO_METADATA: u32 = 1 << 23;
    /// All ports are open at the containers' own addresses, from beyond their network (gateway mode nat-unprotected).
    pub const OPEN_V4: u32 = 1 << 26;
    pub const OPEN_V6: u32 = 1 << 27;
    /// The container has a limit of flows: those with its neighbours are counted, too.
    pub const COUNT_FLOWS: u32 = 1 << 30;
    /// The container has limits of what it sends and receives ([`crate::verdict::Decision::LIMITED`]).
    pub const LIMITED: u32 = 1 << 31;
}

/// Value of ENDPOINTS; its key is the ifindex of the host-side veth or of a network's switch end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Index into SLOTS; never 0.
    pub id: u32,
    /// Raised each time the id is given to another endpoint.
    pub generation: u32,
    /// Index into NETWORKS; never 0.
    pub network: u32,
    /// Endpoints of one sandbox share a network namespace.
    pub sandbox: u32,
    /// The host that it is on; 0: this one.
    pub remote: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Of the interface, in bytes, without the Ethernet header.
    pub mtu: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// A [`Way`]: how frames go to it.
    pub way: u8,
    pub mac: Mac,
    /// MAC of its network's host end, for a container; frames to it are for the host or for other networks.
    pub gateway: Mac,
    /// Network order; 0 when it has none.
    pub v4: u32,
    pub v6: Address,
    pub link_local: Address,
    /// Broadcast and multicast frames a second that are copied for it; 0: [`crate::limit::COPIES`].
    pub copies: u32,
}
map_type!(Endpoint, 80);

impl Endpoint {
    /// Whether frames may pass between the endpoint and a port of this [`Kind`].
    #[inline(always)]
    pub const fn may_meet(&self, kind: u8) -> bool {
        self.flags & flags::NO_ICC == 0 || self.kind == Kind::Host as u8 || kind == Kind::Host as u8
    }

    /// Whether the host's stack is open to what the endpoint sends in a family; what is no IP at all needs both.
    #[inline(always)]
    pub const fn host_is_open(&self, family: Family) -> bool {
        let closed = match family {
            // its answers are all that the host hears
            Family::Arp => 0,
            Family::V4 => flags::NO_HOST_V4,
            Family::V6 => flags::NO_HOST_V6,
            Family::Other => flags::NO_HOST_V4 | flags::NO_HOST_V6,
        };
        self.flags & closed == 0
    }

    /// Whether the agent may be asked for names.
    #[inline(always)]
    pub const fn may_ask_names(&self, family: Family) -> bool {
        self.host_is_open(family) || self.flags & flags::MAY_ASK != 0
    }
}

/// Key of PORTS: where a frame for this MAC on this network goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    pub network: u32,
    pub mac: Mac,
    pub _pad: [u8; 2],
}
map_type!(PortKey, 12);

/// Value of PORTS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub id: u32,
    pub generation: u32,
    /// Host-side veth of a container, or the *host end* of the network for [`Kind::Host`].
    pub ifindex: u32,
    /// The host that it is on; 0: this one.
    pub remote: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Largest packet, in bytes without the Ethernet header.
    pub mtu: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// A [`Way`].
    pub way: u8,
}
map_type!(Port, 24);

/// Value of SLOTS, by endpoint id: where it is now. All zero: nobody.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Key into ENDPOINTS.
    pub ifindex: u32,
    pub generation: u32,
    pub network: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// The host that it is on; 0: this one.
    pub remote: u32,
    /// A [`Way`].
    pub way: u8,
    pub _pad: [u8; 3],
}
map_type!(Slot, 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_met_where_neighbours_are_not() {
        let (container, host) = (Kind::Container as u8, Kind::Host as u8);
        for (flags, kind, other, expected) in [
            (0, container, container, true),
            (flags::NO_ICC, container, container, false),
            (flags::NO_ICC, container, host, true),
            (flags::NO_ICC, host, container, true),
        ] {
            let endpoint = Endpoint {
                flags,
                kind,
                ..Endpoint::default()
            };
            assert_eq!(endpoint.may_meet(other), expected, "{flags:#x} {kind} {other}");
        }
    }

    #[test]
    fn the_host_is_closed_by_family() {
        const V4: u32 = flags::NO_HOST_V4;
        const V6: u32 = flags::NO_HOST_V6;
        // flags, a family, whether the host is open to it, whether names may be asked for
        for (flags, family, is_open, may_ask) in [
            (0, Family::V4, true, true),
            (V4, Family::V4, false, false),
            (V4, Family::V6, true, true),
            (V6, Family::V6, false, false),
            (V4, Family::Other, false, false),
            (V6, Family::Other, false, false),
            (V4 | V6, Family::Arp, true, true),
            (V4 | flags::MAY_ASK, Family::V4, false, true),
        ] {
            let endpoint = Endpoint {
                flags,
                ..Endpoint::default()
            };
            assert_eq!(endpoint.host_is_open(family), is_open, "{flags:#x} {family:?}");
            assert_eq!(endpoint.may_ask_names(family), may_ask, "{flags:#x} {family:?}");
        }
    }
}
