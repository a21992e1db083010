//! Owns one container: its process, its streams, its exit status. A shim is a small program of its own
//! that outlives the agent; the agent ([`spawn`]) and the command line ([`client`]) talk to it over a
//! socket ([`protocol`]).

mod capabilities;
mod cgroup;
pub mod client;
pub mod connection;
mod daemon;
mod environment;
mod exec;
mod filesystem;
mod keyring;
pub mod log;
mod mounts;
mod process;
pub mod protocol;
mod seccomp;
mod service;
pub mod spawn;
mod streams;
mod terminal;
mod user;

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::Path,
    process::ExitCode,
};

/// What can go wrong around a shim.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}: {source}")]
    System { doing: String, source: io::Error },
    /// The command could not be run: Docker's words, and 125, 126 or 127.
    #[error("{message}")]
    Failed { exit_code: i32, message: String },
    #[error("the input device is not a TTY")]
    NotATerminal,
    #[error("shim of {run_dir} ended before it was ready: {message}")]
    NotReady { run_dir: String, message: String },
    #[error("shim closed the connection")]
    Closed,
}

/// Names what was being done when a system call failed.
trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::System {
            doing: what.into(),
            source: source.into(),
        })
    }
}

/// A new file that root alone reads (environments hold passwords), in place of one of that name at once.
fn write_private(path: &Path, text: &[u8]) -> Result<(), Error> {
    let unfinished = path.with_extension("new");
    _ = fs::remove_file(&unfinished);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&unfinished, path))
        .doing(format!("write {}", path.display()))
}

/// Lets the group's members use what was root's alone.
pub(crate) fn open_to_group(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    chown(path, None, Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The hidden subcommand `netswitch shim SPEC`. Returns at once in the caller's process; the shim runs on
/// in the background, in a session of its own. It forks: no thread may have been started before.
pub fn run(spec: &Path) -> ExitCode {
    match daemon::run(spec) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // nobody but `spawn` reads this, and it may have given up waiting
            _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
