//! Masquerade: a container speaks to the world with an address of the host's (RFC 2663, 4.1.2).

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    endpoint::{Endpoint, flags},
    network::Network,
    verdict::DropReason,
};

use super::{
    begin::{self, Template, set_sender, source, target},
    claim, route, source_guard, tuple,
};
use crate::{
    code::{number, outcome},
    headers::protocol,
    maps,
    packet::Frame,
    place::{copy, part},
    work::{Read, Route, Work},
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
        return Err(DropReason::Internal);
    };
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    may_begin(read, endpoint)?;
    let route = match route::to_world(frame, work, read, network.host_end, part!(read.tuple, to)) {
        Ok(route) if device == 0 || route.end.get().ifindex == device => route,
        _ if device != 0 => route::by(device, work, read.is_v4())?,
        Ok(_) => return Err(DropReason::Internal),
        Err(reason) => return Err(reason),
    };
    begin(work, read, route, endpoint, network)
}

/// Whether the packet may be the first one of a flow to the world.
#[inline(never)]
pub fn may_begin(read: &Read, endpoint: &Endpoint) -> Result<(), DropReason> {
    if read.is_quoting() {
        return Err(DropReason::NoFlow);
    }
    // of ICMP only questions: with another message a container could get what others ask the host
    let tuple = read.tuple.get();
    let is_message = match read.is_v4() {
        true => tuple.protocol == u32::from(protocol::ICMP),
        false => tuple.protocol == u32::from(protocol::ICMPV6),
    };
    if is_message && read.identified.get() != tuple::ASKER {
        return Err(DropReason::NoFlow);
    }
    // not even unguarded ones: the way back would not be theirs
    if !source_guard::is_own(endpoint, tuple.from) || tuple.from.is_v6_link_local() {
        return Err(DropReason::NoUplink);
    }
    Ok(())
}

#[inline(always)]
fn begin(work: &Work, read: &Read, route: &Route, endpoint: &Endpoint, network: &Network) -> Result<(), DropReason> {
    let is_v4 = read.is_v4();
    let masquerade = if is_v4 {
        flags::MASQUERADE_V4
    } else {
        flags::MASQUERADE_V6
    };
    let masquerades = endpoint.flags & masquerade != 0;
    let new = work.start_new_flow();
    copy(part!(read.tuple, to), target(&new));
    if masquerades {
        route::choose_source(network, route, is_v4, source(&new));
        if source(&new).get().is_unspecified() {
            return Err(DropReason::NoRoute);
        }
        if !has_ports(read) && claim::uses(read.tuple.get().protocol, is_v4) {
            return Err(DropReason::HostProtocol);
        }
    } else {
        copy(part!(read.tuple, from), source(&new));
    }
    copy(&route.end, part!(new.flow, ends[1]));
    set_sender(&new, endpoint);
    let template = Template {
        owner: endpoint.id,
        port: read.tuple.get().to_port,
        wants_port: masquerades && has_ports(read),
        zone: 0,
        publication: 0,
    };
    begin::begin(new, read, template);
    Ok(())
}

/// Whether the protocol has ports that can be changed. SCTP's can, but its peers may know each other by
/// several addresses (RFC 3257): only the address changes.
#[inline(always)]
pub fn has_ports(read: &Read) -> bool {
    match read.protocol() {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE => true,
        protocol::ICMP | protocol::ICMPV6 => read.identified.get() == tuple::ASKER,
        _ => false,
    }
}
