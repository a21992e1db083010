//! The maps of published ports.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, lpm_trie::Key},
};
use netswitch_common::{
    address::Address,
    capacity,
    flow::mapping::kept,
    publish::{OutwardKey, OutwardPorts, Publication, PublishedKey, PublishedPorts, SourceKey, flags, inward},
};

use super::is_local;
use crate::atomic;

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

/// The same for ports that flows have kept ([`kept`]): programs set these bits, too. Commit, agent -> settled.
#[map]
static KEPT: Array<u64> = Array::pinned(capacity::KEPT, 0);

/// By endpoint and the container's port. Agent -> commit.
#[map]
static OUTWARD: HashMap<OutwardKey, OutwardPorts> = HashMap::pinned(capacity::OUTWARD, BPF_F_NO_PREALLOC);

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
    let Some((word, bit)) = inward(protocol, port) else {
        return true;
    };
    let ports = |ports: Option<&u64>| ports.copied().unwrap_or(u64::MAX);
    (ports(INWARD.get(word)) | ports(KEPT.get(word)) | ports(KEPT.get(kept::HALF + word))) & bit != 0
}

/// A flow keeps its port, in host order, outside: answers to it lead to a container.
#[inline(always)]
pub fn keep_port(protocol: u8, port: u16) {
    let Some(half) = KEPT.get(kept::CURRENT) else { return };
    let Some((word, bit)) = inward(protocol, port) else {
        return;
    };
    if let Some(ports) = KEPT.get_ptr_mut(*half as u32 + word) {
        // SAFETY: an array's entry, one aligned word; other CPUs set bits at the same time
        unsafe {
            if ports.read_volatile() & bit == 0 {
                atomic::fetch_or(ports, bit);
            }
        }
    }
}

/// The port of the host's, in host order, under which an endpoint's port is published; 0: none.
#[inline(always)]
pub fn published_as(endpoint: u32, protocol: u8, port: u16) -> u16 {
    let key = OutwardKey::new(endpoint, protocol, port);
    // SAFETY: as for endpoints
    unsafe { OUTWARD.get(&key) }
        .and_then(|ports| ports.0.get(usize::from(port & 0xff)))
        .copied()
        .unwrap_or(0)
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
