//! The maps of flows and of fragments.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use netswitch_common::{
    capacity,
    flow::{
        Flow, FlowIndex, FlowKey, Tuple,
        mapping::{ClaimableKey, Mapping, MappingKey},
    },
    fragment::{FragmentKey, Fragments},
};

use crate::place::Readable;

/// By packet, either direction. Commit -> flow; the agent removes what is stale.
#[map]
static FLOWS: HashMap<Tuple, FlowIndex> = HashMap::pinned(capacity::FLOWS, BPF_F_NO_PREALLOC);

/// By owner and slot. Commit -> flow, agent.
#[map]
pub static RECORDS: HashMap<FlowKey, Flow> = HashMap::pinned(capacity::RECORDS, BPF_F_NO_PREALLOC);

/// By socket of a container, and by port outside. Commit -> commit; the agent removes what is stale.
#[map]
static MAPPINGS: HashMap<MappingKey, Mapping> = HashMap::pinned(capacity::MAPPINGS, BPF_F_NO_PREALLOC);

/// Until when a socket of the host that has this port, or dials this peer, may get in the way of a flow. Commit ->
/// socket hooks.
#[map]
pub static CLAIMABLE: LruHashMap<ClaimableKey, u64> = LruHashMap::pinned(capacity::CLAIMABLE, 0);

/// Commit -> fragment.
#[map]
static FRAGMENTS: LruHashMap<FragmentKey, Fragments> = LruHashMap::pinned(capacity::FRAGMENTS, 0);

#[inline(always)]
pub fn flow_index(tuple: &impl Readable<Tuple>) -> Option<&'static FlowIndex> {
    // SAFETY: as for endpoints; the helper reads the key
    unsafe { FLOWS.get(&*tuple.pointer()) }
}

#[inline(always)]
pub fn insert_flow(tuple: &impl Readable<Tuple>, index: &FlowIndex, flags: u32) -> Result<(), i32> {
    // SAFETY: the helper reads the key
    FLOWS.insert(unsafe { &*tuple.pointer() }, index, flags.into())
}

#[inline(always)]
pub fn remove_flow(tuple: &impl Readable<Tuple>) {
    // SAFETY: the helper reads the key
    let _ = FLOWS.remove(unsafe { &*tuple.pointer() });
}

#[inline(always)]
pub fn record(key: FlowKey) -> Option<&'static Flow> {
    // SAFETY: as for endpoints; other CPUs renew its deadline and state meanwhile, word by word
    unsafe { RECORDS.get(key) }
}

#[inline(always)]
pub fn insert_record(key: FlowKey, flow: &impl Readable<Flow>, flags: u32) -> Result<(), i32> {
    // SAFETY: the helper reads the value
    RECORDS.insert(key, unsafe { &*flow.pointer() }, flags.into())
}

#[inline(always)]
pub fn mapping(key: &impl Readable<MappingKey>) -> Option<&'static Mapping> {
    // SAFETY: a deleted entry's memory stays until the program has ended (RCU), and may hold another one at once: what
    // it says is compared with the flow. The helper reads the key
    unsafe { MAPPINGS.get(&*key.pointer()) }
}

#[inline(always)]
pub fn insert_mapping(key: &impl Readable<MappingKey>, mapping: &Mapping, flags: u32) -> Result<(), i32> {
    // SAFETY: the helper reads the key
    MAPPINGS.insert(unsafe { &*key.pointer() }, mapping, flags.into())
}

#[inline(always)]
pub fn remove_mapping(key: &impl Readable<MappingKey>) {
    // SAFETY: the helper reads the key
    let _ = MAPPINGS.remove(unsafe { &*key.pointer() });
}

#[inline(always)]
pub fn fragments(key: &impl Readable<FragmentKey>) -> Option<&'static Fragments> {
    // SAFETY: as for endpoints; the helper reads the key
    unsafe { FRAGMENTS.get(&*key.pointer()) }
}

/// For who changes it, word by word.
#[inline(always)]
pub fn fragments_mut(key: &impl Readable<FragmentKey>) -> Option<*mut Fragments> {
    // SAFETY: the helper reads the key
    FRAGMENTS.get_ptr_mut(unsafe { &*key.pointer() })
}

#[inline(always)]
pub fn insert_fragments(key: &impl Readable<FragmentKey>, packet: &Fragments, flags: u32) -> Result<(), i32> {
    // SAFETY: the helper reads the key
    FRAGMENTS.insert(unsafe { &*key.pointer() }, packet, flags.into())
}
