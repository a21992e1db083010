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
    flow, fragment, leash, masquerade,
    policy::{self, AGAINST, NEW, NOTHING},
    tuple,
};
use crate::{
    code,
    headers::{protocol, tcp},
    maps,
    packet::{Family, Frame, Headers},
    work::{WayBack, Work},
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
                work.decision = Decision {
                    destination: port.map_or(0, |port| port.id),
                    ..Decision::drop(reason)
                };
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
        return Err(DropReason::Malformed);
    };
    if is_known {
        return match work.denied {
            0 => Ok(Verdict::Follow),
            _ => Err(policy::reason(work)),
        };
    }
    if work.quoted != 0 {
        return Err(DropReason::NoFlow);
    }
    let mac = frame.destination_mac()?;
    begin(work, endpoint, port, mac, endpoint.network);
    match leash::judge_new(NEW) {
        action::ALLOW => return Ok(Verdict::Admit),
        NOTHING if may_meet => return Ok(Verdict::Admit),
        _ => {}
    }
    let Some(work) = maps::work() else {
        return Err(DropReason::Malformed);
    };
    // of a connection that began before anybody kept count: it goes on if either side might have begun it; a
    // leash has kept count from the beginning
    if work.leashed == 0
        && work.tuple.protocol == u32::from(protocol::TCP)
        && work.tcp_flags & (tcp::SYN | tcp::ACK) != tcp::SYN
    {
        let rule = work.rule;
        let said = leash::judge_new(AGAINST);
        if said == action::ALLOW || said == NOTHING && may_meet {
            turn_ends();
            return Ok(Verdict::Admit);
        }
        if let Some(work) = maps::work() {
            work.rule = rule;
            work.leashed = 0;
        }
    }
    match (
        may_meet,
        maps::work().map_or(0, |work| work.rule | u32::from(work.leashed)),
    ) {
        (false, 0) => Err(DropReason::IccDisabled),
        _ => Err(maps::work().map_or(DropReason::PolicyDenied, |work| policy::reason(work))),
    }
}

/// The template of a flow that needs no translation, to a member of `network`.
#[inline(always)]
fn begin(work: &mut Work, endpoint: &Endpoint, port: &Port, mac: [u16; 3], network: u32) {
    work.goal = work.tuple.to;
    work.source = work.tuple.from;
    work.key.owner = endpoint.id;
    work.wants_port = 0;
    work.flow.ends[0].set_sender(endpoint);
    // the end has no source MAC: packets between networks take the longer way, packets within one keep their MACs
    work.flow.ends[1].set(port.id, port.generation, port.mtu, Mac::from_words(mac), Mac([0; 6]));
    let to_port = work.tuple.to_port;
    flow::begin(work, to_port, network);
}

/// The flow is the other end's, and under way.
#[inline(always)]
fn turn_ends() {
    if let Some(work) = maps::work() {
        let [original, reply] = work.flow.tuples;
        work.flow.tuples = [reply, original];
        let [one, other] = work.flow.ends;
        work.flow.ends = [other, one];
        work.flow.progress = progress::ANSWERED | progress::ASSURED;
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
fn enter(work: &mut Work, endpoint: &Endpoint) -> Result<(), DropReason> {
    let to = work.destination;
    let neighbour = maps::subnet(to).and_then(|subnet| Some((subnet.network, maps::neighbour(subnet.network, to)?)));
    let Some((network, neighbour)) = neighbour else {
        return Err(DropReason::OtherNetwork);
    };
    if neighbour.port.kind != Kind::Container as u8 || masquerade::may_begin(work, endpoint).is_err() {
        return Err(DropReason::OtherNetwork);
    }
    begin(work, endpoint, &neighbour.port, neighbour.mac.words(), network);
    match leash::judge_new(NEW) {
        action::ALLOW => Ok(()),
        NOTHING => Err(DropReason::OtherNetwork),
        _ => Err(maps::work().map_or(DropReason::PolicyDenied, |work| policy::reason(work))),
    }
}
