//! The requests and answers: everything netswitch can do, in one list. The CLI and the HTTP door
//! are spellings of [`Request`]; the agent is one `match` over it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{endpoint::Settings, publish::Protocol};

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
    ContainerRemove {
        container: String,
        force: bool,
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
    Flows(FlowFilter),
    Stats,
    Doctor,
    Version,
}

/// `key=value`s of `--filter`: every key's values are alternatives, keys must all hold.
pub type Filters = BTreeMap<String, Vec<String>>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkCreate {
    pub name: String,
    /// Empty: bridge.
    pub driver: String,
    pub scope: String,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub config_only: bool,
    pub config_from: String,
    pub enable_ipv6: bool,
    pub ipam_driver: String,
    pub ipam_options: BTreeMap<String, String>,
    pub pools: Vec<PoolRequest>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

/// As the user typed it; empty fields were not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolRequest {
    pub subnet: String,
    pub ip_range: String,
    pub gateway: String,
    pub auxiliary: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerCreate {
    /// Empty: one is made up.
    pub name: String,
    pub command: Vec<String>,
    /// As typed: `bridge`, `none`, `host`, `container:X`, a network; empty: bridge. Several are allowed.
    pub networks: Vec<(String, Settings)>,
    pub hostname: String,
    pub environment: Vec<String>,
    pub directory: String,
    pub user: String,
    pub terminal: bool,
    pub interactive: bool,
    pub binds: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub links: Vec<String>,
    pub expose: Vec<String>,
    pub publish: Vec<String>,
    pub publish_all: bool,
    pub labels: BTreeMap<String, String>,
    pub remove: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    pub name: String,
    pub namespace: NamespaceOf,
    pub network: String,
    pub settings: Settings,
    #[serde(default)]
    pub publish: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Which flows to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowFilter {
    /// Of this container, at either end.
    pub container: Option<String>,
    pub protocol: Option<Protocol>,
    /// With this port at either end, before or after translation.
    pub port: Option<u16>,
    /// At most this many; 0 for all.
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceOf {
    Path(PathBuf),
    Process(i32),
}

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
    Ports(Vec<PublishedPorts>),
    Flows(Vec<FlowRow>),
    Stats(Stats),
    Doctor(Vec<Finding>),
    Version(Version),
}

/// `GET /networks/{id}` (Docker Engine API 1.41), in its key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkResource {
    pub name: String,
    pub id: String,
    pub created: String,
    pub scope: String,
    pub driver: String,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: IpamResource,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub config_from: ConfigFrom,
    pub config_only: bool,
    pub containers: BTreeMap<String, EndpointResource>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamResource {
    pub driver: String,
    pub options: Option<BTreeMap<String, String>>,
    pub config: Vec<IpamConfig>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfig {
    pub subnet: String,
    #[serde(rename = "IPRange", default, skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    #[serde(rename = "AuxiliaryAddresses", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigFrom {
    pub network: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointResource {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// One line of `ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerSummary {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub owner: String,
    pub command: String,
    pub created_at: String,
    /// `created`, `running`, `exited`.
    pub state: String,
    /// `Up 3 minutes`, `Exited (0) 2 seconds ago`, `Created`.
    pub status: String,
    pub ports: String,
    /// The same in parts.
    #[serde(default)]
    pub published: Vec<PublishedPorts>,
    pub networks: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Ports of a container that are published at one address, or exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPorts {
    /// Of the host; `None`: only exposed.
    pub host: Option<IpAddr>,
    /// `None`: reached at the container's own address.
    pub host_first: Option<u16>,
    /// Of the container.
    pub first: u16,
    pub last: u16,
    pub protocol: Protocol,
}

/// One line of `flows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowRow {
    /// Of the end that is a container's; both, if both are.
    pub containers: Vec<String>,
    pub protocol: String,
    /// As its first packet came: `10.0.0.2:4000`.
    pub from: String,
    pub to: String,
    /// As it left.
    pub translated_from: String,
    pub translated_to: String,
    pub state: String,
    /// Seconds until it ends if no packet passes.
    pub expires: u64,
}

/// What the counters say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub endpoints: Vec<EndpointStats>,
    /// Packets by what the switch did with them, all endpoints together.
    pub paths: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Empty for the host's own port, and for devices that are no endpoint.
    pub container: String,
    pub network: String,
    pub drops: BTreeMap<String, u64>,
}

/// One thing `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub subject: String,
    pub ok: bool,
    /// What was found, and what to do about it.
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub abi_version: u32,
    pub kernel: String,
    pub pid: u32,
    pub containers: usize,
    pub running: usize,
    pub networks: usize,
}

/// What went wrong, in words for the user: `Error response from daemon: {message}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

/// Decides the HTTP status and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// 400
    BadRequest,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 501
    NotImplemented,
    /// 500
    Internal,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

/// Where the agent's parts live; see `netswitch agent --help`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    pub state: PathBuf,
    pub run: PathBuf,
    pub bpffs: PathBuf,
}

impl Directories {
    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("api.sock")
    }
}

/// What the agent does with the host's uplinks and flows; `None` where the defaults hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostOptions {
    /// `auto`, `none` or devices.
    pub uplinks: Vec<String>,
    pub mode: UplinkMode,
    /// Ports that masquerade gives out: the first, and how many.
    pub masquerade_ports: Option<(u16, u16)>,
    /// Flows that one endpoint may have.
    pub flow_quota: Option<u32>,
}

/// `--uplink-mode`: where packets from the world are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UplinkMode {
    #[default]
    Auto,
    Tcx,
    /// What needs no state in XDP before that.
    Xdp,
    /// In the host's own stack, by its own rules.
    Stack,
}

/// What `netswitch agent` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOptions {
    pub directories: Directories,
    /// `--bip`: gateway address and prefix of the default network.
    pub bip: Option<IpNetwork>,
    pub host: HostOptions,
    /// Whose programs reach published ports by any of the host's addresses: a cgroup of version 2.
    pub cgroup: Option<PathBuf>,
    /// Remove every trace instead of serving.
    pub purge: bool,
    /// Another ABI version than this build's own: for the test of a takeover.
    pub abi_version: Option<u32>,
    /// Of the programs' own log; off costs nothing.
    pub log_level: tracing::level_filters::LevelFilter,
}
