//! Direct: packets to a container's own address from beyond its network, where that is open (gateway modes routed and
//! nat-unprotected, `trusted_host_interfaces`).

use core::cell::Cell;

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Kind, flags},
    neighbour::Neighbour,
    network::Network,
    publish::DIRECT,
    verdict::DropReason,
};

use super::{
    admit,
    begin::{self, Template, set_sender, source, target},
    masquerade,
    open::{self, is_open},
    publish,
};
use crate::{
    code::{number, outcome},
    headers::protocol,
    maps,
    packet::Frame,
    place::{copy, part},
    work::{Read, Work, end},
};

type Result = core::result::Result<(), DropReason>;

/// For the first packet from the world to an address that no port is published at: begins its flow if the address is a
/// container's and open to the packet.
#[inline(always)]
pub fn decide_world(frame: Frame) -> Result {
    outcome(begin_from_world(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn begin_from_world(skb: *mut __sk_buff) -> u32 {
    number(
        maps::work()
            .ok_or(DropReason::Internal)
            .and_then(|work| enter(Frame::new(skb), work)),
    )
}

#[inline(always)]
fn enter(frame: Frame, work: &'static Work) -> Result {
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    let (neighbour, network, id) = receiver(part!(read.tuple, to)).ok_or(DropReason::NotPublished)?;
    if !may_be_asked(read)
        || !is_open(
            network,
            read.is_v4(),
            is_message(read),
            maps::trusts(id, frame.ifindex()),
        )
    {
        return Err(DropReason::NotPublished);
    }
    publish::set_client(frame, network)?;
    lead(work, read, neighbour, network, id, neighbour.port.id);
    Ok(())
}

/// Whether fragments to this address are kept in order: it may be open to packets from this device.
#[inline(always)]
pub fn may_reach(frame: Frame, to: &Cell<Address>) -> bool {
    receiver(to).is_some_and(|(_, network, id)| network.flags & open::OPEN != 0 || maps::trusts(id, frame.ifindex()))
}

/// For the first packet from a container to one of another network: by what is published there, by the network's
/// mode, or by a rule.
#[inline(always)]
pub fn decide_between(endpoint: &Endpoint) -> Result {
    match begin_between(endpoint) {
        OTHER => admit::decide_between(endpoint),
        code => outcome(code),
    }
}

/// What [`begin_between`] says of a packet that nothing of a network's opens.
const OTHER: u32 = u32::MAX;

#[unsafe(no_mangle)]
extern "C" fn begin_between(endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `decide_between`; the verifier checks that it is one
    match (maps::work().and_then(Work::read), unsafe { endpoint.as_ref() }) {
        (Some(read), Some(endpoint)) => cross(read, endpoint),
        _ => OTHER,
    }
}

#[inline(always)]
fn cross(read: &Read, endpoint: &Endpoint) -> u32 {
    if endpoint.flags & flags::INTERNAL != 0 || masquerade::may_begin(read, endpoint).is_err() {
        return OTHER;
    }
    let (Some(work), Some((neighbour, network, id))) = (maps::work(), receiver(part!(read.tuple, to))) else {
        return OTHER;
    };
    if let Some(found) = publish::find_there(read) {
        return number(publish::decide_container(found, endpoint));
    }
    let has_gateway = maps::network(endpoint.network).is_some_and(|own| own.has_gateway(read.is_v4()));
    if !has_gateway || !may_be_asked(read) || !is_open(network, read.is_v4(), is_message(read), false) {
        return OTHER;
    }
    let new = work.start_new_flow();
    set_sender(&new, endpoint);
    lead(work, read, neighbour, network, id, endpoint.id);
    0
}

/// The container that has an address, and its network; none of an internal network's.
#[inline(always)]
fn receiver(to: &Cell<Address>) -> Option<(&'static Neighbour, &'static Network, u32)> {
    let id = maps::subnet(to.get())?.network;
    let network = maps::network(id).filter(|network| network.flags & flags::INTERNAL == 0)?;
    let neighbour = maps::neighbour(id, to.get())?;
    (neighbour.port.kind == Kind::Container as u8 && !to.get().is_v6_link_local()).then_some((neighbour, network, id))
}

/// Whether the packet may be the first one of a flow: of messages only questions.
#[inline(always)]
fn may_be_asked(read: &Read) -> bool {
    !read.is_quoting() && !read.is_orphan.get() && (!is_message(read) || read.identified.get() == super::tuple::ASKER)
}

#[inline(always)]
fn is_message(read: &Read) -> bool {
    match read.is_v4() {
        true => read.protocol() == protocol::ICMP,
        false => read.protocol() == protocol::ICMPV6,
    }
}

/// Writes the rest of a flow to a container's own address, whose originator is known.
#[inline(always)]
fn lead(work: &'static Work, read: &Read, neighbour: &Neighbour, network: &Network, zone: u32, owner: u32) {
    let new = work.start_new_flow();
    copy(part!(read.tuple, to), target(&new));
    copy(part!(read.tuple, from), source(&new));
    let port = &neighbour.port;
    end::set_endpoint(
        part!(new.flow, ends[1]),
        port.id,
        port.generation,
        port.mtu,
        neighbour.mac,
        network.mac,
    );
    let template = Template {
        owner,
        port: read.tuple.get().to_port,
        wants_port: false,
        zone,
        publication: DIRECT,
    };
    begin::begin(new, read, template);
}
