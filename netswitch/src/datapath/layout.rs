//! What every pinned map must look like. aya takes whatever lies at a pin, and a value of another
//! size would be read past its end, so each pin is compared with this before anybody sees the map.

use std::{fmt, fs, path::Path};

use aya::maps::{MapInfo, MapType, lpm_trie};
use netswitch_common::{
    address::Address,
    capacity,
    endpoint::{Endpoint, Port, PortKey, Slot},
    flow::{
        Flow, FlowIndex, FlowKey, Quota, Tuple,
        mapping::{ClaimableKey, Mapping, MappingKey},
    },
    fragment::{FragmentKey, Fragments, Parked, ParkedKey},
    host::{Config, Uplink},
    ipsec::{PolicyList, SecurityPolicy, SelectorKey},
    leash::{Classes, LeashKey, LeashPortsKey, Leashed},
    limit::{Limits, Rations},
    name::{Name, NameKey, View},
    neighbour::{Neighbour, NeighbourKey},
    network::{Member, MemberKey, Network, Subnet, TrustedKey},
    policy::{CidrKey, PairKey, Ruling, RulingKey, Standing},
    publish::{OutwardKey, OutwardPorts, Publication, PublishedKey, PublishedPorts, SourceKey},
    routing::{PrefixKey, Rule},
    socket::SocketState,
    verdict::{Count, DropKey, Explanation},
};

use super::{Error, Result};

/// Kind and sizes of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    pub kind: MapType,
    /// Bytes.
    pub key: u32,
    /// Bytes; of one CPU's value for per-CPU maps.
    pub value: u32,
    pub entries: u32,
}

impl Layout {
    pub(super) fn of(info: &MapInfo) -> Self {
        Self {
            kind: info.map_type().unwrap_or(MapType::Unspecified),
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
        }
    }

    pub(super) fn is_per_cpu(&self) -> bool {
        matches!(self.kind, MapType::PerCpuHash | MapType::PerCpuArray)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key,
            value,
            entries,
        } = self;
        write!(
            out,
            "{kind:?} with keys of {key} bytes, values of {value} bytes, {entries} entries"
        )
    }
}

#[expect(clippy::cast_possible_truncation, reason = "`try_from` is not const")]
const fn layout<K, V>(kind: MapType, entries: u32) -> Layout {
    Layout {
        kind,
        key: size_of::<K>() as u32,
        value: size_of::<V>() as u32,
        entries,
    }
}

/// Every pinned map of this version.
pub const MAPS: &[(&str, Layout)] = &[
    ("ENDPOINTS", layout::<u32, Endpoint>(MapType::Hash, capacity::ENDPOINTS)),
    ("PORTS", layout::<PortKey, Port>(MapType::Hash, capacity::PORTS)),
    (
        "ADDRESSES",
        layout::<NeighbourKey, Neighbour>(MapType::Hash, capacity::ADDRESSES),
    ),
    ("SLOTS", layout::<u32, Slot>(MapType::Array, capacity::SLOTS)),
    ("NETWORKS", layout::<u32, Network>(MapType::Array, capacity::NETWORKS)),
    ("MEMBERS", layout::<MemberKey, Member>(MapType::Hash, capacity::MEMBERS)),
    (
        "SUBNETS",
        layout::<lpm_trie::Key<Address>, Subnet>(MapType::LpmTrie, capacity::SUBNETS),
    ),
    (
        "PUBLISHED",
        layout::<PublishedKey, PublishedPorts>(MapType::Hash, capacity::PUBLISHED),
    ),
    (
        "PUBLICATIONS",
        layout::<u32, Publication>(MapType::Hash, capacity::PUBLICATIONS),
    ),
    (
        "SOURCES",
        layout::<lpm_trie::Key<SourceKey>, u32>(MapType::LpmTrie, capacity::SOURCES),
    ),
    ("VIEWS", layout::<u32, View>(MapType::Array, capacity::VIEWS)),
    ("NAMES", layout::<NameKey, Name>(MapType::Hash, capacity::NAMES)),
    (
        "STANDINGS",
        layout::<u32, Standing>(MapType::Array, capacity::STANDINGS),
    ),
    ("LIMITS", layout::<u32, Limits>(MapType::Hash, capacity::LIMITS)),
    (
        "CIDRS",
        layout::<lpm_trie::Key<CidrKey>, u32>(MapType::LpmTrie, capacity::CIDRS),
    ),
    ("PAIRS", layout::<PairKey, u32>(MapType::Hash, capacity::PAIRS)),
    (
        "RULINGS",
        layout::<lpm_trie::Key<RulingKey>, Ruling>(MapType::LpmTrie, capacity::RULINGS),
    ),
    (
        "LEASHES",
        layout::<lpm_trie::Key<LeashKey>, Leashed>(MapType::LpmTrie, capacity::LEASHES),
    ),
    (
        "LEASH_PORTS",
        layout::<lpm_trie::Key<LeashPortsKey>, Classes>(MapType::LpmTrie, capacity::LEASH_PORTS),
    ),
    ("FLOWS", layout::<Tuple, FlowIndex>(MapType::Hash, capacity::FLOWS)),
    ("RECORDS", layout::<FlowKey, Flow>(MapType::Hash, capacity::RECORDS)),
    (
        "MAPPINGS",
        layout::<MappingKey, Mapping>(MapType::Hash, capacity::MAPPINGS),
    ),
    (
        "CLAIMABLE",
        layout::<ClaimableKey, u64>(MapType::LruHash, capacity::CLAIMABLE),
    ),
    ("KEPT", layout::<u32, u64>(MapType::Array, capacity::KEPT)),
    (
        "OUTWARD",
        layout::<OutwardKey, OutwardPorts>(MapType::Hash, capacity::OUTWARD),
    ),
    ("QUOTAS", layout::<u32, Quota>(MapType::Array, capacity::QUOTAS)),
    ("EXTENTS", layout::<u32, u32>(MapType::Array, capacity::EXTENTS)),
    ("HAIRPINS", layout::<u32, u64>(MapType::Array, capacity::HAIRPINS)),
    (
        "FRAGMENTS",
        layout::<FragmentKey, Fragments>(MapType::LruHash, capacity::FRAGMENTS),
    ),
    (
        "PARKED",
        layout::<ParkedKey, Parked>(MapType::LruHash, capacity::PARKED),
    ),
    ("LOCALS", layout::<Address, u32>(MapType::Hash, capacity::LOCALS)),
    ("TRUSTED", layout::<TrustedKey, u32>(MapType::Hash, capacity::TRUSTED)),
    (
        "SELECTORS",
        layout::<lpm_trie::Key<SelectorKey>, PolicyList>(MapType::LpmTrie, capacity::SELECTORS),
    ),
    (
        "SECURITY",
        layout::<u32, SecurityPolicy>(MapType::Hash, capacity::SECURITY),
    ),
    ("RULES", layout::<u32, Rule>(MapType::Hash, capacity::RULES)),
    (
        "PREFIXES",
        layout::<lpm_trie::Key<PrefixKey>, u32>(MapType::LpmTrie, capacity::PREFIXES),
    ),
    (
        "DIALLED",
        layout::<i32, SocketState>(MapType::SkStorage, capacity::DIALLED),
    ),
    ("RELAYS", layout::<u32, u32>(MapType::SockMap, capacity::RELAYS)),
    ("RESOLVERS", layout::<u64, Address>(MapType::Hash, capacity::RESOLVERS)),
    ("UPLINKS", layout::<u32, Uplink>(MapType::Hash, capacity::UPLINKS)),
    (
        "HOST_PROTOCOLS",
        layout::<u32, u32>(MapType::Array, capacity::HOST_PROTOCOLS),
    ),
    ("CONFIG", layout::<u32, Config>(MapType::Array, capacity::CONFIG)),
    ("DROPS", layout::<DropKey, Count>(MapType::PerCpuHash, capacity::DROPS)),
    ("PATHS", layout::<u32, Count>(MapType::PerCpuArray, capacity::PATHS)),
    ("RATIONS", layout::<u32, Rations>(MapType::Array, capacity::RATIONS)),
    (
        "DECISION",
        layout::<u32, Explanation>(MapType::PerCpuArray, capacity::DECISION),
    ),
];

/// The layout of a pin; `None` where there is none.
pub(super) fn of_pin(pin: &Path) -> Result<Option<Layout>> {
    if !fs::exists(pin).map_err(Error::io(pin))? {
        return Ok(None);
    }
    MapInfo::from_pin(pin)
        .map(|info| Some(Layout::of(&info)))
        .map_err(|source| Error::Map {
            map: pin.display().to_string(),
            source,
        })
}

/// Refuses a folder in which any pin is not what this version expects; touches nothing.
pub(super) fn check(folder: &Path) -> Result<()> {
    for (name, wanted) in MAPS {
        let pin = folder.join(name);
        match of_pin(&pin)? {
            Some(found) if found != *wanted => {
                return Err(Error::Layout {
                    map: pin.display().to_string(),
                    found,
                    wanted: *wanted,
                });
            }
            _ => {}
        }
    }
    Ok(())
}
