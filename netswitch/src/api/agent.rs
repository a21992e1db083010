//! What `netswitch agent` is asked for.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// `auto`, `none` or devices.
    pub uplinks: Vec<String>,
    pub mode: UplinkMode,
    /// Ports that masquerade gives out: the first, and how many.
    pub masquerade_ports: Option<(u16, u16)>,
    /// Flows that one endpoint may have.
    pub flow_quota: Option<u32>,
    /// Whether the switch itself answers questions for names, where it can.
    pub kernel_names: bool,
    /// Where the host's own programs ask for names.
    pub host_names: SocketAddr,
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
    /// Names the name servers that containers' questions go to.
    pub resolv_conf: PathBuf,
    /// Where Prometheus may ask for the counters.
    pub metrics: Option<SocketAddr>,
    /// Remove every trace instead of serving.
    pub purge: bool,
    /// Another ABI version than this build's own: for the test of a takeover.
    pub abi_version: Option<u32>,
    /// Of the programs' own log; off costs nothing.
    pub log_level: tracing::level_filters::LevelFilter,
}
