//! The last steps of a process inside the container: its root, its streams, its user, its command.

use std::{
    convert::Infallible,
    ffi::CString,
    fs,
    io::{self, IsTerminal as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, fchown},
        },
    },
    path::Path,
    ptr,
};

use nix::{
    errno::Errno,
    sys::{
        prctl::set_pdeathsig,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        stat::{Mode, umask},
    },
    unistd::{
        Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setgroups, sethostname, setresgid, setresuid,
        setsid,
    },
};

use super::{
    Doing as _, Error, capabilities,
    connection::Connection,
    environment::{environment, find_command},
    filesystem, keyring,
    process::{Go, Place, Report, Streams},
    protocol::{Exec, Spec},
    seccomp, terminal,
    user::{self, Identity},
};

/// Returns only with what went wrong.
pub(super) fn run(
    spec: &Spec,
    process: &Exec,
    place: Place,
    streams: Streams,
    channel: &Connection,
) -> Result<Infallible, Error> {
    let first = matches!(place, Place::New);
    if first {
        sethostname(&spec.hostname).doing("set the host name")?;
        filesystem::enter(spec)?;
    }
    let streams = match streams {
        Some(streams) => {
            channel.send(&Report::Prepared, &[]).doing("report")?;
            streams
        }
        None => open_terminal(channel)?,
    };
    if channel.receive::<Go>().doing("wait for the start")?.is_none() {
        return Err(Error::Closed);
    }
    setsid().doing("start a session")?;
    take_streams(streams).doing("set standard streams")?;
    if process.terminal {
        terminal::control().doing("set the terminal")?;
    }
    umask(Mode::from_bits_truncate(0o022));
    let identity = identity(process, first)?;
    if first || process.terminal {
        give_streams(&identity).doing("give the user the standard streams")?;
    }
    let directory = process.directory.as_deref().unwrap_or("/");
    if first {
        // as Docker does; the host is out of reach
        _ = fs::create_dir_all(directory);
    }
    chdir(directory).map_err(|error| {
        failure(
            first,
            (
                126,
                format!("chdir to cwd ({directory:?}) failed: {}", words(&error.into())),
            ),
        )
    })?;
    let environment = environment(&spec.hostname, process.terminal, &identity.home, &process.environment);
    become_user(&identity)?;
    if first {
        die_with_the_shim(channel)?;
    }
    let command = process.command.first().map_or("", String::as_str);
    let path = find_command(command, &environment).map_err(|error| failure(first, error))?;
    let Err(error) = execute(&path, &process.command, &environment);
    let exit_code = if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    Err(failure(
        first,
        (exit_code, format!("exec: {command:?}: {}", words(&error))),
    ))
}

fn open_terminal(channel: &Connection) -> Result<[OwnedFd; 3], Error> {
    let (master, slave) = terminal::open_pair().doing("open a terminal")?;
    channel.send(&Report::Prepared, &[master.as_raw_fd()]).doing("report")?;
    let copy = || slave.try_clone().doing("open a terminal");
    Ok([copy()?, copy()?, slave])
}

fn take_streams([input, output, errors]: [OwnedFd; 3]) -> nix::Result<()> {
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    dup2_stderr(errors)
}

fn identity(process: &Exec, first: bool) -> Result<Identity, Error> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let user = process.user.as_deref().unwrap_or_default();
    user::resolve(user, &read("/etc/passwd"), &read("/etc/group")).map_err(|message| Error::Failed {
        exit_code: if first { 125 } else { 126 },
        message,
    })
}

/// The shim's pipes and the container's terminal are the user's to open again by /proc/self/fd; what a client
/// handed over stays the client's.
fn give_streams(identity: &Identity) -> io::Result<()> {
    for stream in [io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()] {
        let metadata = fs::metadata(format!("/proc/self/fd/{}", stream.as_raw_fd()))?;
        if metadata.file_type().is_fifo() || stream.is_terminal() {
            fchown(stream, Some(identity.uid), None)?;
        }
    }
    Ok(())
}

/// From here on no privilege comes back.
fn become_user(identity: &Identity) -> Result<(), Error> {
    keyring::join_new().doing("join a session keyring")?;
    seccomp::install().doing("filter system calls")?;
    capabilities::bound().doing("bound capabilities")?;
    let doing = || format!("become user {}", identity.uid);
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).doing(doing())?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    setresgid(gid, gid, gid).doing(doing())?;
    setresuid(uid, uid, uid).doing(doing())?;
    if uid.is_root() {
        capabilities::reduce().doing("reduce capabilities")?;
    }
    Ok(())
}

/// To be called after the user is set, which would clear it. Executing a set-user-id file clears it as well;
/// such a container is ended by the agent that misses the shim.
fn die_with_the_shim(channel: &Connection) -> Result<(), Error> {
    set_pdeathsig(Signal::SIGKILL).doing("set the parent death signal")?;
    if channel.is_closed() {
        Err(Error::Closed)
    } else {
        Ok(())
    }
}

fn execute(path: &Path, command: &[String], environment: &[String]) -> io::Result<Infallible> {
    let strings = |all: &[String]| {
        let strings: Result<Vec<_>, _> = all.iter().map(|text| CString::new(text.as_str())).collect();
        strings
    };
    let program = CString::new(path.as_os_str().as_bytes())?;
    let (arguments, environment) = (strings(command)?, strings(environment)?);
    // all of them, also the two that glibc keeps for itself: zero is SIG_DFL, no flags, an empty mask
    let default = [0u64; 4];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads its sigaction, 32 bytes with an 8-byte mask, which live through the call;
        // signals that cannot be set are refused and stay default.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // SAFETY: nothing is closed yet, and nothing is opened before exec closes it all.
    Errno::result(unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) })?;
    Ok(execve(&program, &arguments, &environment)?)
}

/// Docker's words around what happened.
fn failure(first: bool, (exit_code, cause): (i32, String)) -> Error {
    if first {
        let message = format!("OCI runtime create failed: starting container process caused: {cause}: unknown");
        Error::Failed { exit_code, message }
    } else {
        let message =
            format!("OCI runtime exec failed: exec failed: starting container process caused: {cause}: unknown");
        Error::Failed {
            exit_code: 126,
            message,
        }
    }
}

/// An error as Go words it.
fn words(error: &io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_lowercase())
}
