//! Commit: the only place where a decision has effects. Counts, spends, copies, rewrites, redirects.

pub mod count;
mod cut;
mod deny;
pub mod event;
mod hairpin;
mod hop;
mod index;
pub mod limit;
mod names;
mod open;
mod park;
mod pieces;
mod port;
mod renew;
mod replicate;
mod resolve;
mod rewrite;
pub mod settled;
mod share;
mod slot;
pub mod translate;

use core::cell::Cell;

use aya_ebpf::{
    Global,
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT},
    helpers::{bpf_redirect, bpf_redirect_peer, bpf_skb_change_type},
    programs::TcContext,
};
use netswitch_common::{
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use self::count::{count_drop, count_path};
use crate::{
    headers::Macs,
    maps,
    packet::Frame,
    place::part,
    work::{Leaving, Work},
};

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
    let Some(decision) = work.decision() else {
        return refuse(frame, 0, DropReason::Internal);
    };
    if decision.get().verdict == Verdict::Cut as u32 | Decision::LIMITED {
        // its fragments are charged as they arrive
        part!(decision, verdict).set(Verdict::Cut as u32);
    }
    if decision.get().verdict & Decision::LIMITED != 0 {
        if let Some((endpoint, reason)) = limit::charge(frame) {
            return refuse(frame, endpoint, reason);
        }
    }
    // overlapping fragments are dropped before their flow is opened or renewed
    let is_of_a_flow = matches!(
        Verdict::from_number(decision.get().verdict),
        Some(Verdict::Open | Verdict::Translate)
    );
    if is_of_a_flow && work.fragment().is_some() {
        if let Err(reason) = pieces::pass() {
            return refuse(frame, payer(decision), reason);
        }
    }
    if decision.get().verdict == Verdict::Open as u32 || decision.get().verdict == Verdict::Admit as u32 {
        if let Err(reason) = open::open(frame) {
            return refuse(frame, payer(decision), reason);
        }
        if event::wants_flows() {
            event::opened(frame, work, decision);
        }
    }
    commit_other(frame, decision)
}

/// Whom a drop is charged to: what comes from the world to whom it was for.
#[inline(always)]
fn payer(decision: &Cell<Decision>) -> u32 {
    match decision.get().source {
        0 => decision.get().destination,
        source => source,
    }
}

#[inline(never)]
fn commit_other(frame: Frame, decision: &Cell<Decision>) -> i32 {
    let length = frame.length();
    if event::wants_drops() {
        event::tell(frame, decision);
    }
    let done = match Verdict::from_number(decision.get().verdict) {
        Some(verdict) => act(frame, decision, verdict).map(|action| (verdict, action)),
        None => Err(DropReason::Internal),
    };
    match done {
        Ok((verdict, action)) => {
            if decision.get().reason != 0 {
                count_drop(payer(decision), decision.get().reason, 1, length);
            }
            count_path(verdict, length);
            action
        }
        Err(reason) => {
            let known = match decision.get().reason {
                0 => reason as u32,
                known => known,
            };
            count_drop(payer(decision), known, 1, length);
            if decision.get().reason == 0 && event::wants_drops() {
                event::dropped(frame, decision, reason);
            }
            count_path(Verdict::Drop, length);
            log(frame, known);
            TC_ACT_SHOT
        }
    }
}

/// What the hook answers with. What is copied or kept is dropped itself.
#[inline(always)]
fn act(frame: Frame, decision: &Cell<Decision>, verdict: Verdict) -> Result<i32, DropReason> {
    match verdict {
        Verdict::Pass => return Ok(TCX_NEXT),
        Verdict::Share => return share::share(frame).map(|()| TCX_NEXT),
        Verdict::Translate | Verdict::Open => {
            let action = to_other_end(frame, decision)?;
            port::keep_renewed();
            return Ok(action);
        }
        Verdict::Drop => return Err(DropReason::Malformed), // the decision's own reason is counted
        Verdict::Cut => return cut::cut(frame, decision.get().mtu).map(|()| TC_ACT_SHOT),
        Verdict::Park => return park::park(frame).map(|()| TC_ACT_SHOT),
        Verdict::Unpark => return park::unpark(frame).map(|()| TC_ACT_SHOT),
        Verdict::Replicate => {
            replicate::to_members(frame, decision);
            return Ok(TC_ACT_SHOT);
        }
        Verdict::Peer | Verdict::Host => {}
        Verdict::Admit | Verdict::Follow => {
            if let Some(work) = maps::work() {
                renew::renew(work);
            }
        }
        Verdict::Question => names::to_agent(frame)?,
        Verdict::Answer => names::from_agent(frame)?,
        Verdict::AnswerArp => rewrite::answer_arp(frame, decision)?,
        Verdict::AnswerNeighbour => rewrite::answer_neighbour(frame, decision)?,
        Verdict::AnswerName => resolve::answer(frame)?,
        Verdict::DenyName => deny::answer(frame)?,
        Verdict::AnswerTooBig | Verdict::AnswerTimeExceeded | Verdict::AnswerUnreachable => {
            if let Some(work) = maps::work().filter(|_| verdict as u32 == Verdict::AnswerUnreachable as u32) {
                renew::renew(work); // the next hop's silence is counted anew
            }
            if !limit::take_error(decision.get().source) {
                return Err(DropReason::Internal); // the decision's own reason is counted
            }
            rewrite::answer_error(frame, decision)?;
        }
    }
    send(frame, decision)
}

/// Drops a frame before anything has been done about it, charged to an endpoint that need not be its sender.
#[inline(never)]
pub fn refuse(frame: Frame, endpoint: u32, reason: DropReason) -> i32 {
    if let Some(work) = maps::work().filter(|_| event::wants_drops()) {
        let decision = match work.decision() {
            Some(decision) if endpoint != 0 => decision,
            _ => work.start_decision().write(Decision::drop(reason)),
        };
        event::dropped(frame, decision, reason);
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

/// A frame leaves by the decision's way.
#[inline(always)]
fn send(frame: Frame, decision: &Cell<Decision>) -> Result<i32, DropReason> {
    let Decision { way, ifindex, .. } = decision.get();
    match Way::from_number(way) {
        Some(Way::Peer) => Ok(to_peer(frame, ifindex)),
        Some(Way::HostEnd) => Ok(to_host(frame, ifindex)),
        Some(Way::Device) => Ok(out(frame, ifindex)),
        Some(Way::NextHop) => {
            frame.clear_mark();
            let translation = maps::work().and_then(Work::translation);
            let translation = translation.ok_or(DropReason::Internal)?;
            Ok(hop::to_world(&translation.end))
        }
        Some(Way::Stack) => Ok(TCX_NEXT),
        Some(Way::Tunnel) | None => Err(DropReason::NoUplink),
    }
}

/// Out of a device.
#[inline(always)]
fn out(frame: Frame, ifindex: u32) -> i32 {
    frame.clear_mark();
    // SAFETY: only takes numbers
    unsafe { bpf_redirect(ifindex, 0) as i32 }
}

/// A packet of a flow: translated and out.
#[inline(never)]
fn to_other_end(frame: Frame, decision: &Cell<Decision>) -> Result<i32, DropReason> {
    let work = maps::work().ok_or(DropReason::Internal)?;
    renew::renew(work);
    let (read, translation) = work.read().zip(work.translation()).ok_or(DropReason::Internal)?;
    let way = Way::from_number(decision.get().way);
    work.start_leaving().write(Leaving {
        macs: match way {
            Some(Way::Stack) => frame.read(0).ok_or(DropReason::Malformed)?,
            Some(Way::NextHop) => Macs::NONE,
            _ => Macs {
                destination: translation.end.get().mac.words(),
                source: decision.get().mac.words(),
            },
        },
        hops: u8::from(!matches!(way, Some(Way::Stack))),
    });
    translate::translate(frame, read)?;
    send(frame, decision)
}
