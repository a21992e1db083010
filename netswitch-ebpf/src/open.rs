//! Open: commit's way to make a flow. It gets a slot of its owner's and, if it wants one, a port; then two
//! index entries lead to it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_csum_diff, bpf_get_prandom_u32, bpf_loop},
};
use netswitch_common::{
    address::Address,
    capacity::COMMON_RECORDS,
    flow::{EXTENT, Flow, FlowIndex, FlowKey, FlowState, Quota, Tuple, direction, halves, life, progress, timeout},
    verdict::DropReason,
};

use crate::{
    atomic::{self, fetch_add},
    limit, maps,
    stages::{flow, masquerade, outcome},
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Slots that a new flow tries, and how many more after the extent has grown: the first of them is new.
const SLOTS_TRIED: u32 = 16;
const NEW_SLOTS_TRIED: u32 = 4;
/// Ports that a new flow tries: with nine tenths of them taken, one in 10^10 finds none.
const PORTS_TRIED: u32 = 256;

/// Makes the flow that `work` describes and the translation of its first packet.
#[inline(always)]
pub fn open() -> Result {
    match open_flow() {
        // another CPU was faster with a packet of the same flow: this one is its next
        LOST_RACE if flow::is_known() => Ok(()),
        LOST_RACE => Err(DropReason::Internal),
        code => outcome(code),
    }
}

/// Beside the codes of [`number`].
const LOST_RACE: u32 = u32::MAX;

#[unsafe(no_mangle)]
extern "C" fn open_flow() -> u32 {
    let Some(work) = maps::work() else {
        return DropReason::Internal as u32;
    };
    match make(work) {
        Ok(true) => 0,
        Ok(false) => LOST_RACE,
        Err(reason) => reason as u32,
    }
}

/// `false`: the flow is there already.
#[inline(always)]
fn make(work: &mut Work) -> core::result::Result<bool, DropReason> {
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
    let code = put(&work.flow.tuples[0], &index, work.now, REPLACES_CLOSED);
    if code != PUT {
        let _ = maps::FLOWS.remove(&work.flow.tuples[1]);
        end(work.key, work.flow.serial);
        return match code {
            TAKEN => Ok(false),
            _ => Err(DropReason::from_number(code).unwrap_or(DropReason::Internal)),
        };
    }
    keep_hairpin(&work.flow, work.flow.deadline);
    Ok(true)
}

/// Takes a slot: a free one or, where the extent cannot grow, that of the owner's oldest flow which yields
/// ([`Flow::yields`]). So no one's flows but the owner's own make room, and no connection does.
#[inline(always)]
fn claim(work: &mut Work) -> Result {
    let owner = work.key.owner;
    let quota = limit::flow_quota(owner);
    let (Some(state), Some(grown)) = (maps::QUOTAS.get_ptr_mut(owner), maps::EXTENTS.get_ptr_mut(owner)) else {
        return Err(DropReason::Internal);
    };
    let mut refusal = DropReason::FlowQuota;
    work.yielding = 0;
    work.flow.deadline = work.now + timeout(work.tuple.protocol, work.flow.progress);
    work.flow.progress |= progress::WRITING;
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
        work.key = key;
        work.flow.serial = if hand == u32::MAX { 1 } else { hand + 1 };
        match maps::RECORDS.get_ptr_mut(key) {
            None => match maps::RECORDS.insert(key, &work.flow, BPF_NOEXIST.into()) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = full(error),
            },
            Some(record) => {
                // SAFETY: the entry's memory stays until the program has ended (RCU)
                let old = unsafe { &*record };
                let seen = maps::life(old);
                let (_, progress) = halves(seen);
                if !flow::lives(old, work.now) {
                    if take(record, key, seen, work) {
                        return Ok(());
                    }
                } else if work.yielding == 0 && progress & progress::WRITING == 0 && old.yields(progress, work.now) {
                    work.yielding = seen;
                    work.yielding_slot = slot;
                }
            }
        }
    }
    if work.yielding == 0 {
        return Err(refusal);
    }
    let key = FlowKey {
        owner,
        slot: work.yielding_slot,
    };
    work.key = key;
    match maps::RECORDS.get_ptr_mut(key) {
        Some(record) if take(record, key, work.yielding, work) => Ok(()),
        _ => Err(refusal),
    }
}

/// Makes a slot the new flow's, if its life is still what it was.
#[inline(always)]
fn take(record: *mut Flow, key: FlowKey, seen: u64, work: &Work) -> bool {
    let new = life(work.flow.serial, progress::WRITING);
    // SAFETY: an entry's memory stays until the program has ended (RCU); serial and progress are one word
    if !unsafe { atomic::replace((&raw mut (*record).serial).cast(), seen, new) } {
        return false;
    }
    // SAFETY: the slot is this flow's, and what the old one was like still stands there
    forget(unsafe { &*record }, key, halves(seen).0);
    // SAFETY: as above; to the agent the record is alive from now on
    unsafe { (*record).deadline = work.flow.deadline };
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

/// Why a table took no entry.
#[inline(always)]
fn full(error: i32) -> DropReason {
    match -error {
        E2BIG => DropReason::TableFull,
        ENOMEM => DropReason::NoMemory,
        _ => DropReason::Internal,
    }
}

const E2BIG: i32 = 7;
const ENOMEM: i32 = 12;
const EEXIST: i32 = 17;

/// Removes the index entries of the flow that had a slot, unless they are another's by now.
#[inline(never)]
fn forget(flow: &Flow, key: FlowKey, serial: u32) {
    for tuple in &flow.tuples {
        if let Some(index) = maps::flow_index(tuple) {
            if index.key == key && index.serial == serial {
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
            if halves(maps::life(&*record)).0 == serial {
                (*record).deadline = 0;
            }
        }
    }
}

/// What [`put`] says beside a [`DropReason`].
const PUT: u32 = 0;
const TAKEN: u32 = u32::MAX;

/// Whether an index entry may be had whose connection has ended, but whose server may remember it.
const REPLACES_CLOSED: u32 = 1;
const KEEPS_CLOSED: u32 = 0;

/// An index entry, in place of one whose flow has ended. [`TAKEN`]: there is a living one.
#[inline(never)]
fn put(tuple: &Tuple, index: &FlowIndex, now: u64, closed: u32) -> u32 {
    match maps::FLOWS.insert(tuple, index, BPF_NOEXIST.into()) {
        Ok(()) => return PUT,
        Err(error) if error != -EEXIST => return full(error) as u32,
        Err(_) => {}
    }
    let Some(old) = maps::flow_index(tuple) else {
        return TAKEN;
    };
    if let Some(flow) = maps::record(old.key) {
        let (serial, progress) = halves(maps::life(flow));
        let has_ended = closed == REPLACES_CLOSED && FlowState::of(progress) as u8 == FlowState::Closed as u8;
        if serial == old.serial && !has_ended && flow::lives(flow, now) {
            return TAKEN;
        }
    }
    match maps::FLOWS.insert(tuple, index, BPF_ANY.into()) {
        Ok(()) => PUT,
        Err(error) => full(error) as u32,
    }
}

/// The entry by which replies find the flow, with a port of its own if it wants one, or if another
/// flow's replies would look the same.
#[inline(always)]
fn index_reply(work: &mut Work, index: &FlowIndex) -> Result {
    if work.wants_port == 0 {
        match put(&work.flow.tuples[1], index, work.now, REPLACES_CLOSED) {
            PUT => return Ok(()),
            TAKEN => {}
            reason => return Err(DropReason::from_number(reason).unwrap_or(DropReason::Internal)),
        }
        if !masquerade::has_ports(work) {
            return Err(DropReason::PortsExhausted);
        }
    }
    let Some(config) = maps::config() else {
        return Err(DropReason::PortsExhausted);
    };
    let count = u32::from(config.port_count);
    // first those whose last connection no server can remember; a small range is walked twice
    let tries = PORTS_TRIED.min(2 * count);
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
        fresh: tries / 2,
        first: config.first_port.into(),
        direction: index.direction,
    };
    work.found = TAKEN;
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(tries, try_port as *mut c_void, (&raw mut search).cast(), 0);
    }
    match maps::work().map_or(TAKEN, |work| work.found) {
        PUT => Ok(()),
        TAKEN => Err(DropReason::PortsExhausted),
        reason => Err(DropReason::from_number(reason).unwrap_or(DropReason::Internal)),
    }
}

/// What `bpf_loop` passes from port to port.
#[repr(C)]
struct Search {
    at: u32,
    step: u32,
    count: u32,
    /// How many tries leave alone what a closed connection has.
    fresh: u32,
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

extern "C" fn try_port(round: u64, search: &mut Search) -> i64 {
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
    let closed = if round < u64::from(search.fresh) {
        KEEPS_CLOSED
    } else {
        REPLACES_CLOSED
    };
    // not on the stack: 6.1's verifier follows a callback once, and would take what it saw there for all there is
    work.found = put(&work.flow.tuples[1], &index, work.now, closed);
    i64::from(work.found != TAKEN)
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

/// The answers of a flow between neighbours go past the gateway: as long as it lives, the responder's frames are
/// looked at.
#[inline(always)]
pub fn keep_hairpin(flow: &Flow, deadline: u64) {
    let [from, to] = &flow.tuples;
    if flow.publication != 0 && from.zone != 0 && from.zone == to.zone {
        if let Some(until) = maps::HAIRPINS.get_ptr_mut(flow.ends[1].endpoint) {
            // SAFETY: an array's entry, one word; of two CPUs either's deadline is long enough for its own flow's
            // next packet, which writes again
            unsafe { *until = (*until).max(deadline) };
        }
    }
}
