//! Fragment: only the first one of a packet has ports. What it had is kept for the others, and those that
//! come before it wait.

use netswitch_common::verdict::{Decision, DropReason, Verdict};

use crate::{
    headers::protocol,
    maps,
    packet::Frame,
    place::part,
    work::{Read, WayBack, Work},
};

/// Whether the packet is a fragment that commit has to keep, or whose ports it has to learn, which both come back to
/// this hook, or that contradicts another one; then the decision is in `work`.
#[inline(always)]
pub fn decide(frame: Frame, way_back: WayBack) -> bool {
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(verdict) = work.read().and_then(|read| verdict(work, read)) else {
        return false;
    };
    work.start_decision().write(Decision {
        verdict: verdict as u32,
        reason: match verdict {
            Verdict::Drop => DropReason::Fragment as u32,
            _ => 0,
        },
        ifindex: frame.ifindex(),
        network: way_back.network,
        ..Decision::default()
    });
    true
}

#[inline(always)]
fn verdict(work: &Work, read: &Read) -> Option<Verdict> {
    if lacks_ports(read) {
        return Some(Verdict::Park);
    }
    let headers = read.headers.get();
    if headers.transport == 0 || headers.more_fragments == 0 || !is_told_by_ports(read) {
        return None;
    }
    let fragment = work.fragment()?;
    let Some(packet) = maps::fragments(part!(fragment, key)) else {
        return Some(Verdict::Unpark);
    };
    let (tuple, now) = (read.tuple.get(), read.now.get());
    match packet.from_port == tuple.from_port && packet.to_port == tuple.to_port {
        true if packet.is_alive(now) => None,
        // two that replaced each other's ports would both go round for ever
        false if packet.excludes(now) => Some(Verdict::Drop),
        _ => Some(Verdict::Unpark),
    }
}

/// Whether it is a later fragment and its first one has not come yet.
#[inline(always)]
pub fn lacks_ports(read: &Read) -> bool {
    read.is_orphan.get() && is_told_by_ports(read)
}

/// Whether packets of its protocol are told apart by something that only a first fragment has.
#[inline(always)]
fn is_told_by_ports(read: &Read) -> bool {
    matches!(
        read.protocol(),
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::ICMP | protocol::ICMPV6
    )
}
