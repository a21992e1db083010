//! Event: commit's way to tell `netswitch monitor` what it does, while somebody listens.

use core::{cell::Cell, sync::atomic::AtomicU64};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_RB_NO_WAKEUP},
    helpers::bpf_ktime_get_ns,
};
use netswitch_common::{
    address::{Address, Mac},
    event::{Event, INTERVAL, ShownKey, level},
    flow::Tuple,
    verdict::{Decision, DropReason, Verdict},
};

use crate::{
    headers::{Macs, ethertype},
    maps,
    packet::{Addresses, Family, Frame, Headers, Packet},
    place::{copy, part},
    stages::tuple,
    work::{Told, Work},
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
pub fn tell(frame: Frame, decision: &Cell<Decision>) {
    if let Some(reason) = DropReason::from_number(decision.get().reason) {
        dropped(frame, decision, reason);
        return;
    }
    let is_passing = matches!(
        Verdict::from_number(decision.get().verdict),
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
fn packet(frame: Frame, decision: &Cell<Decision>) {
    tell_decided(frame, decision, what(decision.get().verdict, decision.get().reason));
}

/// A drop.
#[inline(always)]
pub fn dropped(frame: Frame, decision: &Cell<Decision>, reason: DropReason) {
    tell_decided(frame, decision, what(Verdict::Drop as u32, reason as u32));
}

#[inline(always)]
fn tell_decided(frame: Frame, decision: &Cell<Decision>, what: u64) {
    let Decision {
        source,
        destination,
        network,
        ..
    } = decision.get();
    tell_packet(frame.0, what, source, destination, network);
}

/// A new flow, whose packet is still as it came and on the sheet.
#[inline(always)]
pub fn opened(frame: Frame, work: &Work, decision: &Cell<Decision>) {
    let Some(read) = work.read() else { return };
    let told = work.start_told();
    copy(&read.tuple, part!(told, tuple));
    let _ = frame.load_into(0, part!(told, macs));
    told.done();
    let Decision {
        verdict,
        source,
        destination,
        network,
        ..
    } = decision.get();
    tell_tuple(what(verdict, 0), source, destination, network, frame.length());
}

/// A drop before there is a packet, charged to an endpoint.
#[inline(always)]
pub fn dropped_early(work: &Work, tuple: &Cell<Tuple>, destination: u32, reason: DropReason, length: u32) {
    let told = work.start_told();
    copy(tuple, part!(told, tuple));
    part!(told, macs).set(Macs::NONE);
    told.done();
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

/// Reads the packet once more: the sheet may say nothing of it.
#[unsafe(no_mangle)]
extern "C" fn tell_packet(skb: *mut __sk_buff, what: u64, source: u32, destination: u32, network: u32) -> u32 {
    let frame = Frame::new(skb);
    let Some(work) = maps::work() else { return 0 };
    let told = work.start_told();
    let tuple = part!(told, tuple);
    tuple.set(Tuple::default());
    let mut kind = 0_u16;
    let _ = frame.load_into(0, part!(told, macs));
    let _ = frame.load(12, &mut kind);
    if let Ok(packet) = Packet::parse(frame) {
        match packet.headers.family {
            Family::V4 | Family::V6 => match tuple::read(frame, packet.headers, 0).ok().and_then(|()| work.read()) {
                Some(read) => copy(&read.tuple, tuple),
                None => read_addresses(frame, packet.headers, tuple),
            },
            Family::Arp => {
                if let Ok(arp) = frame.arp() {
                    set_addresses(tuple, arp.sender(), arp.target());
                }
            }
            Family::Other => {}
        }
    }
    told.done();
    tell_tuple(
        what | u64::from(kind) << 32,
        source,
        destination,
        network,
        frame.length(),
    )
}

/// What can be told of a packet that cannot be read.
#[inline(never)]
fn read_addresses(frame: Frame, headers: Headers, tuple: &Cell<Tuple>) {
    if let Ok(Addresses { from, to }) = frame.addresses(headers.family) {
        set_addresses(tuple, from, to);
    }
    part!(tuple, protocol).set(headers.protocol.into());
}

#[inline(always)]
fn set_addresses(tuple: &Cell<Tuple>, from: Address, to: Address) {
    part!(tuple, from).set(from);
    part!(tuple, to).set(to);
}

/// What the sheet describes.
#[unsafe(no_mangle)]
extern "C" fn tell_tuple(what: u64, source: u32, destination: u32, network: u32, length: u32) -> u32 {
    let Some(told) = maps::work().and_then(Work::told) else {
        return 0;
    };
    // SAFETY: no argument
    let now = unsafe { bpf_ktime_get_ns() };
    let verdict = what as u32 & 0xff;
    if !is_told_always(verdict) && was_shown(told, source, destination, now) {
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
        kind = match told.get().tuple.from.as_v4() {
            Some(_) => ethertype::IPV4,
            None => ethertype::IPV6,
        };
    }
    let event = entry.as_mut_ptr();
    let tuple = part!(told, tuple);
    // SAFETY: room for one event, of which every byte is written before anybody reads it
    unsafe {
        (*event).time = now;
        (*event).verdict = verdict;
        (*event).reason = (what >> 16) as u32 & 0xffff;
        (*event).source = source;
        (*event).destination = destination;
        (*event).network = network;
        (*event).length = length;
        core::ptr::copy_nonoverlapping(tuple.as_ptr(), &raw mut (*event).tuple, 1);
        (*event).ethertype = kind;
        let Macs { destination, source } = told.get().macs;
        (*event).destination_mac = Mac::from_words(destination);
        (*event).source_mac = Mac::from_words(source);
        (*event)._pad = [0; 6];
    }
    // the agent looks by itself: to be woken costs the packet's CPU
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    0
}

/// Whether the flow was told of within the last [`INTERVAL`]; if not, it is now.
#[inline(always)]
fn was_shown(told: &Cell<Told>, source: u32, destination: u32, now: u64) -> bool {
    let key = ShownKey {
        tuple: told.get().tuple,
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
