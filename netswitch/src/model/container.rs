//! A container: a name, a sandbox and its attachments to networks; ours also has a process.

pub mod attach;
pub mod create;
pub mod dns;
pub mod files;
pub mod inspect;
pub mod lifecycle;
pub mod limits;
pub mod list;
pub mod parse;
pub mod resources;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Id, endpoint::Settings, policy::Leash, publish::Binding};
use dns::Dns;
use limits::Limits;
use resources::Resources;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: Id,
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    pub owner: Owner,
    pub labels: BTreeMap<String, String>,
    /// Empty for `Mode::Host`, where it is the host's, if none was chosen.
    pub hostname: String,
    pub mode: Mode,
    /// By network *name*: as in Docker, a new network with the same name heals a lost one.
    /// For `Mode::Networks` only.
    pub attachments: BTreeMap<String, Settings>,
    /// `--link name:alias` on the default network, resolved when it was asked for.
    pub links: Vec<Link>,
    #[serde(default)]
    pub dns: Dns,
    /// `--egress`.
    #[serde(default)]
    pub egress: Option<Leash>,
    pub process: Process,
    /// `-p`: asked for, whether it runs or not.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// `-P`: a port of the host for each exposed one.
    #[serde(default)]
    pub publish_all: bool,
    #[serde(default)]
    pub limits: Limits,
    pub status: Status,
    /// While it runs.
    pub sandbox: Option<Id>,
}

impl Container {
    pub const fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// (network name, address) of every address that was asked for: kept while it is stopped.
    pub fn reservations(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.attachments.iter().flat_map(|(network, settings)| {
            settings
                .ip
                .into_iter()
                .chain(settings.ip6)
                .map(move |address| (network.as_str(), address))
        })
    }

    /// What `HostConfig.NetworkMode` shows.
    pub fn network_mode(&self) -> String {
        match &self.mode {
            Mode::Networks(network) => network.clone(),
            Mode::None => "none".into(),
            Mode::Host => "host".into(),
            Mode::Container(id) => format!("container:{id}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Made by `netswitch run`: its process is ours.
    Netswitch,
    /// Made by `netswitch attach`: the namespace is somebody else's.
    Attached,
}

/// `--network`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Bridge networks, possibly none; the first that was named is what `HostConfig.NetworkMode` shows
    /// (`none` for a container that left that mode by `network disconnect none`).
    Networks(String),
    None,
    Host,
    /// `container:X`, by id.
    Container(Id),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub container: Id,
    pub alias: String,
}

/// What to run; empty for an attached namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub command: Vec<String>,
    /// `K=V`.
    pub environment: Vec<String>,
    pub directory: Option<String>,
    pub user: Option<String>,
    pub terminal: bool,
    pub interactive: bool,
    /// `HOST:CONTAINER[:ro]`, checked.
    pub binds: Vec<String>,
    /// `name:address`, checked.
    pub extra_hosts: Vec<String>,
    /// `8080/tcp`, checked.
    pub exposed: Vec<String>,
    pub remove: bool,
    pub resources: Resources,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Created {
        error: String,
        exit_code: i32,
    },
    Running {
        pid: i32,
        started: String,
    },
    Exited {
        exit_code: i32,
        started: String,
        finished: String,
        error: String,
    },
}
