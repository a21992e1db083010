//! Index: the entries of FLOWS, by which the packets of a flow find its record.

use core::cell::Cell;

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use netswitch_common::{
    flow::{FlowIndex, FlowKey, Tuple, halves},
    progress::FlowState,
    verdict::DropReason,
};

use crate::{maps, stages::flow, work::NewFlow};

/// A record of that serial ends now.
#[inline(always)]
pub fn end(key: FlowKey, serial: u32) {
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
pub const PUT: u32 = 0;
pub const TAKEN: u32 = u32::MAX;

/// Whether an index entry may be had whose connection has ended, but whose server may remember it.
pub const REPLACES_CLOSED: u32 = 1;
pub const KEEPS_CLOSED: u32 = 0;

/// An index entry, in place of one whose flow has ended. [`TAKEN`]: there is a living one.
#[inline(never)]
pub fn put(tuple: &Cell<Tuple>, index: &FlowIndex, now: u64, closed: u32) -> u32 {
    match maps::insert_flow(tuple, index, BPF_NOEXIST) {
        Ok(()) => return PUT,
        Err(error) if error != -EEXIST => return full(error) as u32,
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
        Err(error) => full(error) as u32,
    }
}

/// The entry of the new flow's tuple of a direction.
#[inline(always)]
pub fn of(new: &NewFlow, direction: u32) -> FlowIndex {
    FlowIndex {
        key: new.key.get(),
        serial: new.flow.get().serial,
        direction,
    }
}

/// Whether an index entry is a living flow's.
#[inline(always)]
pub fn is_taken(index: &FlowIndex, now: u64, closed: u32) -> bool {
    maps::record(index.key).is_some_and(|flow| {
        let (serial, progress) = halves(flow.life());
        let has_ended = closed == REPLACES_CLOSED && FlowState::of(progress) as u8 == FlowState::Closed as u8;
        serial == index.serial && !has_ended && flow::lives(flow, now)
    })
}

/// Why a table took no entry.
#[inline(always)]
pub fn full(error: i32) -> DropReason {
    match -error {
        E2BIG => DropReason::TableFull,
        ENOMEM => DropReason::NoMemory,
        _ => DropReason::Internal,
    }
}

const E2BIG: i32 = 7;
const ENOMEM: i32 = 12;
const EEXIST: i32 = 17;
