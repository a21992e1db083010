//! Masquerade: a container speaks to the world with an address of the host's (RFC 2663, 4.1.2).

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, flags},
    network::Network,
    verdict::DropReason,
};

use super::{claim, flow, route, source_guard, tuple};
use crate::{
    code::{number, outcome},
    headers::protocol,
    maps,
    packet::Frame,
    work::Work,
};

/// For the first packet of a flow from a container to the world. `device` is the uplink that it is on its
/// way out of; 0: the routing tables choose one.
#[inline(always)]
pub fn decide(frame: Frame, endpoint: &Endpoint, device: u32) -> Result<(), DropReason> {
    outcome(masquerade_flow(frame.0, endpoint, device))
}

#[unsafe(no_mangle)]
extern "C" fn masquerade_flow(skb: *mut __sk_buff, endpoint: *const Endpoint, device: u32) -> u32 {
    // SAFETY: from `decide`; the verifier checks that it is one
    let endpoint = unsafe { endpoint.as_ref() };
    match endpoint.and_then(|endpoint| Some((endpoint, maps::network(endpoint.network)?))) {
        Some((endpoint, network)) => number(look(Frame::new(skb), endpoint, network, device)),
        None => DropReason::NoUplink as u32,
    }
}

#[inline(always)]
fn look(frame: Frame, endpoint: &Endpoint, network: &Network, device: u32) -> Result<(), DropReason> {
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    may_begin(work, endpoint)?;
    work.goal = work.tuple.to;
    work.start = Address::NONE;
    let has_way = route::to_world(frame, network.host_end);
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    if device != 0 && (!has_way || work.route.ifindex != device) {
        route::by(device, work)?;
    } else if !has_way {
        return Err(DropReason::NoUplink);
    }
    begin(endpoint, network)
}

/// Whether the packet may be the first one of a flow to the world.
#[inline(never)]
pub fn may_begin(work: &Work, endpoint: &Endpoint) -> Result<(), DropReason> {
    if work.quoted != 0 {
        return Err(DropReason::NoFlow);
    }
    // of ICMP only questions: with another message a container could get what others ask the host
    let is_message = match work.is_v4() {
        true => work.tuple.protocol == u32::from(protocol::ICMP),
        false => work.tuple.protocol == u32::from(protocol::ICMPV6),
    };
    if is_message && work.identified != tuple::ASKER {
        return Err(DropReason::NoFlow);
    }
    // not even unguarded ones: the way back would not be theirs
    if !source_guard::is_own(endpoint, work.tuple.from) || work.tuple.from.is_v6_link_local() {
        return Err(DropReason::NoUplink);
    }
    Ok(())
}

#[inline(always)]
fn begin(endpoint: &Endpoint, network: &Network) -> Result<(), DropReason> {
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    let masquerade = if work.is_v4() {
        flags::MASQUERADE_V4
    } else {
        flags::MASQUERADE_V6
    };
    let masquerades = endpoint.flags & masquerade != 0;
    if masquerades {
        route::choose_source(network, work);
        if work.source.is_unspecified() {
            return Err(DropReason::NoUplink);
        }
        if !has_ports(work) && claim::uses(work.tuple.protocol, work.is_v4()) {
            return Err(DropReason::HostProtocol);
        }
    } else {
        work.source = work.tuple.from;
    }
    work.flow.ends[1] = work.route;
    work.flow.ends[0].set_sender(endpoint);
    work.key.owner = endpoint.id;
    let port = work.tuple.to_port;
    flow::begin(work, port, 0);
    work.wants_port = u8::from(masquerades && has_ports(work));
    Ok(())
}

/// Whether the protocol has ports that can be changed. SCTP's can, but its peers may know each other by
/// several addresses (RFC 3257): only the address changes.
#[inline(always)]
pub fn has_ports(work: &Work) -> bool {
    match work.tuple.protocol as u8 {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE => true,
        protocol::ICMP | protocol::ICMPV6 => work.identified == tuple::ASKER,
        _ => false,
    }
}
