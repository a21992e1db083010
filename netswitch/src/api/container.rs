//! Containers and their ports, as they are asked for and as they are listed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{container::limits::Change, endpoint::Settings, publish::Protocol};

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
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// As typed, `a:443,b:80`.
    #[serde(default)]
    pub egress: Vec<String>,
    pub links: Vec<String>,
    pub expose: Vec<String>,
    pub publish: Vec<String>,
    pub publish_all: bool,
    pub limits: Change,
    /// Bytes; 0: no limit.
    pub memory: u64,
    /// 0 or less: no limit.
    pub pids_limit: i64,
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
    pub dns: Vec<String>,
    #[serde(default)]
    pub egress: Vec<String>,
    #[serde(default)]
    pub publish: Vec<String>,
    #[serde(default)]
    pub limits: Change,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceOf {
    Path(PathBuf),
    Process(i32),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitCondition {
    /// Holds at once where nothing runs.
    #[default]
    NotRunning,
    /// The end of the run that there is, or of the next one.
    NextExit,
    Removed,
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
