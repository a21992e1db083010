//! Event: commit's way to tell `netswitch monitor` what it does, while somebody listens.

use core::sync::atomic::AtomicU64;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_RB_NO_WAKEUP},
    helpers::bpf_ktime_get_ns,
};
use netswitch_common::{
    address::Mac,
    event::{Event, INTERVAL, ShownKey, level},
    flow::Tuple,
    verdict::{Decision, DropReason, Verdict},
};

use crate::{
    headers::{Macs, ethertype},
    maps,
    packet::{Family, Frame, Packet},
    stages::tuple,
    work::Work,
};

/// A [`level`]. The agent writes it into the memory of this object's maps, where a hook reads it like a
/// variable: an agent that died with listeners is followed by one whose object starts at [`level::NONE`].
#[unsafe(no_mangle)]
static LISTENING: AtomicU64 = AtomicU64::new(level::NONE);

#[inline(always)]
fn listening() -> u64 {
    // SAFETY: a word that only the agent writes; LLVM 22 has no instruction for an atomic load
    unsafe { LISTENING.as_ptr().read_volatile() }
}

/// Whether somebody wants to know of a packet that goes its way.
#[inline(always)]
pub fn wants_flows() -> bool {
    listening() == level::FLOWS
}

#[inline(always)]
pub fn wants_drops() -> bool {
    listening() != level::NONE
}

/// Tells whoever listens of a packet that is still as it came.
#[inline(always)]
pub fn tell(frame: Frame, decision: &Decision) {
    if let Some(reason) = DropReason::from_number(decision.reason) {
        dropped(frame, decision, reason);
        return;
    }
    let is_passing = matches!(
        Verdict::from_number(decision.verdict),
        Some(
            Verdict::Peer
                | Verdict::Host
                | Verdict::Replicate
                | Verdict::Question
                | Verdict::AnswerName
                | Verdict::DenyName
        )
    );
    if is_passing && wants_flows() {
        packet(frame, decision);
    }
}

/// A packet that has not been changed yet.
#[inline(always)]
fn packet(frame: Frame, decision: &Decision) {
    let what = what(decision.verdict, decision.reason);
    tell_packet(frame.0, what, decision.source, decision.destination, decision.network);
}

/// A drop.
#[inline(always)]
pub fn dropped(frame: Frame, decision: &Decision, reason: DropReason) {
    let what = what(Verdict::Drop as u32, reason as u32);
    tell_packet(frame.0, what, decision.source, decision.destination, decision.network);
}

/// A new flow, which the sheet describes; its packet may be on its way.
#[inline(always)]
pub fn opened(decision: &Decision, length: u32) {
    let what = what(decision.verdict, 0);
    tell_tuple(what, decision.source, decision.destination, decision.network, length);
}

/// A drop before there is a packet, whose tuple is on the sheet, charged to an endpoint.
#[inline(always)]
pub fn dropped_early(destination: u32, reason: DropReason, length: u32) {
    let Some(work) = maps::work() else { return };
    work.macs = Macs::NONE;
    tell_tuple(what(Verdict::Drop as u32, reason as u32), 0, destination, 0, length);
}

/// Verdict, reason and ethertype in one number: a function has at most five arguments.
#[inline(always)]
fn what(verdict: u32, reason: u32) -> u64 {
    u64::from(verdict & 0xff) | u64::from(reason & 0xffff) << 16
}

/// Whether every packet of this verdict is a story of its own.
#[inline(always)]
fn is_told_always(verdict: u32) -> bool {
    verdict == Verdict::Drop as u32 || verdict == Verdict::Open as u32 || verdict == Verdict::Admit as u32
}

/// Reads the packet onto this CPU's sheet, which its commit has no more use for.
#[unsafe(no_mangle)]
extern "C" fn tell_packet(skb: *mut __sk_buff, what: u64, source: u32, destination: u32, network: u32) -> u32 {
    let frame = Frame::new(skb);
    let Some(work) = maps::work() else { return 0 };
    work.tuple = Tuple::default();
    work.macs = Macs::NONE;
    let mut kind = 0_u16;
    let _ = frame.load(0, &mut work.macs);
    let _ = frame.load(12, &mut kind);
    if let Ok(packet) = Packet::parse(frame) {
        match packet.headers.family {
            Family::V4 | Family::V6 => {
                // of what it cannot read it leaves zeros
                let _ = tuple::read(frame, packet.headers, 0);
            }
            Family::Arp => {
                if let Ok(arp) = frame.arp() {
                    work.tuple.from = arp.sender();
                    work.tuple.to = arp.target();
                }
            }
            Family::Other => {}
        }
    }
    tell_tuple(
        what | u64::from(kind) << 32,
        source,
        destination,
        network,
        frame.length(),
    )
}

/// What the sheet describes.
#[unsafe(no_mangle)]
extern "C" fn tell_tuple(what: u64, source: u32, destination: u32, network: u32, length: u32) -> u32 {
    let Some(work) = maps::work() else { return 0 };
    // SAFETY: no argument
    let now = unsafe { bpf_ktime_get_ns() };
    let verdict = what as u32 & 0xff;
    if !is_told_always(verdict) && was_shown(work, source, destination, now) {
        return 0;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        if let Some(missed) = maps::MISSED.get_ptr_mut(0) {
            // SAFETY: a per-CPU entry
            unsafe { *missed += 1 };
        }
        return 0;
    };
    let mut kind = (what >> 32) as u16;
    if kind == 0 {
        kind = match work.tuple.from.as_v4() {
            Some(_) => ethertype::IPV4,
            None => ethertype::IPV6,
        };
    }
    let event = entry.as_mut_ptr();
    // SAFETY: room for one event, of which every byte is written before anybody reads it
    unsafe {
        (*event).time = now;
        (*event).verdict = verdict;
        (*event).reason = (what >> 16) as u32 & 0xffff;
        (*event).source = source;
        (*event).destination = destination;
        (*event).network = network;
        (*event).length = length;
        core::ptr::copy_nonoverlapping(&raw const work.tuple, &raw mut (*event).tuple, 1);
        (*event).ethertype = kind;
        (*event).destination_mac = Mac::from_words(work.macs.destination);
        (*event).source_mac = Mac::from_words(work.macs.source);
        (*event)._pad = [0; 6];
    }
    // the agent looks by itself: to be woken costs the packet's CPU
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    0
}

/// Whether the flow was told of within the last [`INTERVAL`]; if not, it is now.
#[inline(always)]
fn was_shown(work: &Work, source: u32, destination: u32, now: u64) -> bool {
    let key = ShownKey {
        tuple: work.tuple,
        source,
        destination,
    };
    // SAFETY: a number, which another CPU may write meanwhile
    let last = unsafe { maps::SHOWN.get(&key) }.copied();
    if last.is_some_and(|last| now.saturating_sub(last) < INTERVAL) {
        return true;
    }
    let _ = maps::SHOWN.insert(&key, &now, u64::from(BPF_ANY));
    false
}
