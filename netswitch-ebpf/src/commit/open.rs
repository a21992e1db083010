//! Open: commit's way to make a flow. It gets a slot of its owner's and, if it wants one, a port; then two
//! index entries lead to it.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_csum_diff, bpf_get_prandom_u32, bpf_loop},
};
use netswitch_common::{
    address::Address,
    flow::{Flow, FlowIndex, FlowKey, Tuple, direction, halves, life},
    progress::{self, FlowState},
    verdict::DropReason,
};

use super::{hairpin, slot};
use crate::{
    atomic,
    code::outcome,
    maps,
    packet::Frame,
    place::{copy, part},
    stages::{
        claim,
        flow::{self, set_reversed},
        masquerade,
    },
    work::{NewFlow, Read, Work},
};

type Result = core::result::Result<(), DropReason>;

/// Ports that a new flow tries: with nine tenths of them taken, one in 10^10 finds none.
const PORTS_TRIED: u32 = 256;

/// Makes the new flow and the translation of its first packet.
#[inline(always)]
pub fn open(frame: Frame) -> Result {
    let mut code = open_flow(frame.0);
    // The record that was to yield has changed on another CPU. Others may yield.
    if code == DropReason::FlowQuota as u32 && maps::work().is_some_and(|work| work.yielding().is_some()) {
        code = open_flow(frame.0);
    }
    match code {
        // another CPU was faster with a packet of the same flow: this one is its next
        LOST_RACE if flow::is_known() => Ok(()),
        LOST_RACE => Err(DropReason::Internal),
        code => outcome(code),
    }
}

/// Another CPU has made the same flow. The other answers of [`open_flow`] are 0 and the reasons.
const LOST_RACE: u32 = u32::MAX;

#[unsafe(no_mangle)]
extern "C" fn open_flow(skb: *mut __sk_buff) -> u32 {
    let Some(work) = maps::work() else {
        return DropReason::Internal as u32;
    };
    let (Some(read), Some(new)) = (work.read(), work.new_flow()) else {
        return DropReason::Internal as u32;
    };
    match make(Frame::new(skb), work, read, new) {
        Ok(true) => 0,
        Ok(false) => LOST_RACE,
        Err(reason) => reason as u32,
    }
}

/// `false`: the flow is there already.
#[inline(always)]
fn make(frame: Frame, work: &Work, read: &Read, new: &NewFlow) -> core::result::Result<bool, DropReason> {
    if let Some(replaced) = work.replaced() {
        end(replaced.get().key, replaced.get().serial);
    }
    if !slot::reserve(work, read, new)? {
        // a port is looked for before another flow loses its slot
        let code = find_reply(frame, work, read, new, true);
        if code != PUT {
            return Err(reason_of(code));
        }
        slot::take_yielding(work, new)?;
    }
    let code = find_reply(frame, work, read, new, false);
    if code != PUT {
        end(new.key.get(), new.flow.get().serial);
        return Err(reason_of(code));
    }
    fill(work, read, new);
    let index = index(new, direction::ORIGINAL);
    let code = put(part!(new.flow, tuples[0]), &index, read.now.get(), REPLACES_CLOSED);
    if code != PUT {
        maps::remove_flow(part!(new.flow, tuples[1]));
        end(new.key.get(), new.flow.get().serial);
        return match code {
            TAKEN => Ok(false),
            code => Err(reason_of(code)),
        };
    }
    hairpin::keep(&new.flow.get(), new.flow.get().deadline);
    Ok(true)
}

/// The index entry of the new flow's tuple of a direction.
#[inline(always)]
fn index(new: &NewFlow, direction: u32) -> FlowIndex {
    FlowIndex {
        key: new.key.get(),
        serial: new.flow.get().serial,
        direction,
    }
}

/// A record of that serial ends now.
#[inline(always)]
fn end(key: FlowKey, serial: u32) {
    if let Some(record) = maps::RECORDS.get_ptr_mut(key) {
        // SAFETY: the entry's memory stays until the program has ended (RCU)
        unsafe {
            if halves((*record).life()).0 == serial {
                (*record).deadline = 0;
            }
        }
    }
}

/// What [`put`] says beside a [`DropReason`].
const PUT: u32 = 0;
const TAKEN: u32 = u32::MAX;

/// Why there is no entry for replies.
#[inline(always)]
fn reason_of(code: u32) -> DropReason {
    match code {
        TAKEN => DropReason::PortsExhausted,
        reason => DropReason::from_number(reason).unwrap_or(DropReason::Internal),
    }
}

/// Whether an index entry may be had whose connection has ended, but whose server may remember it.
const REPLACES_CLOSED: u32 = 1;
const KEEPS_CLOSED: u32 = 0;

/// An index entry, in place of one whose flow has ended. [`TAKEN`]: there is a living one.
#[inline(never)]
fn put(tuple: &Cell<Tuple>, index: &FlowIndex, now: u64, closed: u32) -> u32 {
    match maps::insert_flow(tuple, index, BPF_NOEXIST) {
        Ok(()) => return PUT,
        Err(error) if error != -slot::EEXIST => return slot::full(error) as u32,
        Err(_) => {}
    }
    let Some(old) = maps::flow_index(tuple) else {
        return TAKEN;
    };
    if is_taken(old, now, closed) {
        return TAKEN;
    }
    // the old flow's record ends, too: otherwise its packets would still leave with this tuple, as the new flow's
    end(old.key, old.serial);
    match maps::insert_flow(tuple, index, BPF_ANY) {
        Ok(()) => PUT,
        Err(error) => slot::full(error) as u32,
    }
}

/// Whether an index entry is a living flow's.
#[inline(always)]
fn is_taken(index: &FlowIndex, now: u64, closed: u32) -> bool {
    maps::record(index.key).is_some_and(|flow| {
        let (serial, progress) = halves(flow.life());
        let has_ended = closed == REPLACES_CLOSED && FlowState::of(progress) as u8 == FlowState::Closed as u8;
        serial == index.serial && !has_ended && flow::lives(flow, now)
    })
}

/// The entry by which replies find the flow, with a port of its own if it wants one, or if another flow's replies would
/// look the same. What [`put`] says; `probes`: only whether there is one.
#[inline(always)]
fn find_reply(frame: Frame, work: &Work, read: &Read, new: &NewFlow, probes: bool) -> u32 {
    if !new.wants_port.get() {
        match try_tuple(read, new, probes, REPLACES_CLOSED) {
            TAKEN if masquerade::has_ports(read) => {}
            code => return code,
        }
    }
    let Some(config) = maps::config() else {
        return TAKEN;
    };
    let count = u32::from(config.port_count);
    // first those whose last connection no server can remember; a small range is walked twice
    let tries = PORTS_TRIED.min(2 * count);
    // SAFETY: no argument
    let random = unsafe { bpf_get_prandom_u32() };
    let mut search = Search {
        frame,
        at: random.checked_rem(count).unwrap_or(0),
        // an odd step visits every port of a range that is a power of two; a small range is walked
        step: if count <= PORTS_TRIED {
            1
        } else {
            (random >> 16 & 0x3ff) | 1
        },
        count,
        fresh: tries / 2,
        first: config.first_port.into(),
        probes: probes.into(),
        _pad: 0,
    };
    work.start_result().write(TAKEN);
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(tries, try_port as *mut c_void, (&raw mut search).cast(), 0);
    }
    maps::work().and_then(Work::result).map_or(TAKEN, Cell::get)
}

/// The new flow's reply tuple as it is: put, or only looked at.
#[inline(always)]
fn try_tuple(read: &Read, new: &NewFlow, probes: bool, closed: u32) -> u32 {
    let (tuple, now) = (part!(new.flow, tuples[1]), read.now.get());
    match probes {
        false => put(tuple, &index(new, direction::REPLY), now, closed),
        true => match maps::flow_index(tuple) {
            Some(old) if is_taken(old, now, closed) => TAKEN,
            _ => PUT,
        },
    }
}

/// What `bpf_loop` passes from port to port.
#[repr(C)]
struct Search {
    frame: Frame,
    at: u32,
    step: u32,
    count: u32,
    /// How many tries leave alone what a closed connection has.
    fresh: u32,
    first: u32,
    /// Whether a port is only looked for.
    probes: u32,
    _pad: u32,
}

/// Whether an endpoint leaves a port to the others: one of eight, so that nobody alone takes all ports to a
/// destination. A small range has none to spare.
#[inline(always)]
fn leaves(owner: u32, port: u16) -> bool {
    let mixed = (u32::from(port) ^ owner.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    mixed >> 29 == 0
}

extern "C" fn try_port(round: u64, search: &mut Search) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let (Some(read), Some(new), Some(result)) = (work.read(), work.new_flow(), work.result()) else {
        return 1;
    };
    let port = (search.first + search.at) as u16;
    search.at = (search.at + search.step).checked_rem(search.count).unwrap_or(0);
    if search.count > PORTS_TRIED && leaves(new.key.get().owner, port) {
        return 0;
    }
    part!(new.flow, tuples[1].to_port).set(port.to_be());
    if claim::takes(search.frame.0, part!(new.flow, tuples[1])) {
        return 0;
    }
    let closed = if round < u64::from(search.fresh) {
        KEEPS_CLOSED
    } else {
        REPLACES_CLOSED
    };
    result.set(try_tuple(read, new, search.probes != 0, closed));
    i64::from(result.get() != TAKEN)
}

/// What follows from the tuples: into the record, and for the packet at hand.
#[inline(always)]
fn fill(work: &Work, read: &Read, new: &NewFlow) {
    let translation = work.start_translation();
    // SAFETY: the translation is no part of the new flow
    set_reversed(&translation.tuple, unsafe { &(*new.flow.as_ptr()).tuples[1] }, 0);
    copy(part!(new.flow, ends[1]), &translation.end);
    let addresses = |tuple: &Cell<Tuple>| part!(tuple, from).as_ptr().cast::<u32>();
    let length = 2 * size_of::<Address>() as u32;
    // SAFETY: both addresses of a tuple lie side by side
    let address_sum =
        unsafe { bpf_csum_diff(addresses(&read.tuple), length, addresses(&translation.tuple), length, 0) } as u32;
    let (before, after) = (read.tuple.get(), translation.tuple.get());
    let port_sum = difference(before.from_port, after.from_port) + difference(before.to_port, after.to_port);
    let opposite = difference(after.from_port, before.from_port) + difference(after.to_port, before.to_port);
    translation.address_sum.set(address_sum);
    translation.port_sum.set(port_sum);
    translation.done();
    part!(new.flow, address_sums).set([address_sum, !address_sum]);
    part!(new.flow, port_sums).set([port_sum, opposite]);
    part!(new.flow, progress).set(new.flow.get().progress & !progress::WRITING);
    match maps::RECORDS.get_ptr_mut(new.key.get()) {
        // SAFETY: the slot is this flow's; the life comes last, so that nobody finds what is half written
        Some(record) => unsafe {
            let new = new.flow.as_ptr();
            (*record).deadline = (*new).deadline;
            (*record).routed = (*new).routed;
            core::ptr::copy_nonoverlapping(
                (&raw const (*new).tuples).cast::<u64>(),
                (&raw mut (*record).tuples).cast(),
                BEHIND_LIFE,
            );
            atomic::barrier();
            let word = (&raw mut (*record).serial).cast::<u64>();
            word.write_volatile(life((*new).serial, (*new).progress));
        },
        // the agent has removed it with the flow that had the slot
        None => {
            let _ = maps::insert_record(new.key.get(), &new.flow, BPF_NOEXIST);
        }
    }
}

/// Words of a record behind its life.
const BEHIND_LIFE: usize = (size_of::<Flow>() - core::mem::offset_of!(Flow, tuples)) / size_of::<u64>();

/// What changing a word adds to a one's complement sum.
#[inline(always)]
fn difference(old: u16, new: u16) -> u32 {
    u32::from(new) + u32::from(!old)
}
