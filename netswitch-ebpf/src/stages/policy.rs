//! Policy: whether a flow may begin, or go on.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::{Address, Mac},
    endpoint::{Endpoint, Kind, Port, flags},
    flow::{Flow, FlowEnd, FlowState},
    policy::{self, PairKey, action, half, identity},
    verdict::{Decision, DropReason, Verdict},
};

use super::{
    flow::{self, WayBack},
    fragment, leash, masquerade, tuple,
};
use crate::{
    code,
    headers::{protocol, tcp},
    maps,
    packet::{Family, Frame, Headers},
    work::Work,
};

/// What is asked about: the flow that begins; the same, begun by the other end; the one that was found.
const NEW: u32 = 0;
const AGAINST: u32 = 1;
const KNOWN: u32 = 2;

/// What the policy says: nothing, or one of [`action`].
const NOTHING: u32 = 0;

/// The policy in force; 0: none.
#[inline(always)]
pub fn epoch() -> u32 {
    maps::config().map_or(0, |config| config.policy_epoch)
}

/// Whether it may have something to say about what passes between two endpoints.
#[inline(always)]
pub fn concerns(one: u32, other: u32) -> bool {
    let epoch = epoch();
    epoch != 0 && (flags_of(one, epoch) | flags_of(other, epoch)) & policy::flags::CONCERNED != 0
}

/// Whether frames may pass between the endpoint and a port, or a rule may let some.
#[inline(always)]
pub fn may_meet(endpoint: &Endpoint, port: &Port) -> bool {
    endpoint.may_meet(port.kind) || concerns(endpoint.id, port.id)
}

#[inline(always)]
pub fn flags_of(endpoint: u32, epoch: u32) -> u32 {
    maps::standing(endpoint).map_or(0, |standing| standing.flags[half(epoch)])
}

/// Why an endpoint may not send what no rule and no leash can speak of: other than IP, and to groups.
#[inline(always)]
pub fn denial_from(endpoint: u32) -> Option<DropReason> {
    let epoch = epoch();
    if epoch == 0 {
        return None;
    }
    let flags = flags_of(endpoint, epoch);
    if flags & policy::flags::LEASH != 0 {
        return Some(DropReason::Egress);
    }
    (flags & policy::flags::DENY_OUT != 0).then_some(DropReason::PolicyDenied)
}

/// Whether it may not get it.
#[inline(always)]
pub fn denies_to(endpoint: u32) -> bool {
    let epoch = epoch();
    epoch != 0 && flags_of(endpoint, epoch) & policy::flags::DENY_IN != 0
}

/// Whether the policy keeps the flow that begins with this packet from beginning.
#[inline(always)]
pub fn denies_new() -> bool {
    epoch() != 0 && judge_new(NEW) == action::DENY
}

/// Why the last flow that was asked about may not pass.
#[inline(always)]
pub fn reason(work: &Work) -> DropReason {
    match work.leashed {
        0 => DropReason::PolicyDenied,
        _ => DropReason::Egress,
    }
}

/// For a flow that was found and that another policy has allowed: whether it may go on.
#[inline(always)]
pub fn again(work: &mut Work) {
    match judge_flow(KNOWN) {
        action::DENY => work.denied = 1,
        _ => work.rejudged = 1,
    }
}

/// What leash and policy say about the flow that begins. A leash is not asked about flows that have begun: it
/// stays as it is as long as its endpoint.
#[inline(always)]
fn judge_new(question: u32) -> u32 {
    match leash::holds(question == AGAINST) {
        true => action::DENY,
        false => judge_flow(question),
    }
}

/// Asks about a flow. The rule and the epoch of the answer are in `work` and, for a new one, in its record.
#[unsafe(no_mangle)]
extern "C" fn judge_flow(question: u32) -> u32 {
    let Some(work) = maps::work() else {
        return action::DENY;
    };
    let epoch = epoch();
    work.epoch = epoch;
    work.rule = 0;
    work.leashed = 0;
    let answer = if question == KNOWN {
        match maps::record(work.key) {
            Some(flow) => match look(flow, epoch, false) {
                (NOTHING, _) if needs_leave(flow) => (action::DENY, 0),
                answer => answer,
            },
            None => (action::DENY, 0),
        }
    } else {
        look(&work.flow, epoch, question == AGAINST)
    };
    work.rule = answer.1;
    work.flow.policy_epoch = epoch;
    work.flow.rule = answer.1;
    answer.0
}

#[inline(always)]
fn look(flow: &Flow, epoch: u32, against: bool) -> (u32, u32) {
    if epoch == 0 {
        return (NOTHING, 0);
    }
    let [original, reply] = &flow.tuples;
    let [one, other] = &flow.ends;
    let concerned = (flags_of(one.endpoint, epoch) | flags_of(other.endpoint, epoch)) & policy::flags::CONCERNED;
    if concerned == 0 {
        return (NOTHING, 0);
    }
    let (from, to, port) = match against {
        false => ((one, &original.from), (other, &reply.from), reply.from_port),
        true => ((other, &reply.from), (one, &original.from), original.from_port),
    };
    let pair = PairKey {
        epoch,
        from: identity_of(from.0, from.1, epoch),
        to: identity_of(to.0, to.1, epoch),
    };
    let denies = flags_of(from.0.endpoint, epoch) & policy::flags::DENY_OUT
        | flags_of(to.0.endpoint, epoch) & policy::flags::DENY_IN;
    match maps::ruling(pair, original.protocol as u8, port) {
        Some(ruling) => (ruling.action, ruling.rule),
        None if denies != 0 => (action::DENY, 0),
        None => (NOTHING, 0),
    }
}

/// The host's ports have standings, too; what is no endpoint is the world.
#[inline(always)]
fn identity_of(end: &FlowEnd, address: &Address, epoch: u32) -> u32 {
    match end.endpoint {
        0 => maps::identity(epoch, *address),
        endpoint => maps::standing(endpoint).map_or(identity::NONE, |standing| standing.identities[half(epoch)]),
    }
}

/// Whether there would be no such flow without a rule that allows it: between networks, or between neighbours
/// that do not meet.
#[inline(always)]
fn needs_leave(flow: &Flow) -> bool {
    let [original, reply] = &flow.tuples;
    if flow.publication != 0 || original.zone == 0 || reply.zone == 0 {
        return false;
    }
    original.zone != reply.zone || (keeps_apart(&flow.ends[0]) && keeps_apart(&flow.ends[1]))
}

#[inline(always)]
fn keeps_apart(end: &FlowEnd) -> bool {
    maps::slot(end.endpoint)
        .filter(|slot| slot.flags & flags::NO_ICC != 0)
        .and_then(|slot| maps::endpoint(slot.ifindex))
        .is_some_and(|endpoint| endpoint.kind == Kind::Container as u8)
}

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
        let denial = match denies_to(port.id) {
            true => Some(DropReason::PolicyDenied),
            false => denial_from(endpoint.id),
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
            _ => Err(reason(work)),
        };
    }
    if work.quoted != 0 {
        return Err(DropReason::NoFlow);
    }
    let mac = frame.destination_mac()?;
    begin(work, endpoint, port, mac, endpoint.network);
    match judge_new(NEW) {
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
        let said = judge_new(AGAINST);
        if said == action::ALLOW || said == NOTHING && may_meet {
            turn_round();
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
        _ => Err(maps::work().map_or(DropReason::PolicyDenied, |work| reason(work))),
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
    work.flow.ends[1].set(port.id, port.generation, port.mtu, Mac::from_words(mac));
    let to_port = work.tuple.to_port;
    flow::begin(work, to_port, network);
}

/// The flow is the other end's, and under way.
#[inline(always)]
fn turn_round() {
    if let Some(work) = maps::work() {
        let [original, reply] = work.flow.tuples;
        work.flow.tuples = [reply, original];
        let [one, other] = work.flow.ends;
        work.flow.ends = [other, one];
        work.flow.state = FlowState::Established as u8;
    }
}

/// For a packet to another network, which takes a rule that allows it: then it is routed there, as the first
/// one of a flow.
#[inline(always)]
pub fn decide_between(endpoint: &Endpoint) -> Result<(), DropReason> {
    if epoch() == 0 {
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
    match judge_new(NEW) {
        action::ALLOW => Ok(()),
        NOTHING => Err(DropReason::OtherNetwork),
        _ => Err(maps::work().map_or(DropReason::PolicyDenied, |work| reason(work))),
    }
}
