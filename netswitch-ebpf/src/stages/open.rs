//! Open: whether a network's containers are reached at their own addresses from beyond it.

use netswitch_common::{endpoint::flags, flow::Flow, network::Network};

use crate::{headers::protocol, maps};

/// Any of these in a network's flags: something may be open at its containers' own addresses.
pub const OPEN: u32 = flags::ROUTED_V4 | flags::ROUTED_V6 | flags::OPEN_V4 | flags::OPEN_V6;

/// Whether a network's containers are open at their own addresses: to all packets, or to questions by ICMP.
#[inline(always)]
pub fn is_open(network: &Network, is_v4: bool, is_message: bool, is_trusted: bool) -> bool {
    let (open, routed) = match is_v4 {
        true => (flags::OPEN_V4, flags::ROUTED_V4),
        false => (flags::OPEN_V6, flags::ROUTED_V6),
    };
    is_trusted || network.flags & open != 0 || is_message && network.flags & routed != 0
}

/// Whether a flow that began without a publication may go on.
#[inline(always)]
pub fn stays_open(flow: &Flow) -> bool {
    let [original, reply] = &flow.tuples;
    let is_v4 = original.to.as_v4().is_some();
    let is_message = match is_v4 {
        true => original.protocol == u32::from(protocol::ICMP),
        false => original.protocol == u32::from(protocol::ICMPV6),
    };
    let from = &flow.ends[0];
    let is_trusted = from.endpoint == 0 && maps::trusts(reply.zone, from.ifindex);
    maps::network(reply.zone).is_some_and(|network| is_open(network, is_v4, is_message, is_trusted))
}
