//! Leash: whether a flow may begin. `--egress` says with whom an endpoint may speak, the policy has its say after that.

use netswitch_common::{
    address::Address,
    policy::{action, flags},
};

use super::policy;
use crate::{maps, work::Work};

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
/// end. Asked is whom the packet was sent to, before any translation. The answer is in `work`, too.
#[inline(always)]
fn holds(against: bool) -> bool {
    ask_leash(u32::from(against)) != 0
}

#[unsafe(no_mangle)]
extern "C" fn ask_leash(against: u32) -> u32 {
    let Some(work) = maps::work() else { return 1 };
    let [original, _] = &work.flow.tuples;
    let [one, other] = &work.flow.ends;
    let (end, to, port) = match against {
        0 => (one, original.to, original.to_port),
        _ => (other, original.from, original.from_port),
    };
    let kinds = match end.endpoint {
        0 => 0,
        endpoint => policy::flags_of(endpoint, policy::epoch()) & flags::LEASH,
    };
    work.leashed = u8::from(kinds != 0 && !permits(kinds, work, end.generation, to, port));
    work.leashed.into()
}

#[inline(always)]
fn permits(kinds: u32, work: &Work, leash: u32, to: Address, port: u16) -> bool {
    let protocol = work.flow.tuples[0].protocol as u8;
    let (Some(leashed), Some(ports)) = (maps::leashed(leash, to), maps::leash_ports(leash, protocol, port)) else {
        return false;
    };
    let classes = leashed.classes(work.now);
    let lets_go = |kind: u32, which: usize| kinds & kind == 0 || classes[which] & ports[which] != 0;
    lets_go(flags::LEASHED, 0) && lets_go(flags::LEASHED_BY_NETWORK, 1)
}
