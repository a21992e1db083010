//! Renew: commit's way to write into a flow's record what its packet has made true.

use netswitch_common::{
    flow::{Flow, asked_at, direction, halves, life},
    progress::{self, timeout},
};

use super::hairpin;
use crate::{
    atomic,
    headers::tcp,
    maps,
    stages::route,
    work::{Found, Read, Work, due},
};

/// Life, deadline, route and policy into the record of the flow that was found, where they have changed. A new flow's
/// record is new, too.
#[inline(always)]
pub fn renew(work: &Work) {
    let (Some(read), Some(translation), Some(found)) = (work.read(), work.translation(), work.found()) else {
        return;
    };
    let due = found.get().due;
    if due == 0 {
        return;
    }
    let Some(record) = maps::RECORDS.get_ptr_mut(found.get().key) else {
        return;
    };
    // SAFETY: the entry's memory stays until the program has ended (RCU)
    let flow = unsafe { &*record };
    if halves(flow.life()).0 != halves(found.get().life).0 {
        return; // another flow has the slot
    }
    let now = read.now.get();
    if due & due::PROGRESS != 0 {
        let Some(progress) = advance(record, read, found.get()) else {
            return;
        };
        let deadline = now + timeout(read.tuple.get().protocol, progress);
        // SAFETY: as above; other CPUs write what another packet of the flow has just made true
        unsafe { (*record).deadline = deadline };
        hairpin::keep(flow, deadline);
    }
    // SAFETY: as above
    unsafe {
        if due & due::PUBLICATION != 0 {
            // the route of its answers has not been looked up: they are to do that
            (*record).routed = 0;
            (*record).generation = route::generation();
        }
        if due & due::HOST != 0 {
            (*record).asked = asked_at(now, route::generation());
        }
        if let Some(judgement) = work.judgement().filter(|_| due & due::POLICY != 0) {
            (*record).policy_epoch = judgement.get().epoch;
            (*record).rule = judgement.get().rule;
        }
        if due & due::ROUTE != 0 {
            let end = match found.get().direction {
                direction::ORIGINAL => &raw mut (*record).ends[1],
                _ => &raw mut (*record).ends[0],
            };
            core::ptr::copy_nonoverlapping(translation.end.as_ptr(), end, 1);
            (*record).routed = now;
            (*record).generation = route::generation();
        }
    }
}

/// How often the life of a record is exchanged anew when other CPUs do so at the same time.
const EXCHANGES: u32 = 4;

/// Moves the flow's progress on by what the packet adds; returns what it is then. `None`: another flow has the
/// slot, or other CPUs were faster each time.
#[inline(always)]
fn advance(record: *mut Flow, read: &Read, found: Found) -> Option<u32> {
    let mut seen = found.life;
    let (serial, known) = halves(seen);
    if found.advances & !known & progress::ANSWERED != 0 {
        let syn = u32::from(read.tcp_flags.get() & tcp::SYN != 0);
        // SAFETY: as in `renew`
        unsafe { (*record).sequence = read.sequence.get().wrapping_add(syn) };
    }
    for _ in 0..EXCHANGES {
        let (current, progress) = halves(seen);
        if current != serial {
            return None;
        }
        let next = progress & !progress::RESET | found.advances;
        // SAFETY: as in `renew`; serial and progress are one aligned word
        let found = unsafe { atomic::exchange((&raw mut (*record).serial).cast(), seen, life(serial, next)) };
        if found == seen {
            return Some(next);
        }
        seen = found;
    }
    None
}
