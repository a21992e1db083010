//! Fragment: only the first one of a packet has ports. What it had is kept for the others, and those that
//! come before it wait.

use netswitch_common::verdict::{DropReason, Verdict};

use crate::{
    headers::protocol,
    maps,
    packet::Frame,
    work::{WayBack, Work},
};

/// Whether the packet is a fragment that commit has to keep, or whose ports it has to learn, which both come back to
/// this hook, or that contradicts another one; then the decision is in `work`.
#[inline(always)]
pub fn decide(frame: Frame, way_back: WayBack) -> bool {
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(verdict) = verdict(work) else { return false };
    work.decision.verdict = verdict as u32;
    work.decision.reason = match verdict {
        Verdict::Drop => DropReason::Fragment as u32,
        _ => 0,
    };
    work.decision.ifindex = frame.ifindex();
    work.decision.destination = 0;
    work.decision.network = way_back.network;
    true
}

#[inline(always)]
fn verdict(work: &Work) -> Option<Verdict> {
    if lacks_ports(work) {
        return Some(Verdict::Park);
    }
    if work.is_orphan != 0 {
        return None;
    }
    if work.headers.transport == 0 || work.headers.more_fragments == 0 || !is_told_by_ports(work) {
        return None;
    }
    let Some(packet) = maps::fragments(&work.fragment) else {
        return Some(Verdict::Unpark);
    };
    match packet.from_port == work.tuple.from_port && packet.to_port == work.tuple.to_port {
        true if packet.is_alive(work.now) => None,
        // two that replaced each other's ports would both go round for ever
        false if packet.excludes(work.now) => Some(Verdict::Drop),
        _ => Some(Verdict::Unpark),
    }
}

/// Whether it is a later fragment and its first one has not come yet.
#[inline(always)]
pub fn lacks_ports(work: &Work) -> bool {
    work.is_orphan != 0 && is_told_by_ports(work)
}

/// Whether packets of its protocol are told apart by something that only a first fragment has.
#[inline(always)]
fn is_told_by_ports(work: &Work) -> bool {
    matches!(
        work.tuple.protocol as u8,
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::ICMP | protocol::ICMPV6
    )
}
