//! Starts a process in a container, the first one or another. Two forks: the outer child enters or makes
//! the namespaces and forks again, because a PID namespace holds only children made after it was entered;
//! the shim, a subreaper, then becomes the parent of the inner child.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl::set_dumpable,
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use serde::{Deserialize, Serialize};

use super::{
    Doing as _, Error, cgroup,
    connection::Connection,
    exec,
    protocol::{Exec, NetworkNamespace, Spec},
    spawn,
};

/// Where a process is to run.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// In namespaces of its own, as the container's first process.
    New,
    /// Beside this one (a pidfd).
    Beside(BorrowedFd<'a>),
}

/// Standard input, output and error; `None`: a terminal of the container's, told by [`Report::Prepared`].
pub(super) type Streams = Option<[OwnedFd; 3]>;

/// A child of the shim's.
pub(super) struct Process {
    pub(super) pid: i32,
    /// A pidfd: readable once the process has ended, and never another process that got the same number.
    pub(super) handle: OwnedFd,
    /// [`Report`]s come from it; it closes when the command is running or the process has died.
    pub(super) channel: Connection,
}

/// From a process that is not yet its command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    Forked {
        pid: i32,
    },
    /// Only [`Go`] is awaited now. The shim's end of the terminal comes along, if there is one.
    Prepared,
    Failed {
        exit_code: i32,
        message: String,
    },
}

/// To a process that is prepared: run the command.
#[derive(Serialize, Deserialize)]
pub(super) struct Go;

impl Process {
    /// What `process` says is complete: nothing is looked up in `spec` but the container's own.
    pub(super) fn start(spec: &Spec, process: &Exec, place: Place, streams: Streams) -> Result<Process, Error> {
        let (channel, inners) = Connection::pair().doing("create a channel")?;
        let (from_outer, outers) = Connection::pair().doing("create a channel")?;
        // SAFETY: the child runs only what follows and ends by exec or _exit. It may allocate although other
        // threads exist, because glibc keeps malloc usable across fork; it takes no lock of ours.
        let outer = match unsafe { fork() }.doing("fork")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop((channel, from_outer));
                end_with(|| enter_and_fork(spec, process, place, streams, outers, &inners))
            }
        };
        drop((inners, outers, streams));
        let forked = from_outer.receive();
        _ = waitpid(outer, None);
        match forked.doing("start a process")? {
            Some((Report::Forked { pid }, _)) => Process::adopt(pid, channel),
            Some((Report::Failed { exit_code, message }, _)) => Err(Error::Failed { exit_code, message }),
            Some((Report::Prepared, _)) | None => Err(Error::Closed),
        }
    }

    /// A child that cannot be watched must not stay: unreaped it would keep its container from ending.
    fn adopt(pid: i32, channel: Connection) -> Result<Process, Error> {
        match handle(pid) {
            Ok(handle) => Ok(Process { pid, handle, channel }),
            Err(error) => {
                _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                _ = waitpid(Pid::from_raw(pid), None);
                Err(error).doing(format!("open process {pid}"))
            }
        }
    }

    pub(super) fn signal(&self, signal: i32) {
        send_signal(self.handle.as_fd(), signal);
    }

    /// Waits for the end: 128 + n for signal n.
    pub(super) fn wait(&self) -> i32 {
        loop {
            match waitpid(Pid::from_raw(self.pid), None) {
                Ok(WaitStatus::Exited(_, exit_code)) => return exit_code,
                Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return 255,
            }
        }
    }
}

/// A pidfd.
pub(super) fn handle(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let handle = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let handle = i32::try_from(handle).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(handle) })
}

/// A process that has ended gets none.
pub(super) fn send_signal(process: BorrowedFd, signal: i32) {
    let information = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null pointer asks for a siginfo as kill(2) makes it.
    _ = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, information, 0) };
}

/// The outer child; each of the two has its own channel, for the inner may be the faster one.
fn enter_and_fork(
    spec: &Spec,
    process: &Exec,
    place: Place,
    streams: Streams,
    channel: Connection,
    inners: &Connection,
) -> Result<(), Error> {
    if let Err(error) = enter(spec, place) {
        return report(&channel, place, error);
    }
    // SAFETY: as above; this process has one thread.
    match unsafe { fork() } {
        Err(error) => report(
            &channel,
            place,
            Error::System {
                doing: "fork".to_owned(),
                source: error.into(),
            },
        ),
        Ok(ForkResult::Parent { child }) => channel
            .send(&Report::Forked { pid: child.as_raw() }, &[])
            .doing("report"),
        Ok(ForkResult::Child) => {
            drop(channel);
            end_with(|| match exec::run(spec, process, place, streams, inners) {
                Ok(never) => match never {},
                Err(error) => report(inners, place, error),
            })
        }
    }
}

fn enter(spec: &Spec, place: Place) -> Result<(), Error> {
    // until the command runs, /proc/PID/exe names netswitch's own file: keep it out of the container's reach
    set_dumpable(false).doing("hide the executable")?;
    match place {
        Place::New => cgroup::make(&spec.id, &spec.limits)?,
        Place::Beside(_) => cgroup::join(&spec.id),
    }
    // the cgroup that it is in becomes the root of those that it sees
    let own = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    match (place, &spec.namespace) {
        (Place::Beside(first), _) => setns(first, own | CloneFlags::CLONE_NEWNET).doing("enter the container"),
        (Place::New, NetworkNamespace::New) => unshare(own | CloneFlags::CLONE_NEWNET).doing("make namespaces"),
        (Place::New, NetworkNamespace::Host) => unshare(own).doing("make namespaces"),
        (Place::New, NetworkNamespace::Path(path)) => {
            let doing = format!("enter network namespace {}", path.display());
            // what is no namespace is refused below: a FIFO must not make us wait for a writer first
            let namespace = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
            let namespace = namespace.doing(doing.clone())?;
            setns(namespace, CloneFlags::CLONE_NEWNET).doing(doing)?;
            unshare(own).doing("make namespaces")
        }
        (Place::New, NetworkNamespace::Process { pid, start_time }) => {
            let doing = format!("enter the network namespace of process {pid}");
            let namespace = File::open(format!("/proc/{pid}/ns/net")).doing(doing.clone())?;
            // compared after the file is open: it is that process's then, whoever has the number later
            if spawn::start_time(*pid) != Some(*start_time) {
                return Err(Errno::ESRCH).doing(doing);
            }
            setns(namespace, CloneFlags::CLONE_NEWNET).doing(doing)?;
            unshare(own).doing("make namespaces")
        }
    }
}

fn report(channel: &Connection, place: Place, error: Error) -> Result<(), Error> {
    let failed = match (error, place) {
        (Error::Failed { exit_code, message }, _) => Report::Failed { exit_code, message },
        (error, Place::New) => Report::Failed {
            exit_code: 125,
            message: format!("OCI runtime create failed: {error}: unknown"),
        },
        (error, Place::Beside(_)) => Report::Failed {
            exit_code: 126,
            message: format!("OCI runtime exec failed: {error}: unknown"),
        },
    };
    channel.send(&failed, &[]).doing("report")
}

/// A forked child must never return into its parent's code.
fn end_with(run: impl FnOnce() -> Result<(), Error>) -> ! {
    let ended = catch_unwind(AssertUnwindSafe(run));
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(if matches!(ended, Ok(Ok(()))) { 0 } else { 255 }) }
}
