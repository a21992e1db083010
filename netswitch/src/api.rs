//! The requests and answers: everything netswitch can do, in one list. The CLI and the HTTP door
//! are spellings of [`Request`]; the agent is one `match` over it.

mod agent;
mod container;
mod error;
mod network;
mod observe;
mod policy;
mod why;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::agent::{AgentOptions, Directories, HostOptions, UplinkMode};
pub use self::container::{Attach, ContainerCreate, ContainerSummary, NamespaceOf, PublishedPorts, WaitCondition};
pub use self::error::{Error, ErrorKind};
pub use self::network::{
    ConfigFrom, EndpointResource, IpamConfig, IpamResource, NetworkCreate, NetworkResource, PoolRequest,
};
pub use self::observe::{
    EndpointStats, Finding, FlowFilter, FlowRow, Interface, MonitorFilter, MonitorRow, Monitored, Stats, Traffic,
    Version,
};
pub use self::policy::{CutFlow, PolicyChange, PolicyDefault, PolicyFile, PolicyRule};
pub use self::why::{WhyQuestion, WhyRow, WhyRule};
use crate::model::{container::limits::Change, endpoint::Settings, policy::Policy, sandbox::Origin};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    NetworkCreate(NetworkCreate),
    NetworkList {
        filters: Filters,
    },
    NetworkInspect {
        network: String,
    },
    NetworkConnect {
        network: String,
        container: String,
        settings: Settings,
    },
    NetworkDisconnect {
        network: String,
        container: String,
        force: bool,
    },
    NetworkRemove {
        network: String,
    },
    NetworkPrune {
        filters: Filters,
    },
    ContainerCreate(Box<ContainerCreate>),
    /// `wait_for_attach`: the process waits until a client has handed its standard streams to the shim.
    ContainerStart {
        container: String,
        wait_for_attach: bool,
    },
    /// TERM, then KILL after `seconds`.
    ContainerStop {
        container: String,
        seconds: u64,
    },
    /// Answers with [`Response::Ended`] once the condition holds.
    ContainerWait {
        container: String,
        condition: WaitCondition,
    },
    ContainerRemove {
        container: String,
        force: bool,
    },
    /// Other limits, at once where it runs.
    ContainerUpdate {
        container: String,
        limits: Change,
    },
    ContainerList {
        all: bool,
        filters: Filters,
    },
    ContainerInspect {
        container: String,
    },
    /// Answers with [`Response::Shim`]: where to send an exec.
    ContainerExec {
        container: String,
    },
    /// Answers with [`Response::Log`].
    ContainerLogs {
        container: String,
    },
    /// Answers with [`Response::Namespace`]: where a running container's interfaces are.
    ContainerNamespace {
        container: String,
    },
    /// A namespace that someone else made becomes a container.
    Attach(Attach),
    Detach {
        container: String,
    },
    /// More ports of a container, or fewer; at once where it runs.
    Publish {
        container: String,
        specs: Vec<String>,
    },
    Unpublish {
        container: String,
        specs: Vec<String>,
    },
    /// Answers with [`Response::Ports`].
    ContainerPorts {
        container: String,
    },
    /// Answers with the rule's number as [`Response::Created`].
    PolicyAdd(PolicyRule),
    PolicyDefault(PolicyDefault),
    /// Answers with [`Response::Policy`].
    PolicyList,
    /// All of these rules, or none.
    PolicyRemove {
        rules: Vec<u32>,
    },
    /// The policy of a file in the place of the one there is. Answers with [`Response::PolicyChange`].
    PolicyApply(PolicyFile),
    /// What that would change.
    PolicyPlan(PolicyFile),
    Flows(FlowFilter),
    /// Answers with [`Response::Why`].
    Why(WhyQuestion),
    /// Answers with a stream of [`Monitored`], a line of JSON each.
    Monitor(MonitorFilter),
    /// Answers with [`Response::Stats`]: as of `since` or later (nanoseconds of `CLOCK_MONOTONIC`), or of the last second.
    Stats {
        since: Option<u64>,
    },
    Doctor,
    Version,
}

impl Request {
    /// The container that it changes, or whose process it needs.
    pub fn acts_on(&self) -> Option<&str> {
        match self {
            Self::NetworkConnect { container, .. }
            | Self::NetworkDisconnect { container, .. }
            | Self::ContainerStart { container, .. }
            | Self::ContainerRemove { container, .. }
            | Self::ContainerUpdate { container, .. }
            | Self::ContainerExec { container }
            | Self::ContainerNamespace { container }
            | Self::Detach { container }
            | Self::Publish { container, .. }
            | Self::Unpublish { container, .. } => Some(container),
            _ => None,
        }
    }

    /// What is changed and of which network or container; `None`: the request only asks.
    pub fn change(&self) -> Option<(&'static str, &str)> {
        Some(match self {
            Self::NetworkCreate(asked) => ("network create", &asked.name),
            Self::NetworkConnect { container, .. } => ("network connect", container),
            Self::NetworkDisconnect { container, .. } => ("network disconnect", container),
            Self::NetworkRemove { network } => ("network rm", network),
            Self::NetworkPrune { .. } => ("network prune", ""),
            Self::ContainerCreate(asked) => ("create", &asked.name),
            Self::ContainerStart { container, .. } => ("start", container),
            Self::ContainerStop { container, .. } => ("stop", container),
            Self::ContainerRemove { container, .. } => ("rm", container),
            Self::ContainerUpdate { container, .. } => ("update", container),
            Self::ContainerExec { container } => ("exec or attach", container),
            Self::Attach(asked) => ("attach", &asked.name),
            Self::Detach { container } => ("detach", container),
            Self::Publish { container, .. } => ("publish", container),
            Self::Unpublish { container, .. } => ("unpublish", container),
            Self::PolicyAdd(_) => ("policy add", ""),
            Self::PolicyDefault(_) => ("policy default", ""),
            Self::PolicyRemove { .. } => ("policy rm", ""),
            Self::PolicyApply(file) => ("policy apply", &file.name),
            Self::NetworkList { .. }
            | Self::NetworkInspect { .. }
            | Self::ContainerList { .. }
            | Self::ContainerInspect { .. }
            | Self::ContainerWait { .. }
            | Self::ContainerLogs { .. }
            | Self::ContainerNamespace { .. }
            | Self::ContainerPorts { .. }
            | Self::PolicyList
            | Self::PolicyPlan(_)
            | Self::Flows(_)
            | Self::Why(_)
            | Self::Monitor(_)
            | Self::Stats { .. }
            | Self::Doctor
            | Self::Version => return None,
        })
    }
}

/// `key=value`s of `--filter`: every key's values are alternatives, keys must all hold.
pub type Filters = BTreeMap<String, Vec<String>>;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    Done,
    /// An id, and warnings for stderr.
    Created {
        id: String,
        warnings: Vec<String>,
    },
    /// Docker's own JSON for `network ls`, `network inspect`, `inspect` and `ps`: key order as Docker's.
    Network(Box<NetworkResource>),
    Networks(Vec<NetworkResource>),
    Container(Value),
    Containers(Vec<ContainerSummary>),
    /// Names of what was removed.
    Pruned(Vec<String>),
    /// The shim's socket, and whether the container has a terminal.
    Shim {
        socket: PathBuf,
        terminal: bool,
    },
    /// The container's log file.
    Log {
        path: PathBuf,
        running: bool,
    },
    Ended {
        exit_code: i32,
    },
    Namespace(Origin),
    Ports(Vec<PublishedPorts>),
    Policy(Policy),
    PolicyChange(PolicyChange),
    Flows(Vec<FlowRow>),
    /// One for each family that both have.
    Why(Vec<WhyRow>),
    Stats(Stats),
    Doctor(Vec<Finding>),
    Version(Version),
}
