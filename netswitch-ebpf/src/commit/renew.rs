//! Renew: commit's way to write into a flow's record what its packet has made true.

use netswitch_common::flow::{Flow, asked_at, direction, halves, life};
use netswitch_common::progress::{self, timeout};

use super::hairpin;
use crate::{atomic, headers::tcp, maps, stages::route, work::Work};

/// Life, deadline, route and policy into the record, where they have changed.
#[inline(always)]
pub fn renew(work: &Work) {
    if work.renew | work.rerouted | work.contested | work.rejudged | work.republished == 0 {
        return;
    }
    let Some(record) = maps::RECORDS.get_ptr_mut(work.key) else {
        return;
    };
    // SAFETY: the entry's memory stays until the program has ended (RCU)
    let flow = unsafe { &*record };
    if halves(flow.life()).0 != halves(work.life).0 {
        return; // another flow has the slot
    }
    if work.renew != 0 {
        let Some(progress) = advance(record, work) else { return };
        let deadline = work.now + timeout(work.tuple.protocol, progress);
        // SAFETY: as above; other CPUs write what another packet of the flow has just made true
        unsafe { (*record).deadline = deadline };
        hairpin::keep(flow, deadline);
    }
    // SAFETY: as above
    unsafe {
        if work.republished != 0 {
            // the route of its answers has not been looked up: they are to do that
            (*record).routed = 0;
            (*record).generation = route::generation();
        }
        if work.contested != 0 {
            (*record).asked = asked_at(work.now, route::generation());
        }
        if work.rejudged != 0 {
            (*record).policy_epoch = work.epoch;
            (*record).rule = work.rule;
        }
        if work.rerouted != 0 {
            let end = match work.direction {
                direction::ORIGINAL => &raw mut (*record).ends[1],
                _ => &raw mut (*record).ends[0],
            };
            core::ptr::copy_nonoverlapping(&raw const work.end, end, 1);
            (*record).routed = work.now;
            (*record).generation = route::generation();
        }
    }
}

/// How often the life of a record is exchanged anew when other CPUs do so at the same time.
const EXCHANGES: u32 = 4;

/// Moves the flow's progress on by what the packet adds; returns what it is then. `None`: another flow has the
/// slot, or other CPUs were faster each time.
#[inline(always)]
fn advance(record: *mut Flow, work: &Work) -> Option<u32> {
    let mut seen = work.life;
    let (serial, known) = halves(seen);
    if work.advances & !known & progress::ANSWERED != 0 {
        let syn = u32::from(work.tcp_flags & tcp::SYN != 0);
        // SAFETY: as in `renew`
        unsafe { (*record).sequence = work.sequence.wrapping_add(syn) };
    }
    for _ in 0..EXCHANGES {
        let (current, progress) = halves(seen);
        if current != serial {
            return None;
        }
        let next = progress & !progress::RESET | work.advances;
        // SAFETY: as in `renew`; serial and progress are one aligned word
        let found = unsafe { atomic::exchange((&raw mut (*record).serial).cast(), seen, life(serial, next)) };
        if found == seen {
            return Some(next);
        }
        seen = found;
    }
    None
}
