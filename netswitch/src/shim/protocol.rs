//! What is said over a shim's socket (`SOCK_SEQPACKET`, one JSON message a packet, file descriptors
//! beside it).

use serde::{Deserialize, Serialize};

/// To the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToShim {
    /// The network is ready: run the command. `after_attach`: only once a client has attached.
    Start { after_attach: bool },
    /// Standard input, output and error come along as three descriptors; the shim copies into and
    /// from them and tells this connection how the process ends.
    Attach,
    /// Runs another process in the container; three descriptors come along.
    Exec(Exec),
    /// Size of the client's terminal.
    Resize { rows: u16, columns: u16 },
    /// To the process this connection started or attached to; on a connection of the agent's, to the container's.
    Signal { signal: i32 },
    /// Answered by [`FromShim::Exited`] when the container's process ends.
    Wait,
}

/// From the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromShim {
    Started {
        pid: i32,
    },
    /// The command could not be run: Docker's words, 126 or 127; 125 when the container could not be made.
    Failed {
        exit_code: i32,
        message: String,
    },
    /// 128 + n for signal n.
    Exited {
        exit_code: i32,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    pub command: Vec<String>,
    pub environment: Vec<String>,
    pub directory: Option<String>,
    pub user: Option<String>,
    pub terminal: bool,
    pub interactive: bool,
}

/// What `netswitch shim` reads from the file it is given: one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub id: String,
    pub hostname: String,
    pub process: Exec,
    pub namespace: NetworkNamespace,
    /// `HOST:CONTAINER[:ro]`.
    pub binds: Vec<String>,
    /// Folder of this container under the run directory: spec, socket, hosts, resolv.conf, hostname, exit status.
    pub run_dir: std::path::PathBuf,
    /// Standard output and error, one JSON line a write, as Docker's json-file.
    pub log: std::path::PathBuf,
    /// Folders the container must not see: the agent's state and run directories.
    #[serde(default)]
    pub hidden: Vec<std::path::PathBuf>,
    #[serde(default)]
    pub limits: Limits,
    /// The group whose members may ask the shim; else root alone may.
    #[serde(default)]
    pub group: Option<u32>,
}

/// What all of a container's processes together may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    pub pids: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkNamespace {
    /// A new one.
    New,
    /// The one the shim was started in.
    Host,
    /// This file (`container:X`).
    Path(std::path::PathBuf),
    /// That of this process, while it lives: its number may be another's later.
    Process { pid: i32, start_time: u64 },
}

/// One line on the shim's standard output once the namespaces exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The process that holds the namespaces and will run the command; `/proc/PID/ns/net` is the sandbox.
    pub pid: i32,
    pub start_time: u64,
    /// The shim itself.
    pub shim: i32,
}

/// Names inside [`Spec::run_dir`].
pub const SOCKET: &str = "shim.sock";
pub const SPEC: &str = "spec.json";
pub const HOSTS: &str = "hosts";
pub const RESOLV_CONF: &str = "resolv.conf";
/// What the agent wrote there last: of what it finds changed it keeps its hands.
pub const RESOLV_CONF_WRITTEN: &str = "resolv.conf.written";
pub const HOSTNAME: &str = "hostname";
/// The [`Ready`] line, for an agent that comes later.
pub const READY: &str = "ready.json";
/// The exit code as a decimal number, written before the shim ends.
pub const EXIT_CODE: &str = "exit-code";
