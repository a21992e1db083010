//! Policy: whether a flow may begin, or go on.

use core::cell::Cell;

use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Kind, Port, flags},
    flow::{Flow, FlowEnd},
    policy::{self, PairKey, action, half, identity},
    verdict::DropReason,
};

use crate::{
    maps,
    place::part,
    work::{Found, Judgement, Work},
};

/// What is asked about: the flow that begins; the same, begun by the other end; the one that was found.
pub const NEW: u32 = 0;
pub const AGAINST: u32 = 1;
const KNOWN: u32 = 2;

/// What the policy says: nothing, or one of [`action`].
pub const NOTHING: u32 = 0;

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
pub fn may_let_meet(endpoint: &Endpoint, port: &Port) -> bool {
    endpoint.may_meet(port.kind) || concerns(endpoint.id, port.id)
}

#[inline(always)]
pub fn flags_of(endpoint: u32, epoch: u32) -> u32 {
    maps::standing(endpoint).map_or(0, |standing| standing.flags[half(epoch)])
}

/// Whether what passes between neighbours has records: for the policy, or because an end has only so many.
#[inline(always)]
pub fn is_followed(endpoint: &Endpoint, port: &Port) -> bool {
    (endpoint.flags | port.flags) & flags::COUNT_FLOWS != 0 || concerns(endpoint.id, port.id)
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

/// Why the last flow that was asked about may not pass.
#[inline(always)]
pub fn reason(work: &Work) -> DropReason {
    match work.judgement().is_some_and(|judgement| judgement.get().is_leashed) {
        false => DropReason::PolicyDenied,
        true => DropReason::Egress,
    }
}

/// For a flow that was found and that another policy has allowed: whether it may go on.
#[inline(always)]
pub fn again(found: &Cell<Found>) {
    part!(found, is_denied).set(judge_flow(KNOWN) == action::DENY);
}

/// Asks about a flow. The judgement is on the sheet, too; a new flow's record gets its rule and epoch.
#[unsafe(no_mangle)]
pub extern "C" fn judge_flow(question: u32) -> u32 {
    let Some(work) = maps::work() else {
        return action::DENY;
    };
    let epoch = epoch();
    let (answer, rule) = match question {
        KNOWN => known(work, epoch),
        _ => match work.new_flow() {
            Some(new) => {
                // SAFETY: `look` reads it and writes nothing
                let answer = look(unsafe { &*new.flow.as_ptr() }, epoch, question == AGAINST);
                part!(new.flow, policy_epoch).set(epoch);
                part!(new.flow, rule).set(answer.1);
                answer
            }
            None => (action::DENY, 0),
        },
    };
    work.start_judgement().write(Judgement {
        rule,
        epoch,
        is_leashed: false,
    });
    answer
}

/// What the policy says about the flow that was found.
#[inline(always)]
fn known(work: &Work, epoch: u32) -> (u32, u32) {
    match work.found().and_then(|found| maps::record(found.get().key)) {
        Some(flow) => match look(flow, epoch, false) {
            (NOTHING, _) if needs_leave(flow) => (action::DENY, 0),
            answer => answer,
        },
        None => (action::DENY, 0),
    }
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
