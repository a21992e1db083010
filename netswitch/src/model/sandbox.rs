//! A sandbox: one network namespace, which several containers may share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Id;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    pub id: Id,
    /// For the maps; endpoints of one sandbox share it.
    pub number: u32,
    pub origin: Origin,
    /// Families in which an attached namespace had a default route of its own: ours stays out.
    #[serde(default)]
    pub routed: Families,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

/// Where the namespace comes from, and so how to open it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Made by the container's shim; it lives as long as this process of the shim's. Process id 0:
    /// not made yet ([`Origin::PENDING`]).
    Shim { pid: i32, start_time: u64 },
    /// A file such as `/run/netns/x`.
    Path(PathBuf),
    /// The namespace of a process that someone else started (clock ticks since boot, `/proc/PID/stat` field 22).
    Process { pid: i32, start_time: u64 },
    /// The namespace the agent runs in (`--net host`).
    Host,
}

impl Origin {
    /// Of a namespace that the shim is still to make.
    pub const PENDING: Self = Self::Shim { pid: 0, start_time: 0 };
}
