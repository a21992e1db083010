//! A container: a name, a sandbox and its attachments to networks; ours also has a process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Id, endpoint::Settings};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: Id,
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    pub owner: Owner,
    pub labels: BTreeMap<String, String>,
    pub hostname: String,
    pub mode: Mode,
    /// By network *name*: as in Docker, a new network with the same name heals a lost one.
    /// For `Mode::Networks` only.
    pub attachments: BTreeMap<String, Settings>,
    /// `--link name:alias`, resolved at start.
    pub links: Vec<Link>,
    pub process: Process,
    pub status: Status,
    /// While it runs.
    pub sandbox: Option<Id>,
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
    /// One or more bridge networks; the first that was named is what `HostConfig.NetworkMode` shows.
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
