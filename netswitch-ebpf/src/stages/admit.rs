//! Admit: a flow that needs no translation but the policy's leave, between members of a network or of two.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Mac,
    endpoint::{Endpoint, Kind, Port, flags},
    policy::action,
    progress,
    verdict::{Decision, DropReason, Verdict},
};

use super::{
    begin::{self, Template, set_sender, source, target},
    flow, fragment, leash, leave, masquerade,
    policy::{self, AGAINST, NEW, NOTHING},
    tuple,
};
use crate::{
    code,
    headers::{protocol, tcp},
    maps,
    packet::{Family, Frame, Headers},
    place::{copy, part},
    work::{Read, WayBack, Work, end},
};

/// The verdict about a packet between members of a network about whom the policy may have something to say;
/// with [`Verdict::Drop`] the decision is in `work`.
#[inline(always)]
pub fn judge(frame: Frame, headers: Headers, endpoint: &Endpoint, port: &Port) -> u32 {
    judge_member(frame.0, headers.bits(), endpoint, port)
}

#[unsafe(no_mangle)]
extern "C" fn judge_member(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint, port: *const Port) -> u32 {
    // SAFETY: from `judge`; the verifier checks that they are what they are said to be
    let (headers, endpoint, port) = unsafe { (Headers::from_bits(headers), endpoint.as_ref(), port.as_ref()) };
    let found = match (endpoint, port) {
        (Some(endpoint), Some(port)) => look_at(Frame::new(skb), headers, endpoint, port),
        _ => Err(DropReason::Malformed),
    };
    match found {
        Ok(verdict) => verdict as u32 | port.map_or(0, |port| port.flags & flags::LIMITED),
        Err(reason) => {
            if let Some(work) = maps::work() {
                work.start_decision().write(Decision {
                    destination: port.map_or(0, |port| port.id),
                    ..Decision::drop(reason)
                });
            }
            Verdict::Drop as u32
        }
    }
}

#[inline(always)]
fn look_at(frame: Frame, headers: Headers, endpoint: &Endpoint, port: &Port) -> Result<Verdict, DropReason> {
    let may_meet = endpoint.may_meet(port.kind);
    if !matches!(headers.family, Family::V4 | Family::V6) {
        let denial = match policy::denies_to(port.id) {
            true => Some(DropReason::PolicyDenied),
            false => policy::denial_from(endpoint.id),
        };
        return match denial {
            _ if !may_meet => Err(DropReason::IccDisabled),
            Some(reason) => Err(reason),
            None if port.kind == Kind::Host as u8 => Ok(Verdict::Host),
            None => Ok(Verdict::Peer),
        };
    }
    tuple::read(frame, headers, endpoint.network)?;
    let way_back = WayBack {
        ifindex: frame.ifindex(),
        network: endpoint.network,
    };
    if fragment::decide(frame, way_back) {
        return Ok(Verdict::Drop);
    }
    let is_known = flow::find(frame);
    let Some(work) = maps::work() else {
        return Err(DropReason::Internal);
    };
    if is_known {
        return match leave::is_denied(work) {
            false => Ok(Verdict::Follow),
            true => Err(policy::reason(work)),
        };
    }
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    if read.is_quoting() {
        return Err(DropReason::NoFlow);
    }
    let mac = frame.destination_mac()?;
    begin(work, read, endpoint, port, mac, endpoint.network);
    match leash::judge_new(NEW) {
        action::ALLOW => return Ok(Verdict::Admit),
        NOTHING if may_meet => return Ok(Verdict::Admit),
        _ => {}
    }
    let Some(judgement) = work.judgement() else {
        return Err(DropReason::Internal);
    };
    // of a connection that began before anybody kept count: it goes on if either side might have begun it; a
    // leash has kept count from the beginning
    if !judgement.get().is_leashed
        && read.tuple.get().protocol == u32::from(protocol::TCP)
        && read.tcp_flags.get() & (tcp::SYN | tcp::ACK) != tcp::SYN
    {
        let first = judgement.get();
        let said = leash::judge_new(AGAINST);
        if said == action::ALLOW || said == NOTHING && may_meet {
            turn_ends(work);
            return Ok(Verdict::Admit);
        }
        work.start_judgement().write(first);
    }
    match judgement.get().rule == 0 && !judgement.get().is_leashed && !may_meet {
        true => Err(DropReason::IccDisabled),
        false => Err(policy::reason(work)),
    }
}

/// The template of a flow that needs no translation, to a member of `network`.
#[inline(always)]
fn begin(work: &Work, read: &Read, endpoint: &Endpoint, port: &Port, mac: [u16; 3], network: u32) {
    let new = work.start_new_flow();
    copy(part!(read.tuple, to), target(&new));
    copy(part!(read.tuple, from), source(&new));
    set_sender(&new, endpoint);
    // the end has no source MAC: packets between networks take the longer way, packets within one keep their MACs
    end::set_endpoint(
        part!(new.flow, ends[1]),
        port.id,
        port.generation,
        port.mtu,
        Mac::from_words(mac),
        Mac([0; 6]),
    );
    let template = Template {
        owner: endpoint.id,
        port: read.tuple.get().to_port,
        wants_port: false,
        zone: network,
        publication: 0,
    };
    begin::begin(new, read, template);
}

/// The flow is the other end's, and under way.
#[inline(always)]
fn turn_ends(work: &Work) {
    if let Some(new) = work.new_flow() {
        part!(new.flow, tuples[0]).swap(part!(new.flow, tuples[1]));
        part!(new.flow, ends[0]).swap(part!(new.flow, ends[1]));
        part!(new.flow, progress).set(progress::ANSWERED | progress::ASSURED);
    }
}

/// For a packet to another network, which takes a rule that allows it: then it is routed there, as the first
/// one of a flow.
#[inline(always)]
pub fn decide_between(endpoint: &Endpoint) -> Result<(), DropReason> {
    if policy::epoch() == 0 {
        return Err(DropReason::OtherNetwork);
    }
    code::outcome(judge_between(endpoint))
}

#[unsafe(no_mangle)]
extern "C" fn judge_between(endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `decide_between`; the verifier checks that it is one
    match (maps::work(), unsafe { endpoint.as_ref() }) {
        (Some(work), Some(endpoint)) => code::number(enter(work, endpoint)),
        _ => DropReason::OtherNetwork as u32,
    }
}

#[inline(always)]
fn enter(work: &Work, endpoint: &Endpoint) -> Result<(), DropReason> {
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    let Some(to) = work.destination() else {
        return Err(DropReason::Internal);
    };
    let to = to.get();
    let neighbour = maps::subnet(to).and_then(|subnet| Some((subnet.network, maps::neighbour(subnet.network, to)?)));
    let Some((network, neighbour)) = neighbour else {
        return Err(DropReason::OtherNetwork);
    };
    if neighbour.port.kind != Kind::Container as u8 || masquerade::may_begin(read, endpoint).is_err() {
        return Err(DropReason::OtherNetwork);
    }
    begin(work, read, endpoint, &neighbour.port, neighbour.mac.words(), network);
    match leash::judge_new(NEW) {
        action::ALLOW => Ok(()),
        NOTHING => Err(DropReason::OtherNetwork),
        _ => Err(policy::reason(work)),
    }
}
