//! Routing: IPv6's routing tables asked rule by rule, where the host has rules that the kernel's look-up does not heed.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT,
        BPF_FIB_LKUP_RET_UNREACHABLE, BPF_FIB_LOOKUP_DIRECT, bpf_fib_lookup as FibLookup,
    },
    helpers::bpf_loop,
};
use netswitch_common::{
    host::first_key,
    routing::{Rule, action},
};

use super::fib::{self, BY_MARK, ask, set_question};
use crate::{
    maps,
    packet::Frame,
    place::{copy, part},
    work::{Question, Rules, Work},
};

/// `BPF_FIB_LOOKUP_TBID`: the question names the table, where an answer has a VLAN.
const TABLE: u32 = 1 << 3;
const TABLE_AT: usize = core::mem::offset_of!(FibLookup, __bindgen_anon_5);

/// Asks the tables the question on the sheet for a packet of this length from a device. The answer is one of
/// `BPF_FIB_LKUP_RET_*`; the rest of it is in the query on the sheet.
#[inline(always)]
pub fn look_up(frame: Frame, ifindex: u32, flags: u32, work: &Work, question: &Cell<Question>, length: u16) -> u32 {
    let config = maps::config().filter(|config| config.has_routing() && question.get().goal.as_v4().is_none());
    let first = config.map(|config| first_key(config.routing_half()));
    match first.and_then(|first| Some((first, maps::routing_rule(first)?))) {
        Some((first, rule)) => {
            let rules = Rules {
                first,
                next: 0,
                answer: BPF_FIB_LKUP_RET_NOT_FWDED,
                length,
                flags,
            };
            walk(frame, work, question, ifindex, rule.left + 1, rules)
        }
        None => ask(
            frame,
            set_question(frame, ifindex, flags, work, question, length),
            flags,
        ),
    }
}

/// Goes through so many rules until one has an answer.
#[inline(always)]
fn walk(frame: Frame, work: &Work, question: &Cell<Question>, ifindex: u32, count: u32, rules: Rules) -> u32 {
    let asked = work.start_asked();
    copy(part!(question, start), part!(asked, from));
    copy(part!(question, goal), part!(asked, to));
    part!(asked, mark).set(match rules.flags & BY_MARK {
        0 => 0,
        _ => frame.mark(),
    });
    part!(asked, device).set(ifindex);
    let protocol = question.get().protocol;
    part!(asked, protocol).set(protocol);
    part!(asked, service).set(u32::from_be(question.get().service) >> 20);
    // the stack knows no ports of other protocols
    let has_ports = fib::has_ports(protocol as u8);
    let port = |port: u16| if has_ports { u16::from_be(port) } else { 0 };
    part!(asked, from_port).set(port(question.get().from_port));
    part!(asked, to_port).set(port(question.get().to_port));
    asked.done();
    work.start_rules().write(rules);
    let mut walk = Walk { frame };
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(count, try_rule as *mut c_void, (&raw mut walk).cast(), 0) };
    work.rules()
        .map_or(BPF_FIB_LKUP_RET_NOT_FWDED, |rules| rules.get().answer)
}

/// What `bpf_loop` passes from rule to rule.
#[repr(C)]
struct Walk {
    frame: Frame,
}

/// Goes on until a rule has an answer.
extern "C" fn try_rule(round: u64, walk: &mut Walk) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let Some(rules) = work.rules() else { return 1 };
    let Some(asked) = work.asked() else { return 1 };
    let Some(rule) = maps::routing_rule(rules.get().first.wrapping_add(round as u32)) else {
        return 1;
    };
    // SAFETY: `takes` reads it and writes nothing
    if (round as u32) < rules.get().next || !rule.takes(unsafe { &*asked.as_ptr() }) {
        return 0;
    }
    let answer = match rule.action {
        action::TABLE => ask_table(walk.frame, work, rule),
        action::UNREACHABLE => BPF_FIB_LKUP_RET_UNREACHABLE,
        action::PROHIBIT => BPF_FIB_LKUP_RET_PROHIBIT,
        action::BLACKHOLE => BPF_FIB_LKUP_RET_BLACKHOLE,
        action::GO_ON_AT => {
            part!(rules, next).set(rule.target);
            return 0;
        }
        _ => return 0,
    };
    if answer == BPF_FIB_LKUP_RET_NOT_FWDED {
        return 0;
    }
    part!(rules, answer).set(answer);
    1
}

/// What the rule's table says; as if there was no route, where the rule suppresses it.
#[inline(always)]
fn ask_table(frame: Frame, work: &Work, rule: &Rule) -> u32 {
    let (Some(question), Some(rules), Some(asked)) = (work.question(), work.rules(), work.asked()) else {
        return BPF_FIB_LKUP_RET_NOT_FWDED;
    };
    let (flags, length) = (rules.get().flags & !BY_MARK, rules.get().length);
    let query = set_question(frame, asked.get().device, flags, work, question, length);
    // SAFETY: inside the query, which is all filled
    unsafe { query.byte_add(TABLE_AT).cast::<u32>().write_unaligned(rule.target) };
    let answer = ask(frame, query, flags | BPF_FIB_LOOKUP_DIRECT | TABLE);
    let is_suppressed = rule.suppressed >= 0
        && maps::prefix_length(work, rules.get().first | rule.target, question.get().goal)
            .is_none_or(|length| length as i32 <= rule.suppressed);
    match is_suppressed {
        true => BPF_FIB_LKUP_RET_NOT_FWDED,
        false => answer,
    }
}
