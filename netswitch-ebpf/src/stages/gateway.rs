//! Frames that reach the host, by the gateway's MAC or as copies, judged by destination address: the
//! host itself, another network, or the world.

use core::cell::Cell;

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_ktime_get_coarse_ns};
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Port, flags},
    network::Network,
    verdict::{Decision, DropReason, Verdict},
};

use super::{
    admit, direct, flow, fragment,
    host::{self, Answer},
    leave, masquerade, names, near, policy, publish, resolve, stack, tuple,
};
use crate::{
    maps,
    packet::{Addresses, Family, Frame, Headers},
    work::{Read, WayBack, Work},
};

/// Where a packet belongs that reaches the host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The host's own stack, by one of its addresses.
    Host,
    /// A group of the network's.
    Group,
    World,
}

/// The verdict about a container's frame to the gateway's MAC; with [`Verdict::Drop`] the decision is in `work`.
#[inline(always)]
pub fn decide(frame: Frame, headers: Headers, endpoint: &Endpoint, port: &Port) -> u32 {
    if endpoint.may_ask_names(headers.family) && resolve::find(frame, headers, endpoint) {
        return Verdict::Drop as u32;
    }
    let mut answer = Answer::from_number(decide_gateway(frame.0, headers.bits(), endpoint));
    if endpoint.flags & host::CLOSED != 0 {
        answer = host::restrict(frame, headers, endpoint, answer);
    }
    match answer {
        Answer::Host if policy::is_followed(endpoint, port) => admit::judge(frame, headers, endpoint, port),
        Answer::Host | Answer::Stack => Verdict::Host as u32,
        Answer::Question => Verdict::Question as u32,
        Answer::Decided => {
            leave::tell(frame, headers, endpoint);
            Verdict::Drop as u32
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn decide_gateway(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `decide`; the verifier checks that the endpoint is one
    let (headers, endpoint) = unsafe { (Headers::from_bits(headers), endpoint.as_ref()) };
    let Some(endpoint) = endpoint.filter(|_| matches!(headers.family, Family::V4 | Family::V6)) else {
        return Answer::Host as u32;
    };
    match judge(Frame::new(skb), headers, endpoint) {
        Ok(answer) => answer as u32,
        Err(reason) => {
            if let Some(work) = maps::work() {
                work.start_decision().write(Decision::drop(reason));
            }
            Answer::Decided as u32
        }
    }
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<Answer, DropReason> {
    let Some(network) = maps::network(endpoint.network) else {
        return Err(DropReason::NoUplink);
    };
    let readable = tuple::read(frame, headers, endpoint.network);
    if readable.is_ok() {
        if fragment::decide(frame, way_back(frame, endpoint)) {
            return Ok(Answer::Decided);
        }
        if flow::find(frame) {
            if stack::carries_flow() {
                return Ok(Answer::Stack);
            }
            if is_hosts(network) {
                return Ok(Answer::Host);
            }
            leave::leave(frame, Verdict::Translate, way_back(frame, endpoint));
            return Ok(Answer::Decided);
        }
    }
    let Some(to) = maps::work().and_then(Work::destination) else {
        return Err(DropReason::Internal);
    };
    let place = match place(frame, headers.family, to.get(), endpoint, network) {
        Err(DropReason::OtherNetwork) if is_for_other_gateway(endpoint) => Place::Host,
        Err(DropReason::OtherNetwork) if readable.is_ok() => {
            direct::decide_between(endpoint)?;
            leave::leave(frame, Verdict::Open, way_back(frame, endpoint));
            return Ok(Answer::Decided);
        }
        place => place?,
    };
    match place {
        Place::World if endpoint.flags & flags::INTERNAL != 0 => return Err(DropReason::InternalNetwork),
        Place::World => {
            readable?;
            if stack::is_on() {
                masquerade::may_begin(read()?, endpoint)?;
                return match near::leads_out(frame, network, to.get()) {
                    true => Ok(Answer::Stack),
                    false => Err(DropReason::NoUplink),
                };
            }
            masquerade::decide(frame, endpoint, 0)?;
        }
        Place::Group => return Ok(Answer::Host),
        Place::Host if readable.is_err() => return Ok(Answer::Host),
        Place::Host if names::is_question(read()?, to, network) => return Ok(Answer::Question),
        Place::Host => match publish::find(frame) {
            None => return Ok(Answer::Host),
            Some(found) => publish::decide_container(found, endpoint)?,
        },
    }
    leave::leave(frame, Verdict::Open, way_back(frame, endpoint));
    Ok(Answer::Decided)
}

/// What the packet says, which could be read.
#[inline(always)]
fn read() -> Result<&'static Read, DropReason> {
    maps::work().and_then(Work::read).ok_or(DropReason::Internal)
}

/// For frames between neighbours, of an endpoint that publishes ports: an answer to a neighbour that came
/// by the host's address goes straight to it, and has to come from where it was asked.
#[inline(never)]
pub fn hairpin(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    let Some(until) = maps::HAIRPINS.get(endpoint.id) else {
        return false;
    };
    // SAFETY: no argument
    if *until < unsafe { bpf_ktime_get_coarse_ns() }
        || !matches!(headers.family, Family::V4 | Family::V6)
        || tuple::read(frame, headers, endpoint.network).is_err()
    {
        return false;
    }
    if fragment::decide(frame, way_back(frame, endpoint)) {
        return true;
    }
    let is_published = |work: &Work| work.found().is_some_and(|found| found.get().publication != 0);
    if !flow::find(frame) || !maps::work().is_some_and(is_published) {
        return false;
    }
    leave::leave(frame, Verdict::Translate, way_back(frame, endpoint));
    true
}

/// Whether the flow that was found has the network's host at its other end, and nothing to translate.
#[inline(always)]
fn is_hosts(network: &Network) -> bool {
    maps::work()
        .and_then(Work::translation)
        .filter(|translation| !translation.end.get().is_world())
        .and_then(|translation| maps::slot(translation.end.get().endpoint))
        .is_some_and(|slot| slot.ifindex == network.switch_end)
}

#[inline(always)]
fn way_back(frame: Frame, endpoint: &Endpoint) -> WayBack {
    WayBack {
        ifindex: frame.ifindex(),
        network: endpoint.network,
    }
}

/// Whether a copy of a frame to a group of MACs may reach the host's stack.
#[inline(never)]
pub fn check(frame: Frame, family: Family, endpoint: &Endpoint) -> Result<(), DropReason> {
    if !matches!(family, Family::V4 | Family::V6) {
        return Ok(());
    }
    let Some(network) = maps::network(endpoint.network) else {
        return Err(DropReason::NoUplink);
    };
    let Addresses { to, .. } = frame.addresses(family)?;
    host::check_metadata(endpoint, to)?;
    match place(frame, family, to, endpoint, network)? {
        Place::Host | Place::Group => Ok(()),
        Place::World if endpoint.flags & flags::INTERNAL != 0 => Err(DropReason::InternalNetwork),
        Place::World => Err(DropReason::NoUplink),
    }
}

/// Whether the packet is for the host by its address on another network. What is behind that stays closed, and who has no
/// host on the own network has no way to it.
#[inline(always)]
fn is_for_other_gateway(endpoint: &Endpoint) -> bool {
    find_other_gateway(endpoint.network) != 0
}

#[unsafe(no_mangle)]
extern "C" fn find_other_gateway(own: u32) -> u32 {
    let Some(to) = maps::work().and_then(Work::destination).map(Cell::get) else {
        return 0;
    };
    let owner = maps::subnet(to).and_then(|subnet| maps::network(subnet.network));
    let has_gateway = maps::network(own).is_some_and(|network| network.has_gateway(to.as_v4().is_some()));
    u32::from(has_gateway && owner.is_some_and(|owner| owner.is_gateway(to)))
}

#[inline(always)]
fn place(
    frame: Frame,
    family: Family,
    to: Address,
    endpoint: &Endpoint,
    network: &Network,
) -> Result<Place, DropReason> {
    // for those whom the guard lets say what they like
    if family.is_mapped(to) || to.is_unspecified() || to.is_loopback() {
        return Err(DropReason::Martian);
    }
    if to.is_group() {
        return Ok(Place::Group);
    }
    if network.is_gateway(to) {
        return Ok(Place::Host);
    }
    if to.as_v4().is_none() && to.is_v6_link_local() {
        return Err(DropReason::NotRouted);
    }
    let near = near::near(frame, network.host_end, to);
    let other = match near.is_local {
        true => Place::Host,
        false => Place::World,
    };
    // a network may be wider than one of the host's own (SEED S30): the more specific route wins
    match maps::subnet(to).and_then(|subnet| Some((subnet, maps::network(subnet.network)?))) {
        Some((subnet, owner))
            if !near::leads_to(subnet, owner, near.ifindex) && near.ifindex != 0 && !owner.is_gateway(to) =>
        {
            Ok(other)
        }
        Some((subnet, _)) if subnet.network != endpoint.network => Err(DropReason::OtherNetwork),
        // inside the own subnet the host has its broadcast address and what else the host end carries
        Some(_) if other == Place::World => Err(DropReason::NotRouted),
        _ => Ok(other),
    }
}
