//! One agent per directory.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// Held for as long as the agent runs; the kernel lets go of it when the agent dies.
pub struct Lock {
    _file: Flock<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("agent already running (pid {0})")]
    Running(String),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
}

impl Lock {
    /// Takes `directory/agent.lock` and writes our pid into it.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("agent.lock");
        let failed = |source| Error::File {
            path: path.display().to_string(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0).map_err(failed)?;
                file.rewind().map_err(failed)?;
                write!(*file, "{}", std::process::id()).map_err(failed)?;
                Ok(Self { _file: file })
            }
            Err((mut file, _)) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(failed)?;
                Err(Error::Running(pid))
            }
        }
    }
}
