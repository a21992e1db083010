//! How many entries each map holds. Hashes are not preallocated: an unused entry costs nothing.

pub const ENDPOINTS: u32 = 65_536;
/// Indexes of devices below this: 5 MB.
pub const LOW_ENDPOINTS: u32 = 65_536;
pub const PORTS: u32 = 65_536;
pub const ADDRESSES: u32 = 262_144;
pub const SLOTS: u32 = 65_536;
pub const NETWORKS: u32 = 4_096;
pub const MEMBERS: u32 = 65_536;
pub const SUBNETS: u32 = 16_384;
/// Every endpoint dropping for two reasons.
pub const DROPS: u32 = 131_072;
pub const RATIONS: u32 = SLOTS;
/// One per [`crate::verdict::Verdict`].
pub const PATHS: u32 = crate::verdict::Verdict::ALL.len() as u32;
pub const DECISION: u32 = 1;
/// 10,000 published ports are 41 entries for each family.
pub const PUBLISHED: u32 = 65_536;
/// A publication's number has 16 bits.
pub const PUBLICATIONS: u32 = 65_536;
/// 256 ports each, like [`PUBLISHED`].
pub const OUTWARD: u32 = 65_536;
/// See [`crate::publish::inward`].
pub const INWARD: u32 = 2_048;
pub const SOURCES: u32 = 262_144;
/// Names, aliases, short ids and addresses, of every network.
pub const NAMES: u32 = 524_288;
/// One per sandbox.
pub const VIEWS: u32 = SLOTS;
pub const STANDINGS: u32 = SLOTS;
/// One per sandbox that has any.
pub const LIMITS: u32 = SLOTS;
/// Of two epochs, for a moment: one is written while the other holds.
pub const PAIRS: u32 = 2_097_152;
pub const RULINGS: u32 = 2_097_152;
pub const CIDRS: u32 = 524_288;
/// Prefixes and what names have led to, of all endpoints together.
pub const LEASHES: u32 = 524_288;
pub const LEASH_PORTS: u32 = 524_288;
/// Flows of all endpoints together.
pub const RECORDS: u32 = 1_048_576;
/// Those of them that are no endpoint's share: for whoever needs more than that.
pub const COMMON_RECORDS: u32 = RECORDS / 2;
/// Two for each flow.
pub const FLOWS: u32 = 2 * RECORDS;
/// Two for each flow that has a port of its own outside.
pub const MAPPINGS: u32 = 2 * RECORDS;
/// The last that were used; 3 MB.
pub const CLAIMABLE: u32 = 32_768;
pub const KEPT: u32 = crate::flow::mapping::kept::WORDS;
pub const QUOTAS: u32 = SLOTS;
pub const EXTENTS: u32 = SLOTS;
pub const HAIRPINS: u32 = SLOTS;
/// Packets in fragments: 9 MB.
pub const FRAGMENTS: u32 = 8_192;
/// Fragments that wait, of all packets together: 7 MB. Each CPU sets 128 of them aside (before 6.12.39 that many of a
/// map of any size), so this is enough for 32 CPUs.
pub const PARKED: u32 = 4_096;
/// Bytes of the ring of events: some 10,000 of them.
pub const EVENTS: u32 = 1 << 20;
/// Flows of which `monitor` knows that it has shown them.
pub const SHOWN: u32 = 4_096;
pub const UPLINKS: u32 = 1_024;
pub const CONFIG: u32 = 1;
/// One per IP protocol number.
pub const HOST_PROTOCOLS: u32 = 256;
/// Addresses of the host.
pub const LOCALS: u32 = 65_536;
/// Devices that networks trust (`trusted_host_interfaces`).
pub const TRUSTED: u32 = 65_536;
/// `IPsec` policies, once for each prefix that they are found by, in two halves.
pub const SECURITY: u32 = 131_072;
/// Prefixes that they are found by, in two halves and for two sides.
pub const SELECTORS: u32 = 131_072;
/// Rules of IPv6's routing tables, in two halves.
pub const RULES: u32 = 16_384;
/// Prefixes of the tables of which rules suppress some, in two halves.
pub const PREFIXES: u32 = 1_048_576;
pub const RESOLVERS: u32 = 65_536;
/// A map of sockets' own storage has no number.
pub const DIALLED: u32 = 0;
pub const RELAYS: u32 = crate::socket::relay::COUNT;
/// Of one endpoint; [`crate::host::Config::flow_quota`].
pub const FLOW_QUOTA: u32 = 32_768;
/// First port for masquerade, and how many: below the ephemeral range of an untouched Linux host
/// (32768 to 60999).
pub const MASQUERADE_PORTS: (u16, u16) = (10_240, 22_528);
