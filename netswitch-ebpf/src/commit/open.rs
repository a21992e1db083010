//! Open: commit's way to make a flow. It gets a slot of its owner's and, if it wants one, a port; then two
//! index entries lead to it.

use core::cell::Cell;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    helpers::bpf_csum_diff,
};
use netswitch_common::{
    address::Address,
    flow::{Flow, Tuple, direction, life},
    progress,
    verdict::DropReason,
};

use super::{
    hairpin,
    index::{self, PUT, REPLACES_CLOSED, TAKEN, end, put},
    port, slot,
};
use crate::{
    atomic,
    code::outcome,
    maps,
    packet::Frame,
    place::{copy, part},
    stages::flow::{self, set_reversed},
    work::{NewFlow, Read, Work},
};

type Result = core::result::Result<(), DropReason>;

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
        let code = port::find_reply(frame, read, new, port::PROBES);
        if code != PUT {
            return Err(reason_of(code));
        }
        slot::take_yielding(work, new)?;
    }
    let code = port::find_reply(frame, read, new, 0);
    if code != PUT {
        end(new.key.get(), new.flow.get().serial);
        return Err(reason_of(code));
    }
    fill(work, read, new);
    let index = index::of(new, direction::ORIGINAL);
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
    port::keep(new.key.get());
    Ok(true)
}

/// Why there is no entry for replies.
#[inline(always)]
fn reason_of(code: u32) -> DropReason {
    match code {
        TAKEN => DropReason::PortsExhausted,
        reason => DropReason::from_number(reason).unwrap_or(DropReason::Internal),
    }
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
