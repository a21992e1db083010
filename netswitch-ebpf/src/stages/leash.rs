//! Leash: whether a flow may begin. `--egress` says with whom an endpoint may speak, the policy has its say after that.

use core::cell::Cell;

use netswitch_common::{
    address::Address,
    policy::{action, flags},
};

use super::policy;
use crate::{
    maps,
    place::part,
    work::{Judgement, Read},
};

/// Whether the policy keeps the flow that begins with this packet from beginning.
#[inline(always)]
pub fn denies_new() -> bool {
    policy::epoch() != 0 && judge_new(policy::NEW) == action::DENY
}

/// What leash and policy say about the flow that begins. A leash is not asked about flows that have begun: it
/// stays as it is as long as its endpoint.
#[inline(always)]
pub fn judge_new(question: u32) -> u32 {
    match holds(question == policy::AGAINST) {
        true => action::DENY,
        false => policy::judge_flow(question),
    }
}

/// Whether a leash keeps the flow on the sheet from beginning at its first end; or, `against`, at its other
/// end. Asked is whom the packet was sent to, before any translation. A denial is the judgement on the sheet, too.
#[inline(always)]
fn holds(against: bool) -> bool {
    ask_leash(u32::from(against)) != 0
}

#[unsafe(no_mangle)]
extern "C" fn ask_leash(against: u32) -> u32 {
    let Some(work) = maps::work() else { return 1 };
    let (Some(read), Some(new)) = (work.read(), work.new_flow()) else {
        return 1;
    };
    let flow = &new.flow;
    let (end, to, port) = match against {
        0 => (
            part!(flow, ends[0]),
            part!(flow, tuples[0].to),
            part!(flow, tuples[0].to_port),
        ),
        _ => (
            part!(flow, ends[1]),
            part!(flow, tuples[0].from),
            part!(flow, tuples[0].from_port),
        ),
    };
    let epoch = policy::epoch();
    let kinds = match end.get().endpoint {
        0 => 0,
        endpoint => policy::flags_of(endpoint, epoch) & flags::LEASH,
    };
    let leash = end.get().generation;
    if kinds == 0 || permits(kinds, read, leash, to, port.get()) {
        return 0;
    }
    work.start_judgement().write(Judgement {
        rule: 0,
        epoch,
        is_leashed: true,
    });
    1
}

#[inline(always)]
fn permits(kinds: u32, read: &Read, leash: u32, to: &Cell<Address>, port: u16) -> bool {
    let Some(leashed) = maps::leashed(leash, to.get()) else {
        return false;
    };
    let Some(ports) = maps::leash_ports(leash, read.protocol(), port) else {
        return false;
    };
    let classes = leashed.classes(read.now.get());
    let lets_go = |kind: u32, which: usize| kinds & kind == 0 || classes[which] & ports[which] != 0;
    lets_go(flags::LEASHED, 0) && lets_go(flags::LEASHED_BY_NETWORK, 1)
}
