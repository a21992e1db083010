//! Open: commit's way to make a flow. It gets a slot of its owner's and, if it wants one, a port; then two
//! index entries lead to it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_csum_diff, bpf_get_prandom_u32, bpf_loop},
};
use netswitch_common::{
    address::Address,
    flow::{Flow, FlowIndex, FlowKey, FlowState, Tuple, direction, timeout},
    verdict::DropReason,
};

use super::limit;
use crate::{
    atomic::fetch_add,
    code::{number, outcome},
    maps,
    stages::{flow, masquerade},
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Slots that a new flow tries: each flow behind the hand is older than the one before.
const SLOTS_TRIED: u32 = 16;
/// Ports that a new flow tries: with nine tenths of them taken, one in 10^10 finds none.
const PORTS_TRIED: u32 = 256;

/// Makes the flow that `work` describes and the translation of its first packet.
#[inline(always)]
pub fn open() -> Result {
    outcome(open_flow())
}

#[unsafe(no_mangle)]
extern "C" fn open_flow() -> u32 {
    maps::work().map_or(DropReason::Malformed as u32, |work| number(make(work)))
}

#[inline(always)]
fn make(work: &mut Work) -> Result {
    if work.replaced_serial != 0 {
        end(work.replaced, work.replaced_serial);
    }
    claim(work)?;
    let index = FlowIndex {
        key: work.key,
        serial: work.flow.serial,
        direction: direction::REPLY,
    };
    if let Err(reason) = index_reply(work, &index) {
        end(work.key, work.flow.serial);
        return Err(reason);
    }
    fill(work);
    let index = FlowIndex {
        direction: direction::ORIGINAL,
        ..index
    };
    if !put(&work.flow.tuples[0], &index, work.now) {
        // another CPU was faster with the same flow: its sender will send again
        let _ = maps::FLOWS.remove(&work.flow.tuples[1]);
        end(work.key, work.flow.serial);
        return Err(DropReason::FlowQuota);
    }
    note_hairpin(work);
    Ok(())
}

/// Takes a slot: a free one, or that of the owner's oldest flow which has ended or was never answered. So
/// no one's flows but the owner's own make room, and no connection does.
#[inline(always)]
fn claim(work: &mut Work) -> Result {
    let owner = work.key.owner;
    let quota = limit::flow_quota(owner);
    let Some(state) = maps::QUOTAS.get_ptr_mut(owner) else {
        return Err(DropReason::FlowQuota);
    };
    for _ in 0..SLOTS_TRIED {
        // SAFETY: an array's entry; the addition is atomic, so that no two CPUs get one slot
        let hand = unsafe { fetch_add(&raw mut (*state).hand, 1) };
        let Some(slot) = hand.checked_rem(quota) else {
            return Err(DropReason::FlowQuota);
        };
        let key = FlowKey { owner, slot };
        let serial = if hand == u32::MAX { 1 } else { hand + 1 };
        work.key = key;
        work.flow.serial = serial;
        work.flow.deadline = work.now + timeout(work.tuple.protocol, FlowState::New);
        match maps::RECORDS.get_ptr_mut(key) {
            None => {
                return match maps::RECORDS.insert(key, &work.flow, BPF_NOEXIST.into()) {
                    Ok(()) => Ok(()),
                    Err(_) => Err(DropReason::FlowQuota),
                };
            }
            Some(record) => {
                // SAFETY: the entry's memory stays until the program has ended (RCU)
                let old = unsafe { &*record };
                if is_wanted(old, work.now) {
                    continue;
                }
                forget(old, key);
                // SAFETY: the slot is this flow's since the hand passed it
                unsafe { core::ptr::copy_nonoverlapping(&raw const work.flow, record, 1) };
                return Ok(());
            }
        }
    }
    Err(DropReason::FlowQuota)
}

/// Whether a flow keeps its slot.
#[inline(always)]
fn is_wanted(flow: &Flow, now: u64) -> bool {
    flow::lives(flow, now) && (flow.state == FlowState::Established as u8 || flow.state == FlowState::Closing as u8)
}

/// Removes a flow's index entries, unless they are another's by now.
#[inline(never)]
fn forget(flow: &Flow, key: FlowKey) {
    for tuple in &flow.tuples {
        if let Some(index) = maps::flow_index(tuple) {
            if index.key == key && index.serial == flow.serial {
                let _ = maps::FLOWS.remove(tuple);
            }
        }
    }
}

/// A record of that serial ends now.
#[inline(always)]
fn end(key: FlowKey, serial: u32) {
    if let Some(record) = maps::RECORDS.get_ptr_mut(key) {
        // SAFETY: the entry's memory stays until the program has ended (RCU)
        unsafe {
            if (*record).serial == serial {
                (*record).deadline = 0;
            }
        }
    }
}

/// An index entry, in place of one whose flow has ended. `false`: there is a living one.
#[inline(never)]
fn put(tuple: &Tuple, index: &FlowIndex, now: u64) -> bool {
    if maps::FLOWS.insert(tuple, index, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    let Some(old) = maps::flow_index(tuple) else {
        return false;
    };
    let is_taken = maps::record(old.key).is_some_and(|flow| {
        flow.serial == old.serial && flow::lives(flow, now) && flow.state != FlowState::Closed as u8
    });
    !is_taken && maps::FLOWS.insert(tuple, index, BPF_ANY.into()).is_ok()
}

/// The entry by which replies find the flow, with a port of its own if it wants one, or if another
/// flow's replies would look the same.
#[inline(always)]
fn index_reply(work: &mut Work, index: &FlowIndex) -> Result {
    if work.wants_port == 0 {
        if put(&work.flow.tuples[1], index, work.now) {
            return Ok(());
        }
        if !masquerade::has_ports(work) {
            return Err(DropReason::PortsExhausted);
        }
    }
    let Some(config) = maps::config() else {
        return Err(DropReason::PortsExhausted);
    };
    let count = u32::from(config.port_count);
    // SAFETY: no argument
    let random = unsafe { bpf_get_prandom_u32() };
    let mut search = Search {
        at: random.checked_rem(count).unwrap_or(0),
        // an odd step visits every port of a range that is a power of two; a small range is walked
        step: if count <= PORTS_TRIED {
            1
        } else {
            (random >> 16 & 0x3ff) | 1
        },
        count,
        first: config.first_port.into(),
        direction: index.direction,
    };
    work.found = 0;
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(
            PORTS_TRIED.min(count),
            try_port as *mut c_void,
            (&raw mut search).cast(),
            0,
        );
    }
    match maps::work() {
        Some(work) if work.found != 0 => Ok(()),
        _ => Err(DropReason::PortsExhausted),
    }
}

/// What `bpf_loop` passes from port to port.
#[repr(C)]
struct Search {
    at: u32,
    step: u32,
    count: u32,
    first: u32,
    direction: u32,
}

/// Whether an endpoint leaves a port to the others: one of eight, so that nobody alone takes all ports to a
/// destination. A small range has none to spare.
#[inline(always)]
fn leaves(owner: u32, port: u16) -> bool {
    let mixed = (u32::from(port) ^ owner.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    mixed >> 29 == 0
}

extern "C" fn try_port(_round: u64, search: &mut Search) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let port = (search.first + search.at) as u16;
    search.at += search.step;
    if search.at >= search.count {
        search.at -= search.count;
    }
    if search.count > PORTS_TRIED && leaves(work.key.owner, port) {
        return 0;
    }
    work.flow.tuples[1].to_port = port.to_be();
    let index = FlowIndex {
        key: work.key,
        serial: work.flow.serial,
        direction: search.direction,
    };
    // not on the stack: 6.1's verifier follows a callback once, and would take what it saw there for all there is
    work.found = u32::from(put(&work.flow.tuples[1], &index, work.now));
    i64::from(work.found)
}

/// What follows from the tuples: into the record, and for the packet at hand.
#[inline(always)]
fn fill(work: &mut Work) {
    work.translated = work.flow.tuples[1].reversed(0);
    let addresses = |tuple: &Tuple| (&raw const tuple.from).cast::<u32>().cast_mut();
    let length = 2 * size_of::<Address>() as u32;
    let original = addresses(&work.tuple);
    let translated = addresses(&work.translated);
    // SAFETY: both addresses of a tuple lie side by side
    work.address_sum = unsafe { bpf_csum_diff(original, length, translated, length, 0) } as u32;
    work.port_sum = difference(work.tuple.from_port, work.translated.from_port)
        + difference(work.tuple.to_port, work.translated.to_port);
    work.flow.address_sums = [work.address_sum, !work.address_sum];
    work.flow.port_sums = [work.port_sum, opposite(work)];
    if let Some(record) = maps::RECORDS.get_ptr_mut(work.key) {
        // SAFETY: the slot is this flow's
        unsafe { core::ptr::copy_nonoverlapping(&raw const work.flow, record, 1) };
    }
}

#[inline(always)]
fn opposite(work: &Work) -> u32 {
    difference(work.translated.from_port, work.tuple.from_port)
        + difference(work.translated.to_port, work.tuple.to_port)
}

/// What changing a word adds to a one's complement sum.
#[inline(always)]
fn difference(old: u16, new: u16) -> u32 {
    u32::from(new) + u32::from(!old)
}

/// The answers of a flow between neighbours go past the gateway: the responder's frames are looked at.
#[inline(always)]
fn note_hairpin(work: &Work) {
    let [from, to] = &work.flow.tuples;
    if work.flow.publication != 0 && from.zone != 0 && from.zone == to.zone {
        if let Some(quota) = maps::QUOTAS.get_ptr_mut(work.flow.ends[1].endpoint) {
            // SAFETY: an array's entry
            unsafe { fetch_add(&raw mut (*quota).hairpins, 1) };
        }
    }
}
