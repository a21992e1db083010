//! Open: commit's way to make a flow. It gets a slot of its owner's and, if it wants one, a port; then two
//! index entries lead to it.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    helpers::bpf_csum_diff,
};
use netswitch_common::{
    address::Address,
    flow::{Flow, FlowIndex, Tuple, direction, life},
    progress,
    verdict::DropReason,
};

use super::{
    hairpin,
    index::{PUT, REPLACES_CLOSED, TAKEN, end, put},
    port, slot,
};
use crate::{atomic, code::outcome, maps, packet::Frame, stages::flow, work::Work};

type Result = core::result::Result<(), DropReason>;

/// Makes the flow that `work` describes and the translation of its first packet.
#[inline(always)]
pub fn open(frame: Frame) -> Result {
    let mut code = open_flow(frame.0);
    // The record that was to yield has changed on another CPU. Others may yield.
    if code == DropReason::FlowQuota as u32 && maps::work().is_some_and(|work| work.yielding != 0) {
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
    match make(Frame::new(skb), work) {
        Ok(true) => 0,
        Ok(false) => LOST_RACE,
        Err(reason) => reason as u32,
    }
}

/// `false`: the flow is there already.
#[inline(always)]
fn make(frame: Frame, work: &mut Work) -> core::result::Result<bool, DropReason> {
    if work.replaced_serial != 0 {
        end(work.replaced, work.replaced_serial);
    }
    if !slot::reserve(work)? {
        // a port is looked for before another flow loses its slot
        work.probes = 1;
        let code = port::find_reply(frame, work);
        work.probes = 0;
        if code != PUT {
            return Err(reason_of(code));
        }
        slot::take_yielding(work)?;
    }
    let index = FlowIndex {
        key: work.key,
        serial: work.flow.serial,
        direction: direction::REPLY,
    };
    let code = port::find_reply(frame, work);
    if code != PUT {
        end(work.key, work.flow.serial);
        return Err(reason_of(code));
    }
    fill(work);
    let index = FlowIndex {
        direction: direction::ORIGINAL,
        ..index
    };
    let code = put(&work.flow.tuples[0], &index, work.now, REPLACES_CLOSED);
    if code != PUT {
        let _ = maps::FLOWS.remove(&work.flow.tuples[1]);
        end(work.key, work.flow.serial);
        return match code {
            TAKEN => Ok(false),
            code => Err(reason_of(code)),
        };
    }
    hairpin::keep(&work.flow, work.flow.deadline);
    port::keep(work.key);
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
    work.flow.progress &= !progress::WRITING;
    match maps::RECORDS.get_ptr_mut(work.key) {
        // SAFETY: the slot is this flow's; the life comes last, so that nobody finds what is half written
        Some(record) => unsafe {
            let new = &raw const work.flow;
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
            let _ = maps::RECORDS.insert(work.key, &work.flow, BPF_NOEXIST.into());
        }
    }
}

/// Words of a record behind its life.
const BEHIND_LIFE: usize = (size_of::<Flow>() - core::mem::offset_of!(Flow, tuples)) / size_of::<u64>();

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
