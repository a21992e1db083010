//! Work inside another network namespace, on a thread that is thrown away afterwards.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    panic,
    path::Path,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::{Error, Namespace, Result};

/// Runs `work` in a namespace. Sockets opened there stay there, so `work` need only open them;
/// `/proc/sys/net` is that of the calling thread.
pub fn in_namespace<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    let Some(target) = open(namespace)? else {
        return Ok(work());
    };
    thread::scope(|scope| {
        let entered = thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, || {
                setns(&target, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
                Ok(work())
            })
            .and_then(|worker| worker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
        entered.map_err(|error| Error::system(format!("enter namespace {namespace}"), error))
    })
}

/// Two namespaces are the same if these are (device and inode of the nsfs file).
pub fn identity(namespace: &Namespace) -> Result<(u64, u64)> {
    let path = match namespace {
        Namespace::Host => Path::new("/proc/thread-self/ns/net"),
        Namespace::Path(path) => path,
    };
    let found = fs::metadata(path).map_err(|error| Error::system(format!("look at namespace {namespace}"), error))?;
    Ok((found.dev(), found.ino()))
}

/// `None`: the host's own.
pub fn open(namespace: &Namespace) -> Result<Option<File>> {
    match namespace {
        Namespace::Host => Ok(None),
        Namespace::Path(path) => File::open(path)
            .map(Some)
            .map_err(|error| Error::system(format!("open namespace {namespace}"), error)),
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => out.write_str("of the host"),
            Self::Path(path) => write!(out, "{}", path.display()),
        }
    }
}
