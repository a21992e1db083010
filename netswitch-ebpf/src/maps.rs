//! Every map, pinned by name under `<bpffs>/v<ABI_VERSION>/`, and who writes and reads it.

mod flows;
mod ipsec;
mod publish;
mod routing;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf, SockMap, lpm_trie::Key},
};
use netswitch_common::{
    address::Address,
    capacity,
    cut::Cutting,
    endpoint::{Endpoint, Port, PortKey, Slot},
    event::ShownKey,
    flow::Quota,
    fragment::{Fragments, Parked, ParkedKey},
    host::{Config, Uplink},
    leash::{Classes, LeashKey, LeashPortsKey, Leashed},
    limit::{Limits, Rations},
    name::{Name, NameKey, View},
    neighbour::{Neighbour, NeighbourKey},
    network::{Member, MemberKey, Network, Subnet, TrustedKey},
    policy::{CidrKey, PairKey, Ruling, RulingKey, Standing, identity},
    socket::SocketState,
    verdict::{Count, DropKey, Explanation},
};

pub use self::{
    flows::{
        CLAIMABLE, RECORDS, flow_index, fragments, fragments_mut, insert_flow, insert_fragments, insert_mapping,
        insert_record, mapping, record, remove_flow, remove_mapping,
    },
    ipsec::{policy_list, security_policy},
    publish::{keep_port, lets_in, may_lead_inward, publication, published, published_as, published_at},
    routing::{prefix_length, routing_rule},
};
use crate::{place::Readable, work::Work};

/// By ifindex of the host-side device. Agent -> every endpoint hook.
#[map]
static ENDPOINTS: HashMap<u32, Endpoint> = HashMap::pinned(capacity::ENDPOINTS, BPF_F_NO_PREALLOC);

/// The endpoints of ENDPOINTS whose ifindex is low, once more, by ifindex: an array's look-up is much faster than a
/// hash's. An element whose id is 0 is empty. Not pinned: the agent fills it when it loads the object. Agent -> every
/// endpoint hook.
#[map]
static LOW_ENDPOINTS: Array<Endpoint> = Array::with_max_entries(capacity::LOW_ENDPOINTS, 0);

/// Agent -> forward.
#[map]
static PORTS: HashMap<PortKey, Port> = HashMap::pinned(capacity::PORTS, BPF_F_NO_PREALLOC);

/// Agent -> neighbour, and the source guard for endpoints with more addresses.
#[map]
static ADDRESSES: HashMap<NeighbourKey, Neighbour> = HashMap::pinned(capacity::ADDRESSES, BPF_F_NO_PREALLOC);

/// By endpoint id. Agent -> nobody yet; reserves the ids that later maps refer to.
#[map]
static SLOTS: Array<Slot> = Array::pinned(capacity::SLOTS, 0);

/// By network id. Agent -> gateway, replicate, source guard of the host, answers.
#[map]
static NETWORKS: Array<Network> = Array::pinned(capacity::NETWORKS, 0);

/// By sandbox. Agent -> resolve.
#[map]
static VIEWS: Array<View> = Array::pinned(capacity::VIEWS, 0);

/// Agent -> resolve.
#[map]
static NAMES: HashMap<NameKey, Name> = HashMap::pinned(capacity::NAMES, BPF_F_NO_PREALLOC);

/// Agent -> replicate.
#[map]
static MEMBERS: HashMap<MemberKey, Member> = HashMap::pinned(capacity::MEMBERS, BPF_F_NO_PREALLOC);

/// Agent -> gateway.
#[map]
static SUBNETS: LpmTrie<Address, Subnet> = LpmTrie::pinned(capacity::SUBNETS, 0);

/// By endpoint id. Agent -> policy.
#[map]
static STANDINGS: Array<Standing> = Array::pinned(capacity::STANDINGS, 0);

/// By sandbox. Agent, and the meters commit -> commit.
#[map]
pub static LIMITS: HashMap<u32, Limits> = HashMap::pinned(capacity::LIMITS, BPF_F_NO_PREALLOC);

/// Of the world. Agent -> policy.
#[map]
static CIDRS: LpmTrie<CidrKey, u32> = LpmTrie::pinned(capacity::CIDRS, 0);

/// Agent -> policy.
#[map]
static PAIRS: HashMap<PairKey, u32> = HashMap::pinned(capacity::PAIRS, BPF_F_NO_PREALLOC);

/// Agent -> policy.
#[map]
static RULINGS: LpmTrie<RulingKey, Ruling> = LpmTrie::pinned(capacity::RULINGS, 0);

/// By an endpoint's generation, and address. Agent -> leash.
#[map]
static LEASHES: LpmTrie<LeashKey, Leashed> = LpmTrie::pinned(capacity::LEASHES, 0);

/// By an endpoint's generation, protocol and port. Agent -> leash.
#[map]
static LEASH_PORTS: LpmTrie<LeashPortsKey, Classes> = LpmTrie::pinned(capacity::LEASH_PORTS, 0);

/// By endpoint id. Commit -> commit.
#[map]
pub static QUOTAS: Array<Quota> = Array::pinned(capacity::QUOTAS, 0);

/// By endpoint id; at 0 how much of [`capacity::COMMON_RECORDS`] is taken. Commit -> commit; the agent lowers it.
#[map]
pub static EXTENTS: Array<u32> = Array::pinned(capacity::EXTENTS, 0);

/// By endpoint id: until when it may have flows that came from a member of its own network, whose answers do not
/// go through the gateway. Commit -> gateway.
#[map]
pub static HAIRPINS: Array<u64> = Array::pinned(capacity::HAIRPINS, 0);

/// Fragments that wait. Commit -> commit.
#[map]
pub static PARKED: LruHashMap<ParkedKey, Parked> = LruHashMap::pinned(capacity::PARKED, 0);

/// Where this CPU writes down a fragment that will wait; not pinned.
#[map]
pub static PARKING: PerCpuArray<Parked> = PerCpuArray::with_max_entries(1, 0);

/// Where this CPU writes down a packet that is cut; not pinned.
#[map]
pub static CUTTING: PerCpuArray<Cutting> = PerCpuArray::with_max_entries(1, 0);

/// Where this CPU writes down a packet of which nothing has passed; not pinned.
#[map]
pub static NOTING: PerCpuArray<Fragments> = PerCpuArray::with_max_entries(1, 0);

/// By ifindex. Agent -> route.
#[map]
static UPLINKS: HashMap<u32, Uplink> = HashMap::pinned(capacity::UPLINKS, BPF_F_NO_PREALLOC);

/// Addresses of the host. Agent -> socket hooks, which have no FIB to ask.
#[map]
static LOCALS: HashMap<Address, u32> = HashMap::pinned(capacity::LOCALS, BPF_F_NO_PREALLOC);

/// Devices from which a network's containers are reached at their own addresses. Agent -> direct.
#[map]
static TRUSTED: HashMap<TrustedKey, u32> = HashMap::pinned(capacity::TRUSTED, BPF_F_NO_PREALLOC);

/// The gateway that answers questions about names, by the cookie of a container's network namespace. Agent ->
/// socket hooks.
#[map]
static RESOLVERS: HashMap<u64, Address> = HashMap::pinned(capacity::RESOLVERS, BPF_F_NO_PREALLOC);

/// By socket. Socket hooks -> socket hooks.
#[btf_map]
pub static DIALLED: SkStorage<SocketState> = SkStorage::new();

/// The agent's own sockets, by [`netswitch_common::socket::relay`]. Agent -> relay.
#[map]
pub static RELAYS: SockMap = SockMap::pinned(capacity::RELAYS, 0);

/// By IP protocol number, bits of [`netswitch_common::host::waits`]. Socket hooks set them; the agent sets and
/// clears them -> claim.
#[map]
pub static HOST_PROTOCOLS: Array<u32> = Array::pinned(capacity::HOST_PROTOCOLS, 0);

/// Agent -> everyone; socket hooks raise its generation.
#[map]
pub static CONFIG: Array<Config> = Array::pinned(capacity::CONFIG, 0);

/// Commit -> agent.
#[map]
pub static DROPS: PerCpuHashMap<DropKey, Count> = PerCpuHashMap::pinned(capacity::DROPS, BPF_F_NO_PREALLOC);

/// By verdict. Commit -> agent.
#[map]
pub static PATHS: PerCpuArray<Count> = PerCpuArray::pinned(capacity::PATHS, 0);

/// By endpoint id; at 0, which is no endpoint's, the world's. Commit -> commit, replicate.
#[map]
pub static RATIONS: Array<Rations> = Array::pinned(capacity::RATIONS, 0);

/// [`netswitch_common::event::Event`]s; not pinned, as the next agent's listeners are others. Commit -> agent.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(capacity::EVENTS, 0);

/// Events that found no room in EVENTS; not pinned. Commit -> agent.
#[map]
pub static MISSED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// When a flow was told of last; not pinned. Commit -> commit.
#[map]
pub static SHOWN: LruHashMap<ShownKey, u64> = LruHashMap::with_max_entries(capacity::SHOWN, 0);

/// What this CPU is working on; not pinned. Stages -> commit.
#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// Explain -> agent.
#[map]
pub static DECISION: PerCpuArray<Explanation> = PerCpuArray::pinned(capacity::DECISION, 0);

#[inline(always)]
pub fn endpoint(ifindex: u32) -> Option<&'static Endpoint> {
    // SAFETY: a deleted entry's memory stays until the program has ended (RCU); the agent replaces
    // whole values, so a reader sees the old one or the new one, or at worst fields of both
    unsafe { ENDPOINTS.get(ifindex) }
}

/// The endpoint of the device that a frame comes from. The array is asked first, because it is faster. Other callers take
/// [`endpoint`]: the verifier follows the code behind two look-ups twice.
#[inline(always)]
pub fn sender(ifindex: u32) -> Option<&'static Endpoint> {
    match LOW_ENDPOINTS.get(ifindex) {
        Some(low) if low.id != 0 => Some(low),
        _ => endpoint(ifindex),
    }
}

#[inline(always)]
pub fn port(network: u32, mac: [u16; 3]) -> Option<&'static Port> {
    /// [`PortKey`] with the MAC as words: three stores, not six.
    #[repr(C)]
    struct Words(u32, [u16; 3], u16);
    const _: () = assert!(size_of::<Words>() == size_of::<PortKey>());
    let key = Words(network, mac, 0);
    // SAFETY: same size and bytes as the key type, whose fields accept any bit pattern; then as above
    unsafe { PORTS.get(&*(&raw const key).cast::<PortKey>()) }
}

#[inline(always)]
pub fn neighbour(network: u32, address: Address) -> Option<&'static Neighbour> {
    // SAFETY: as above
    unsafe { ADDRESSES.get(NeighbourKey { network, address }) }
}

/// Whether an endpoint may have an address that others may have, too.
#[inline(always)]
pub fn may_hold(endpoint: u32, address: Address) -> bool {
    // SAFETY: as above
    unsafe { ADDRESSES.get(NeighbourKey::held_by(endpoint, address)) }.is_some()
}

#[inline(always)]
pub fn view(sandbox: u32) -> Option<&'static View> {
    VIEWS.get(sandbox)
}

#[inline(always)]
pub fn name(key: &impl Readable<NameKey>) -> Option<&'static Name> {
    // SAFETY: as above; the helper reads the key
    unsafe { NAMES.get(&*key.pointer()) }
}

/// `None` also for an id that no network has.
#[inline(always)]
pub fn network(id: u32) -> Option<&'static Network> {
    NETWORKS.get(id).filter(|network| network.host_end != 0)
}

#[inline(always)]
pub fn member(network: u32, slot: u32) -> Option<&'static Member> {
    // SAFETY: as above
    unsafe { MEMBERS.get(MemberKey { network, slot }) }
}

/// The most specific of our subnets that holds the address.
#[inline(always)]
pub fn subnet(address: Address) -> Option<&'static Subnet> {
    SUBNETS.get(Key::new(128, address))
}

/// This CPU's sheet of paper. Live hooks run with bottom halves off, so no hook interrupts another on its CPU. That does
/// not hold on a kernel with PREEMPT_RT, nor for a test run (`BPF_PROG_TEST_RUN`, which explains) before 6.3: there a
/// packet may write on the sheet in between. A copy that is sent (`bpf_clone_redirect`) goes through a queue and comes
/// after its packet.
///
/// Many may hold it at the same time: all of it are cells. Whether a group of it holds anything, it says itself.
#[inline(always)]
pub fn work() -> Option<&'static Work> {
    WORK.get(0)
}

/// The sheet for a new packet: nothing of the last one can be read.
#[inline(always)]
pub fn new_work() -> Option<&'static Work> {
    let work = WORK.get(0)?;
    work.clear();
    Some(work)
}

#[inline(always)]
pub fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}

#[inline(always)]
pub fn slot(endpoint: u32) -> Option<&'static Slot> {
    SLOTS.get(endpoint)
}

#[inline(always)]
pub fn standing(endpoint: u32) -> Option<&'static Standing> {
    STANDINGS.get(endpoint)
}

/// The identity that an address of the world has in an epoch.
#[inline(always)]
pub fn identity(epoch: u32, address: Address) -> u32 {
    let key = Key::new(160, CidrKey { epoch, address });
    CIDRS.get(key).copied().unwrap_or(identity::WORLD)
}

/// What the policy says between two identities about a protocol and a port (network order).
#[inline(always)]
pub fn ruling(pair: PairKey, protocol: u8, port: u16) -> Option<Ruling> {
    // SAFETY: as for endpoints
    let set = *unsafe { PAIRS.get(pair) }?;
    let key = RulingKey {
        set,
        protocol,
        _pad: 0,
        port,
    };
    RULINGS.get(Key::new(64, key)).copied()
}

/// What a leash says about an address.
#[inline(always)]
pub fn leashed(leash: u32, address: Address) -> Option<&'static Leashed> {
    LEASHES.get(Key::new(160, LeashKey { leash, address }))
}

/// The classes of a protocol and port (network order).
#[inline(always)]
pub fn leash_ports(leash: u32, protocol: u8, port: u16) -> Option<&'static Classes> {
    let key = LeashPortsKey {
        leash,
        protocol,
        _pad: 0,
        port,
    };
    LEASH_PORTS.get(Key::new(64, key))
}

#[inline(always)]
pub fn uplink(ifindex: u32) -> Option<&'static Uplink> {
    // SAFETY: as for endpoints
    unsafe { UPLINKS.get(ifindex) }
}

/// Whether the host has an address, as the agent saw it last.
#[inline(always)]
pub fn is_local(address: Address) -> bool {
    // SAFETY: as for endpoints
    unsafe { LOCALS.get(address) }.is_some()
}

/// Whether a network's containers are reached at their own addresses from a device of the host.
#[inline(always)]
pub fn trusts(network: u32, ifindex: u32) -> bool {
    // SAFETY: as above
    unsafe { TRUSTED.get(TrustedKey { network, ifindex }) }.is_some()
}

#[inline(always)]
pub fn resolver(cookie: u64) -> Option<&'static Address> {
    // SAFETY: as above
    unsafe { RESOLVERS.get(cookie) }
}
