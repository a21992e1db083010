//! How many entries each map holds. Hashes are not preallocated: an unused entry costs nothing.

pub const ENDPOINTS: u32 = 65_536;
pub const PORTS: u32 = 65_536;
pub const ADDRESSES: u32 = 262_144;
pub const SLOTS: u32 = 65_536;
pub const NETWORKS: u32 = 4_096;
pub const MEMBERS: u32 = 65_536;
pub const SUBNETS: u32 = 16_384;
/// Every endpoint dropping for two reasons.
pub const DROPS: u32 = 131_072;
pub const BUCKETS: u32 = 65_536;
/// One per [`crate::verdict::Verdict`].
pub const PATHS: u32 = crate::verdict::Verdict::ALL.len() as u32;
pub const DECISION: u32 = 1;
