//! The maps of published ports.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, lpm_trie::Key},
};
use netswitch_common::{
    address::Address,
    capacity,
    publish::{Publication, PublishedKey, PublishedPorts, SourceKey, flags, inward},
};

use super::is_local;

/// By address, protocol and port of the host. Agent -> publish, socket hooks.
#[map]
static PUBLISHED: HashMap<PublishedKey, PublishedPorts> = HashMap::pinned(capacity::PUBLISHED, BPF_F_NO_PREALLOC);

/// By number. Agent -> publish, socket hooks.
#[map]
static PUBLICATIONS: HashMap<u32, Publication> = HashMap::pinned(capacity::PUBLICATIONS, BPF_F_NO_PREALLOC);

/// One bit a port of the host's ([`netswitch_common::publish::inward`]): whether it may lead to a container, as it is
/// published, one for masquerade, or a flow's. Not pinned: the agent fills it when it loads the object. It only sets
/// bits: one too many costs look-ups. Agent -> settled.
#[map]
static INWARD: Array<u64> = Array::with_max_entries(capacity::INWARD, 0);

/// Agent -> publish.
#[map]
static SOURCES: LpmTrie<SourceKey, u32> = LpmTrie::pinned(capacity::SOURCES, 0);

/// The number of the publication of a port, in host order, on an address or, if that is the unspecified
/// one, on all of them.
#[inline(always)]
pub fn published(address: Address, protocol: u8, port: u16) -> Option<u32> {
    let key = PublishedKey::new(address, protocol, port);
    // SAFETY: as for endpoints
    let ports = unsafe { PUBLISHED.get(&key) }?;
    let number = ports.0.get(usize::from(port & 0xff))?;
    (*number != 0).then_some(u32::from(*number))
}

/// The same for whoever sends to the address, in hooks that have no FIB to ask whether it is the host's.
#[inline(always)]
pub fn published_at(address: Address, protocol: u8, port: u16) -> Option<u32> {
    if let Some(number) = published(address, protocol, port) {
        return Some(number);
    }
    let number = published(address.any(), protocol, port)?;
    (address.is_loopback() || is_local(address)).then_some(number)
}

/// Whether a port of the host's, in host order, may lead to a container.
#[inline(always)]
pub fn may_lead_inward(protocol: u8, port: u16) -> bool {
    inward(protocol, port).is_none_or(|(word, bit)| INWARD.get(word).is_none_or(|ports| *ports & bit != 0))
}

#[inline(always)]
pub fn publication(number: u32) -> Option<&'static Publication> {
    // SAFETY: as for endpoints
    unsafe { PUBLICATIONS.get(number) }
}

/// Whether a publication, which has that number, lets a client in (`from=`).
#[inline(always)]
pub fn lets_in(number: u32, publication: &Publication, client: Address) -> bool {
    let source = SourceKey {
        publication: number,
        address: client,
    };
    publication.flags & flags::SOURCES == 0 || SOURCES.get(Key::new(160, source)).is_some()
}
