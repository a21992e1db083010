//! Slot: commit's way to find room for a new flow among those of its owner.

use aya_ebpf::bindings::BPF_NOEXIST;
use netswitch_common::{
    capacity::COMMON_RECORDS,
    flow::{EXTENT, Flow, FlowKey, Quota, halves, life, yielding},
    progress::{self, timeout},
    verdict::DropReason,
};

use super::{index::full, limit, port};
use crate::{
    atomic::{self, fetch_add},
    headers::{dns, protocol},
    maps,
    place::part,
    stages::flow,
    work::{NewFlow, Read, Work, Yielding},
};

/// Slots that a new flow tries, and how many more after the extent has grown: the first of them is new.
const SLOTS_TRIED: u32 = 16;
const NEW_SLOTS_TRIED: u32 = 4;

/// Takes a free slot. `false`: there is none and the extent cannot grow, but a flow of the owner's yields
/// ([`Flow::yields`]; [`take_yielding`]). So no one's flows but the owner's own make room, and no connection does.
#[inline(always)]
pub fn reserve(work: &Work, read: &Read, new: &NewFlow) -> Result<bool, DropReason> {
    let owner = new.key.get().owner;
    let quota = limit::flow_quota(owner);
    let (Some(state), Some(grown)) = (maps::QUOTAS.get_ptr_mut(owner), maps::EXTENTS.get_ptr_mut(owner)) else {
        return Err(DropReason::Internal);
    };
    let mut refusal = DropReason::FlowQuota;
    work.forget_yielding();
    let now = read.now.get();
    let asks = read.protocol() == protocol::UDP && part!(new.flow, tuples[1].from_port).get() == dns::PORT;
    let question = if asks { progress::QUESTION } else { 0 };
    let progress = new.flow.get().progress | question;
    part!(new.flow, deadline).set(now + timeout(read.tuple.get().protocol, progress));
    part!(new.flow, progress).set(progress | progress::WRITING);
    for attempt in 0..SLOTS_TRIED + NEW_SLOTS_TRIED {
        if attempt == SLOTS_TRIED && !grow(state, grown, quota) {
            break;
        }
        // SAFETY: an array's entry; the addition is atomic, so that no two CPUs get one number
        let hand = unsafe { fetch_add(&raw mut (*state).hand, 1) };
        let Some(slot) = hand.checked_rem(extent(grown, quota)) else {
            return Err(DropReason::FlowQuota);
        };
        let key = FlowKey { owner, slot };
        new.key.set(key);
        part!(new.flow, serial).set(if hand == u32::MAX { 1 } else { hand + 1 });
        match maps::RECORDS.get_ptr_mut(key) {
            None => match maps::insert_record(key, &new.flow, BPF_NOEXIST) {
                Ok(()) => return Ok(true),
                Err(error) => refusal = full(error),
            },
            Some(record) => {
                // SAFETY: the entry's memory stays until the program has ended (RCU)
                let old = unsafe { &*record };
                let seen = old.life();
                let (_, progress) = halves(seen);
                if !flow::lives(old, now) || Flow::is_refused(progress) {
                    if take(record, key, seen, new) {
                        return Ok(true);
                    }
                } else if progress & progress::WRITING == 0 {
                    let readiness = old.yields(progress, now);
                    let most = work
                        .yielding()
                        .map_or(yielding::KEEPS, |yielding| yielding.get().readiness);
                    if readiness > most {
                        work.start_yielding().write(Yielding {
                            life: seen,
                            slot,
                            readiness,
                        });
                    }
                }
            }
        }
    }
    match work.yielding() {
        Some(_) => Ok(false),
        None => Err(refusal),
    }
}

/// Takes the slot of the flow that yields, unless another CPU has changed it.
#[inline(always)]
pub fn take_yielding(work: &Work, new: &NewFlow) -> Result<(), DropReason> {
    let Some(yielding) = work.yielding() else {
        return Err(DropReason::Internal);
    };
    let key = FlowKey {
        owner: new.key.get().owner,
        slot: yielding.get().slot,
    };
    new.key.set(key);
    match maps::RECORDS.get_ptr_mut(key) {
        Some(record) if take(record, key, yielding.get().life, new) => Ok(()),
        _ => Err(DropReason::FlowQuota),
    }
}

/// Makes a slot the new flow's, if its life is still what it was.
#[inline(always)]
fn take(record: *mut Flow, key: FlowKey, seen: u64, new: &NewFlow) -> bool {
    let life = life(new.flow.get().serial, progress::WRITING);
    // SAFETY: an entry's memory stays until the program has ended (RCU); serial and progress are one word
    if !unsafe { atomic::replace((&raw mut (*record).serial).cast(), seen, life) } {
        return false;
    }
    // SAFETY: the slot is this flow's, and what the old one was like still stands there
    forget(unsafe { &*record }, key, halves(seen).0);
    // SAFETY: as above; to the agent the record is alive from now on
    unsafe { (*record).deadline = new.flow.get().deadline };
    true
}

/// How many slots an endpoint uses.
#[inline(always)]
fn extent(grown: *const u32, quota: u32) -> u32 {
    // SAFETY: an array's entry, one word
    (EXTENT + unsafe { grown.read_volatile() }).min(quota)
}

/// Makes the extent larger and leads the hand to what is new. `false`: the quota is reached, or the endpoint has
/// its share and nothing is left of what all have in common.
#[inline(always)]
fn grow(state: *mut Quota, grown: *mut u32, quota: u32) -> bool {
    let before = extent(grown, quota);
    let after = (before + EXTENT).min(quota);
    if after == before {
        return false;
    }
    let share = maps::config().map_or(0, |config| config.flow_share);
    if share != 0 && after > share {
        let Some(common) = maps::EXTENTS.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: an array's entry, as below
        unsafe {
            if fetch_add(common, EXTENT) >= COMMON_RECORDS {
                fetch_add(common, EXTENT.wrapping_neg());
                return false;
            }
        }
    }
    // SAFETY: arrays' entries; the additions are atomic
    unsafe {
        fetch_add(grown, EXTENT);
        let hand = (&raw const (*state).hand).read_volatile();
        let at = hand.checked_rem(after).unwrap_or(0);
        let ahead = if at <= before { before - at } else { before + after - at };
        fetch_add(&raw mut (*state).hand, ahead);
    }
    true
}

/// Removes the index entries of the flow that had a slot, unless they are another's by now.
#[inline(never)]
fn forget(flow: &Flow, key: FlowKey, serial: u32) {
    for tuple in &flow.tuples {
        if let Some(index) = maps::flow_index(tuple) {
            if index.key == key && index.serial == serial {
                maps::remove_flow(tuple);
            }
        }
    }
    port::forget(flow, key, serial);
}
