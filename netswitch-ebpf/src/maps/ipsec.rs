//! The maps of the host's `IPsec` policies.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, LpmTrie, lpm_trie::Key},
};
use netswitch_common::{
    address::Address,
    capacity,
    ipsec::{PolicyList, SecurityPolicy, SelectorKey},
};

/// Agent -> ipsec.
#[map]
static SELECTORS: LpmTrie<SelectorKey, PolicyList> = LpmTrie::pinned(capacity::SELECTORS, 0);

/// By number. Agent -> ipsec.
#[map]
static SECURITY: HashMap<u32, SecurityPolicy> = HashMap::pinned(capacity::SECURITY, BPF_F_NO_PREALLOC);

/// The policies that could cover a packet with this address.
#[inline(always)]
pub fn policy_list(scope: u32, address: Address) -> Option<&'static PolicyList> {
    SELECTORS.get(Key::new(160, SelectorKey { scope, address }))
}

#[inline(always)]
pub fn security_policy(number: u32) -> Option<&'static SecurityPolicy> {
    // SAFETY: the agent writes policies that nobody reads yet
    unsafe { SECURITY.get(number) }
}
