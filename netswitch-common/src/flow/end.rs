//! An end of a flow.

use crate::{
    address::{Address, Mac},
    endpoint::Endpoint,
    map_type,
    way::Way,
};

/// One end of a flow: where packets to it leave.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowEnd {
    /// Endpoint id and generation; 0 for the world.
    pub endpoint: u32,
    pub generation: u32,
    /// Uplink, for the world. An endpoint's device stands in SLOTS.
    pub ifindex: u32,
    /// The host that the endpoint is on; 0: this one.
    pub remote: u32,
    /// Largest packet, in bytes without the Ethernet header.
    pub mtu: u16,
    /// Of the endpoint or, for the world, of the next hop, if the neighbour table knew it.
    pub mac: Mac,
    /// Which packets to it come from: the uplink's own or, for an endpoint, its gateway's. Zero where a version before 5
    /// has written it.
    pub source: Mac,
    /// A [`Way`]; an endpoint's stands in SLOTS.
    pub way: u8,
    /// For about how many seconds the neighbour table has not found the next hop's MAC, though packets asked for it.
    pub silent: u8,
    /// Next hop, for the world; none where it is [`FlowEnd::mac`] for good.
    pub next_hop: Address,
}
map_type!(FlowEnd, 48);

/// A next hop that has not answered for this long, in seconds, is not there: the kernel asks three times, a second apart
/// (`mcast_solicit` and `retrans_time` in `net/core/neighbour.c`).
pub const SILENCE: u8 = 3;

impl FlowEnd {
    /// Whether it is no endpoint.
    #[inline(always)]
    pub const fn is_world(&self) -> bool {
        self.endpoint == 0
    }

    /// How a packet for the world leaves. Past the neighbour table if its next hop's MAC is known; but the first one of
    /// a flow and one a second after it do not: the table finds out from them whether the next hop is there.
    #[inline(always)]
    pub const fn way_out(&self, asks_again: bool) -> Way {
        let knows_mac = !matches!(self.mac.words(), [0, 0, 0]);
        if self.way == Way::Device as u8 || knows_mac && !asks_again {
            Way::Device
        } else {
            Way::NextHop
        }
    }

    /// Whether the next hop's MAC is still to be found.
    #[inline(always)]
    pub const fn is_unresolved(&self) -> bool {
        self.way == Way::NextHop as u8 && matches!(self.mac.words(), [0, 0, 0])
    }

    /// The end that a packet's sender is.
    #[inline(always)]
    #[must_use]
    pub const fn sender(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.id,
            generation: endpoint.generation,
            ifindex: 0,
            remote: 0,
            mtu: endpoint.mtu,
            mac: endpoint.mac,
            source: endpoint.gateway,
            way: 0,
            silent: 0,
            next_hop: Address::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_end_and_not_the_worlds() {
        let endpoint = Endpoint {
            id: 1,
            generation: 2,
            mtu: 1_500,
            mac: Mac([3; 6]),
            gateway: Mac([4; 6]),
            ..Endpoint::default()
        };
        let expected = FlowEnd {
            endpoint: 1,
            generation: 2,
            mtu: 1_500,
            mac: Mac([3; 6]),
            source: Mac([4; 6]),
            ..FlowEnd::default()
        };
        assert_eq!(FlowEnd::sender(&endpoint), expected);
        assert!(!expected.is_world());
    }
}
