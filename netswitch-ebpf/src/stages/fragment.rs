//! Fragment: only the first one of a packet has ports. What it had is kept for the others, and those that
//! come before it wait.

use netswitch_common::verdict::Verdict;

use crate::{
    headers::protocol,
    maps,
    packet::Frame,
    work::{WayBack, Work},
};

/// Whether the packet is a fragment that commit has to keep, or whose ports it has to learn; then the
/// decision is in `work`. Both come back to this hook.
#[inline(always)]
pub fn decide(frame: Frame, way_back: WayBack) -> bool {
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(verdict) = verdict(work) else { return false };
    work.decision.verdict = verdict as u32;
    work.decision.reason = 0;
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
    let is_known = maps::fragment_ports(&work.fragment)
        .is_some_and(|ports| ports.from_port == work.tuple.from_port && ports.to_port == work.tuple.to_port);
    (!is_known).then_some(Verdict::Unpark)
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
