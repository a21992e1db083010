//! Commit: the only place where a decision has effects. Counts, spends, copies, rewrites, redirects.

pub mod count;
mod deny;
pub mod event;
mod hairpin;
mod hop;
pub mod limit;
mod names;
mod open;
mod park;
mod pieces;
mod renew;
mod replicate;
mod resolve;
mod rewrite;
mod slot;
pub mod translate;

use aya_ebpf::{
    Global,
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT},
    helpers::{bpf_redirect, bpf_redirect_peer, bpf_skb_change_type},
    programs::TcContext,
};
use netswitch_common::verdict::{Decision, DropReason, Verdict};

use self::count::{count_drop, count_path};
use crate::{headers::Macs, maps, packet::Frame};

/// To the next program, or to the stack if there is none (`TCX_NEXT`, `TC_ACT_UNSPEC`).
pub const TCX_NEXT: i32 = -1;

/// `skb->pkt_type`: for us. The kernel has compared the destination MAC with the host-side device's,
/// and a frame "for another host" is not received.
const PACKET_HOST: u32 = 0;
/// Set at load: since 6.15 `skb_do_redirect` scrubs what goes to a peer (`skb_scrub_packet`) and so does
/// it itself; earlier kernels leave it to us. The verifier removes the branch that is not taken.
#[unsafe(no_mangle)]
static KERNEL_SETS_PACKET_TYPE: Global<u8> = Global::new(0);

/// Into a container as it is, while nobody listens to flows.
#[inline(always)]
pub fn straight(frame: Frame, device: u32) -> i32 {
    count_path(Verdict::Peer, frame.length());
    to_peer(frame, device)
}

/// A packet whose translation and way are on the sheet, and about whose flow nothing has to be written.
#[inline(always)]
pub fn settled(frame: Frame) -> i32 {
    let Some(work) = maps::work() else {
        return TC_ACT_SHOT;
    };
    let length = frame.length();
    if let Err(reason) = translate::translate_plain(frame) {
        return refuse(frame, work.key.owner, reason);
    }
    count_path(Verdict::Translate, length);
    if work.end.endpoint != 0 {
        return to_peer(frame, work.decision.ifindex);
    }
    frame.clear_mark();
    // SAFETY: only takes numbers
    unsafe { bpf_redirect(work.decision.ifindex, 0) as i32 }
}

/// On to the host's stack, untouched.
#[inline(always)]
pub fn pass(frame: Frame) -> i32 {
    count_path(Verdict::Pass, frame.length());
    TCX_NEXT
}

/// Does what the sheet says. The decision stays there: verifiers before 6.8 take numbers that a function reads on the
/// stack through a pointer for those of another path, and cut off what they then hold for unreachable.
#[inline(always)]
pub fn carry_out(frame: Frame) -> i32 {
    let Some(work) = maps::work() else {
        return TC_ACT_SHOT;
    };
    if work.decision.verdict & Decision::LIMITED != 0 {
        if let Some((endpoint, reason)) = limit::charge(frame) {
            return refuse(frame, endpoint, reason);
        }
    }
    if work.decision.verdict == Verdict::Open as u32 || work.decision.verdict == Verdict::Admit as u32 {
        if let Err(reason) = open::open(frame) {
            let payer = payer(&work.decision);
            return refuse(frame, payer, reason);
        }
        if event::wants_flows() {
            event::opened(&work.decision, frame.length());
        }
    }
    commit_other(frame, &work.decision)
}

/// Whom a drop is charged to: what comes from the world to whom it was for.
#[inline(always)]
fn payer(decision: &Decision) -> u32 {
    match decision.source {
        0 => decision.destination,
        source => source,
    }
}

#[inline(never)]
fn commit_other(frame: Frame, decision: &Decision) -> i32 {
    let length = frame.length();
    if event::wants_drops() {
        event::tell(frame, decision);
    }
    let rewritten = match Verdict::from_number(decision.verdict) {
        Some(Verdict::Pass) => {
            count_path(Verdict::Pass, length);
            return TCX_NEXT;
        }
        Some(Verdict::Peer) => {
            count_path(Verdict::Peer, length);
            return to_peer(frame, decision.ifindex);
        }
        Some(Verdict::Park) => match park::park(frame) {
            Ok(()) => {
                count_path(Verdict::Park, length);
                return TC_ACT_SHOT; // what is kept is a copy
            }
            Err(reason) => Err(reason),
        },
        Some(Verdict::Unpark) => match park::unpark(frame) {
            Ok(()) => {
                count_path(Verdict::Unpark, length);
                return TC_ACT_SHOT; // the copies are on their way
            }
            Err(reason) => Err(reason),
        },
        Some(verdict @ (Verdict::Translate | Verdict::Open)) => match to_other_end(frame, decision) {
            Ok(action) => {
                count_path(verdict, length);
                return action;
            }
            Err(reason) => Err(reason),
        },
        Some(verdict @ (Verdict::Admit | Verdict::Follow)) => {
            count_path(verdict, length);
            return to_member(frame, decision);
        }
        Some(Verdict::Question) => match names::to_agent(frame) {
            Ok(()) => {
                count_path(Verdict::Question, length);
                return to_host(frame, decision.ifindex);
            }
            Err(reason) => Err(reason),
        },
        Some(Verdict::Answer) => match names::from_agent(frame) {
            Ok(()) => {
                count_path(Verdict::Answer, length);
                return to_peer(frame, decision.ifindex);
            }
            Err(reason) => Err(reason),
        },
        Some(Verdict::Host) => {
            count_path(Verdict::Host, length);
            return to_host(frame, decision.ifindex);
        }
        Some(Verdict::Replicate) => {
            count_path(Verdict::Replicate, length);
            replicate::to_members(frame, decision);
            return TC_ACT_SHOT; // the copies are on their way, the original is used up
        }
        Some(Verdict::AnswerArp) => rewrite::answer_arp(frame, decision).map(|()| Verdict::AnswerArp),
        Some(Verdict::AnswerNeighbour) => rewrite::answer_neighbour(frame, decision).map(|()| Verdict::AnswerNeighbour),
        Some(Verdict::AnswerName) => resolve::answer(frame).map(|()| Verdict::AnswerName),
        Some(Verdict::DenyName) => deny::answer(frame).map(|()| Verdict::DenyName),
        Some(verdict @ (Verdict::AnswerTooBig | Verdict::AnswerTimeExceeded)) => {
            match limit::take_error(decision.source) {
                true => rewrite::answer_error(frame, decision).map(|()| verdict),
                false => Err(DropReason::Internal), // the decision's own reason is counted
            }
        }
        _ => Err(DropReason::Malformed),
    };
    finish(frame, decision, rewritten, length)
}

/// For a frame that became its own answer, or that is dropped.
#[inline(always)]
fn finish(frame: Frame, decision: &Decision, rewritten: Result<Verdict, DropReason>, length: u32) -> i32 {
    let endpoint = payer(decision);
    if decision.reason != 0 {
        count_drop(endpoint, decision.reason, 1, length);
    }
    match rewritten {
        Ok(verdict) => {
            count_path(verdict, length);
            answer(frame, decision)
        }
        Err(reason) => {
            if decision.reason == 0 {
                count_drop(endpoint, reason as u32, 1, length);
                if event::wants_drops() {
                    event::dropped(frame, decision, reason);
                }
            }
            count_path(Verdict::Drop, length);
            log(frame, decision.reason);
            TC_ACT_SHOT
        }
    }
}

/// Drops a frame before anything has been done about it, charged to an endpoint that need not be its sender.
#[inline(never)]
pub fn refuse(frame: Frame, endpoint: u32, reason: DropReason) -> i32 {
    if let Some(work) = maps::work().filter(|_| event::wants_drops()) {
        if endpoint == 0 {
            work.decision = Decision::drop(reason);
        }
        event::dropped(frame, &work.decision, reason);
    }
    count_drop(endpoint, reason as u32, 1, frame.length());
    count_path(Verdict::Drop, frame.length());
    log(frame, reason as u32);
    TC_ACT_SHOT
}

/// What `agent --datapath-log debug` shows.
#[inline(always)]
fn log(frame: Frame, reason: u32) {
    let context = TcContext::new(frame.0);
    aya_log_ebpf::debug!(&context, "drop {} at {}", reason, frame.ifindex());
}

/// Into the peer of a host-side veth, in another namespace than this one.
#[inline(always)]
fn to_peer(frame: Frame, ifindex: u32) -> i32 {
    frame.clear_mark();
    if KERNEL_SETS_PACKET_TYPE.load() == 0 {
        // SAFETY: the context of the running program
        unsafe { bpf_skb_change_type(frame.0, PACKET_HOST) };
    }
    // SAFETY: only takes numbers
    unsafe { bpf_redirect_peer(ifindex, 0) as i32 }
}

/// Into the host end of the network. The kernel compares the destination MAC again on the way.
#[inline(always)]
fn to_host(frame: Frame, ifindex: u32) -> i32 {
    frame.clear_mark();
    // SAFETY: only takes numbers
    unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) as i32 }
}

/// An answer goes back: to a container through its own device, to the host through its host end, to the
/// world through the uplink.
#[inline(always)]
fn answer(frame: Frame, decision: &Decision) -> i32 {
    if decision.network == 0 {
        // SAFETY: only takes numbers
        unsafe { bpf_redirect(decision.ifindex, 0) as i32 }
    } else if decision.ifindex == frame.ifindex() {
        to_peer(frame, decision.ifindex)
    } else {
        to_host(frame, decision.ifindex)
    }
}

/// A packet of a flow that is not translated: to a member of the sender's network, a container or the host.
#[inline(always)]
fn to_member(frame: Frame, decision: &Decision) -> i32 {
    if let Some(work) = maps::work() {
        renew::renew(work);
    }
    match maps::network(decision.network) {
        Some(network) if network.host_end == decision.ifindex => to_host(frame, decision.ifindex),
        _ => to_peer(frame, decision.ifindex),
    }
}

/// A packet of a flow: translated and out.
#[inline(never)]
fn to_other_end(frame: Frame, decision: &Decision) -> Result<i32, DropReason> {
    let work = maps::work().ok_or(DropReason::Malformed)?;
    if work.is_fragment() {
        pieces::pass()?;
    }
    renew::renew(work);
    let is_new = decision.verdict == Verdict::Open as u32;
    let knows_hop = work.end.knows_hop(is_new || work.rerouted != 0);
    work.macs = match (work.end.endpoint, knows_hop) {
        _ if decision.ifindex == 0 => frame.read(0).ok_or(DropReason::Malformed)?,
        (0, true) => Macs {
            destination: work.end.mac.words(),
            source: maps::uplink(work.end.ifindex).ok_or(DropReason::NoUplink)?.mac.words(),
        },
        (0, false) => Macs::NONE,
        _ => Macs {
            destination: work.end.mac.words(),
            source: decision.mac.words(),
        },
    };
    translate::translate(frame, work)?;
    if decision.ifindex == 0 {
        return Ok(TCX_NEXT);
    }
    if work.end.endpoint != 0 {
        return Ok(to_peer(frame, decision.ifindex));
    }
    frame.clear_mark();
    if knows_hop {
        // SAFETY: only takes numbers
        return Ok(unsafe { bpf_redirect(work.end.ifindex, 0) as i32 });
    }
    Ok(hop::to_world(work))
}
