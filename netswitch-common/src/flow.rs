//! Flows: what is translated, and how, in both directions.
//!
//! A flow is one [`Flow`] in RECORDS. FLOWS finds it from a packet of either direction: two entries, one
//! per [`Tuple`]. Each tuple's packets leave as the other one reversed, so the two say the translation.

use crate::{
    address::{Address, Mac},
    endpoint::Endpoint,
    map_type,
};

/// Key of FLOWS: where a packet comes from and goes to, as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub from: Address,
    pub to: Address,
    /// Network order. An ICMP echo request has its identifier in `from_port`, its answer in `to_port`;
    /// 0 where the protocol has no ports.
    pub from_port: u16,
    pub to_port: u16,
    /// Network that the packet comes from; 0 for the world.
    pub zone: u32,
    /// IP protocol number.
    pub protocol: u32,
}
map_type!(Tuple, 44);

impl Tuple {
    /// The same the other way round, in a zone.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self, zone: u32) -> Self {
        Self {
            from: self.to,
            to: self.from,
            from_port: self.to_port,
            to_port: self.from_port,
            zone,
            protocol: self.protocol,
        }
    }
}

/// Which of a flow's two tuples.
pub mod direction {
    /// As the first packet went.
    pub const ORIGINAL: u32 = 0;
    pub const REPLY: u32 = 1;
}

/// Value of FLOWS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowIndex {
    pub key: FlowKey,
    /// The flow's own: another one in the record means that this entry is stale.
    pub serial: u32,
    /// One of [`direction`].
    pub direction: u32,
}
map_type!(FlowIndex, 16);

/// Key of RECORDS: every endpoint has its own slots, as many as its quota.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Id of the endpoint that the flow is charged to: its sender or, from the world, its receiver.
    pub owner: u32,
    pub slot: u32,
}
map_type!(FlowKey, 8);

/// One end of a flow: where packets to it leave.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowEnd {
    /// Endpoint id and generation; 0 for the world.
    pub endpoint: u32,
    pub generation: u32,
    /// Uplink, for the world. An endpoint's device stands in SLOTS.
    pub ifindex: u32,
    /// Largest packet, in bytes without the Ethernet header.
    pub mtu: u16,
    /// Of the endpoint or, for the world, of the next hop, if the neighbour table knew it.
    pub mac: Mac,
    /// Next hop, for the world.
    pub next_hop: Address,
}
map_type!(FlowEnd, 36);

impl FlowEnd {
    /// Whether a packet for the world goes to [`FlowEnd::mac`], past the neighbour table. The first one of a
    /// flow and one a second after it do not: the table finds out from them whether the next hop is there.
    #[inline(always)]
    pub const fn knows_hop(&self, asks_again: bool) -> bool {
        self.next_hop.is_none() || !asks_again && !matches!(self.mac.words(), [0, 0, 0])
    }

    /// Becomes the end that an endpoint is. In place: an eBPF stack has no room for another one.
    #[inline(always)]
    pub const fn set(&mut self, endpoint: u32, generation: u32, mtu: u16, mac: Mac) {
        self.endpoint = endpoint;
        self.generation = generation;
        self.ifindex = 0;
        self.mtu = mtu;
        self.mac = mac;
        self.next_hop = Address::NONE;
    }

    /// Becomes the end that a packet's sender is.
    #[inline(always)]
    pub const fn set_sender(&mut self, endpoint: &Endpoint) {
        self.set(endpoint.id, endpoint.generation, endpoint.mtu, endpoint.mac);
    }
}

/// How far a flow has come (RFC 9293 as seen from the middle). Decides its timeout and who may
/// take its slot.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// No reply yet.
    New = 0,
    /// Both sides have spoken.
    Established = 1,
    /// One side of a TCP connection has finished.
    Closing = 2,
    /// Both have, or it was reset. The next SYN is a new flow.
    Closed = 3,
}

impl FlowState {
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::New,
            1 => Self::Established,
            2 => Self::Closing,
            _ => Self::Closed,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// Value of RECORDS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// When it ends unless a packet passes (`bpf_ktime_get_ns`). Past: it does not exist.
    pub deadline: u64,
    /// When its route was last looked up.
    pub routed: u64,
    /// [`Tuple`]s by [`direction`].
    pub tuples: [Tuple; 2],
    /// The originator and the responder. Packets of a direction go to the other end.
    pub ends: [FlowEnd; 2],
    /// Never 0 in a flow.
    pub serial: u32,
    /// [`crate::host::Config::generation`] of the last route look-up.
    pub generation: u32,
    /// [`crate::host::Config::policy_epoch`] under which it was allowed; 0 while there is no policy.
    pub policy_epoch: u32,
    /// What the addresses' translation adds to a one's complement sum, per direction; then the ports'.
    pub address_sums: [u32; 2],
    pub port_sums: [u32; 2],
    /// A [`FlowState`].
    pub state: u8,
    /// Directions that have sent FIN: bit 0 the original one, bit 1 replies.
    pub finished: u8,
    pub _pad: [u8; 2],
    /// Number of the publication that it came by, or 0.
    pub publication: u32,
    /// Number of the policy's rule that allowed it, or 0.
    pub rule: u32,
}
map_type!(Flow, 216);

impl Flow {
    #[inline(always)]
    pub const fn is_alive(&self, now: u64) -> bool {
        self.serial != 0 && self.deadline > now
    }
}

/// Value of QUOTAS, by endpoint id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many slots were taken so far, the hand of the clock: the next one is this, modulo the quota.
    pub hand: u32,
    /// How many flows came to the endpoint from a member of its own network, whose answers do not go
    /// through the gateway.
    pub hairpins: u32,
}
map_type!(Quota, 8);

/// Key of FRAGMENTS: the packet that a fragment is of (RFC 791, RFC 8200).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    pub from: Address,
    pub to: Address,
    pub zone: u32,
    pub protocol: u32,
    /// Network order.
    pub identification: u32,
}
map_type!(FragmentKey, 44);

/// Value of FRAGMENTS: the ports that its first fragment had, as in [`Tuple`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentPorts {
    pub from_port: u16,
    pub to_port: u16,
}
map_type!(FragmentPorts, 4);

/// Fragments of one packet that may wait, and bytes of the longest, Ethernet header included.
pub const PARKED_MOST: u32 = 48;
pub const PARKED_LONGEST: usize = 1_514;

/// Key of PARKED.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParkedKey {
    pub packet: FragmentKey,
    /// 0, 1, 2, … in the order of their arrival.
    pub place: u32,
}
map_type!(ParkedKey, 48);

/// Value of PARKED: a fragment that came before its packet's first one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub length: u32,
    pub bytes: [u8; PARKED_LONGEST],
    pub _pad: [u8; 2],
}
map_type!(Parked, 1_520);

const SECOND: u64 = 1_000_000_000;

/// How long a flow may be silent. TCP: RFC 5382 (at least 2 h 4 min established), UDP: RFC 4787, ICMP: RFC
/// 5508; what they leave open is as in `nf_conntrack`.
#[inline(always)]
pub const fn timeout(protocol: u32, state: FlowState) -> u64 {
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    const ICMP: u32 = 1;
    const ICMPV6: u32 = 58;
    match (protocol, state) {
        (TCP, FlowState::New) => 60 * SECOND,
        (TCP, FlowState::Established) => 7_440 * SECOND,
        (TCP, FlowState::Closing) => 240 * SECOND,
        (TCP, FlowState::Closed) => 10 * SECOND,
        (ICMP | ICMPV6, _) | (UDP, FlowState::New) => 30 * SECOND,
        (UDP, _) => 180 * SECOND,
        _ => 600 * SECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_turns_round() {
        let tuple = Tuple {
            from: Address::v4(1),
            to: Address::v4(2),
            from_port: 3,
            to_port: 4,
            zone: 5,
            protocol: 6,
        };
        assert_eq!(tuple.reversed(0).reversed(5), tuple);
        assert_eq!(tuple.reversed(7).zone, 7);
    }

    #[test]
    fn an_end_that_becomes_an_endpoint_keeps_nothing_of_the_world() {
        let mut end = FlowEnd {
            ifindex: 7,
            next_hop: Address::v4(8),
            ..FlowEnd::default()
        };
        let endpoint = Endpoint {
            id: 1,
            generation: 2,
            mtu: 1_500,
            mac: Mac([3; 6]),
            ..Endpoint::default()
        };
        end.set_sender(&endpoint);
        let expected = FlowEnd {
            endpoint: 1,
            generation: 2,
            mtu: 1_500,
            mac: Mac([3; 6]),
            ..FlowEnd::default()
        };
        assert_eq!(end, expected);
    }

    #[test]
    fn an_idle_connection_lives_longer_than_two_keepalives() {
        assert!(timeout(6, FlowState::Established) >= (2 * 60 + 4) * 60 * SECOND);
        assert!(timeout(17, FlowState::Established) >= 120 * SECOND);
    }
}
