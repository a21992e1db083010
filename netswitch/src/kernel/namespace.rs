//! Work inside another network namespace, on a thread that is thrown away afterwards.

use std::{
    borrow::Cow,
    fmt,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    panic,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

use super::{Error, Namespace, Result};
use crate::shim::spawn;

/// Two namespaces are the same if these are.
pub type Identity = (u64, u64);

/// A namespace, opened once for all that is asked of it: its name may lead elsewhere the next time.
#[derive(Debug)]
pub struct Opened<'a> {
    namespace: &'a Namespace,
    /// `None`: the host's own.
    pub file: Option<File>,
}

pub fn open(namespace: &Namespace) -> Result<Opened<'_>> {
    let file = match namespace {
        Namespace::Host => None,
        Namespace::Path(path) => Some(open_given(path)?),
        Namespace::Process { pid, start_time } => {
            let file = File::open(path(namespace));
            // compared after the file is open: whoever has the number later, the file is this process's
            if spawn::start_time(*pid) != Some(*start_time) {
                return Err(Error::NoNamespace(format!("process {pid} has ended")));
            }
            Some(file.map_err(|error| failed("open", namespace, error))?)
        }
    };
    Ok(Opened { namespace, file })
}

/// A file that a user named. It is opened for real once it is known to be a namespace: opening a FIFO waits for a
/// writer, and opening a device may do anything.
fn open_given(path: &Path) -> Result<File> {
    let failed = |error: io::Error| Error::system(format!("open namespace {}", path.display()), error);
    let wrong = |what| Err(Error::NoNamespace(format!("{} is {what}", path.display())));
    let found = File::options().read(true).custom_flags(libc::O_PATH).open(path);
    let found = found.map_err(failed)?;
    let kind = fstatfs(&found).map_err(|error| failed(error.into()))?.filesystem_type();
    if kind != NSFS_MAGIC {
        return wrong("not a namespace");
    }
    let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).map_err(failed)?;
    // SAFETY: the request takes no argument
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) } {
        libc::CLONE_NEWNET => Ok(file),
        _ => wrong("a namespace of another kind"),
    }
}

/// Runs `work` in a namespace. Sockets opened there stay there, so `work` need only open them;
/// `/proc/sys/net` is that of the calling thread.
pub fn in_namespace<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    open(namespace)?.enter(work)
}

impl Opened<'_> {
    /// As [`in_namespace`].
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(target) = &self.file else {
            return Ok(work());
        };
        thread::scope(|scope| {
            let entered = thread::Builder::new()
                .name("namespace".to_owned())
                .spawn_scoped(scope, || {
                    setns(target, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
                    Ok(work())
                })
                .and_then(|worker| worker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
            entered.map_err(|error| failed("enter", self.namespace, error))
        })
    }

    /// Device and inode of the nsfs file.
    pub fn identity(&self) -> Result<Identity> {
        match &self.file {
            Some(file) => file.metadata(),
            None => fs::metadata(path(self.namespace)),
        }
        .map(|found| (found.dev(), found.ino()))
        .map_err(|error| failed("look at", self.namespace, error))
    }

    /// Whether this is the other namespace, too. Almost all others are told apart without opening them.
    pub fn is(&self, other: &Namespace) -> Result<bool> {
        let own = self.identity()?;
        Ok(seen(other) == Some(own)
            && open(other)
                .and_then(|other| other.identity())
                .is_ok_and(|other| other == own))
    }
}

/// What is where the namespace was, without opening it.
pub fn seen(namespace: &Namespace) -> Option<Identity> {
    let found = fs::metadata(path(namespace)).ok()?;
    Some((found.dev(), found.ino()))
}

fn path(namespace: &Namespace) -> Cow<'_, Path> {
    match namespace {
        Namespace::Host => Path::new("/proc/thread-self/ns/net").into(),
        Namespace::Path(path) => path.into(),
        Namespace::Process { pid, .. } => PathBuf::from(format!("/proc/{pid}/ns/net")).into(),
    }
}

fn failed(doing: &str, namespace: &Namespace, error: io::Error) -> Error {
    Error::system(format!("{doing} namespace {namespace}"), error)
}

impl fmt::Display for Namespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => out.write_str("of the host"),
            Self::Path(path) => write!(out, "{}", path.display()),
            Self::Process { pid, .. } => write!(out, "of process {pid}"),
        }
    }
}
