//! The maps of IPv6's routing rules.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, LpmTrie, lpm_trie::Key},
};
use netswitch_common::{
    address::Address,
    capacity,
    routing::{PrefixKey, Rule},
};

use crate::work::Work;

/// By number. Agent -> routing.
#[map]
static RULES: HashMap<u32, Rule> = HashMap::pinned(capacity::RULES, BPF_F_NO_PREALLOC);

/// Agent -> routing.
#[map]
static PREFIXES: LpmTrie<PrefixKey, u32> = LpmTrie::pinned(capacity::PREFIXES, 0);

#[inline(always)]
pub fn routing_rule(number: u32) -> Option<&'static Rule> {
    // SAFETY: the agent writes rules that nobody reads yet
    unsafe { RULES.get(number) }
}

/// Length of the longest prefix of an address in a table, where that is known.
#[inline(always)]
pub fn prefix_length(work: &Work, table: u32, address: Address) -> Option<u32> {
    let key = work.prefix.put(Key::new(160, PrefixKey { table, address }));
    // SAFETY: the helper reads the key
    PREFIXES.get(unsafe { &*key.as_ptr() }).copied()
}
