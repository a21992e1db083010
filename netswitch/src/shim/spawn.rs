//! The agent's side: starts shims, tells whether they live, learns how their containers end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    Doing as _, Error, cgroup,
    connection::Connection,
    mounts::{self, Depth, READ_ONLY},
    process,
    protocol::{EXIT_CODE, FromShim, READY, Ready, SOCKET, SPEC, Spec, ToShim},
    write_private,
};

/// A shim that makes no namespaces in this time makes none. The kernel makes no network namespace while it
/// destroys others: after the end of 1,500 containers that took more than ten seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A command that does not run in this time (its root may hang on a dead file system) never does.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Of a container whose shim was killed.
const LOST: i32 = 255;
/// In milliseconds, for a process killed.
const ENDS_WITHIN: u16 = 10_000;
/// In milliseconds, for a shim whose container has ended; then nobody waits for its clients.
const SHIM_ENDS_WITHIN: u16 = 2_000;

/// Starts a shim and waits until the container's namespaces exist; blocks. `executable` is netswitch itself.
/// The command runs after [`start`].
///
/// The shim runs from a read-only mount that nobody else sees, for a process in the container could
/// otherwise reach the file by /proc/PID/exe and write to it.
pub fn spawn(executable: &Path, spec: &Spec) -> Result<(Ready, Connection), Error> {
    let path = spec.run_dir.join(SPEC);
    let text = serde_json::to_vec(spec).doing("write spec")?;
    write_private(&path, &text)?;
    let doing = || format!("start a shim from {}", executable.display());
    let program = mounts::clone_tree(executable, Depth::One).doing(doing())?;
    mounts::restrict(program.as_fd(), Depth::One, READ_ONLY).doing(doing())?;
    let mut starter = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0("netswitch")
        .arg("shim")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(doing())?;
    let (output, errors) = (starter.stdout.take(), starter.stderr.take());
    // the starter ends at once; the shim is nobody's child but init's
    starter.wait().doing(doing())?;
    let until = Instant::now() + READY_WITHIN;
    let line = output.and_then(|output| first_line(output, until));
    if let Some(line) = &line {
        write_private(&spec.run_dir.join(READY), line)?;
    }
    if let Some(ready) = line.and_then(|line| serde_json::from_slice(&line).ok()) {
        return Ok((ready, connect(&spec.run_dir)?));
    }
    let mut message = Vec::new();
    _ = errors.and_then(|errors| available(errors, &mut message));
    let mut message = String::from_utf8_lossy(&message).trim().to_owned();
    if message.is_empty() && Instant::now() >= until {
        message = format!("no namespaces within {READY_WITHIN:?}");
    }
    Err(Error::NotReady {
        run_dir: spec.run_dir.display().to_string(),
        message,
    })
}

/// To the shim of a container that runs already.
pub fn connect(run_dir: &Path) -> Result<Connection, Error> {
    Connection::open(&run_dir.join(SOCKET))
}

/// Runs the container's command: at once, or when a client has attached; blocks until it runs, for half a
/// minute at most: then it is killed. The answer is its process id, the same as [`Ready::pid`].
pub fn start(connection: &Connection, after_attach: bool) -> Result<i32, Error> {
    start_within(connection, after_attach, STARTS_WITHIN)
}

fn start_within(connection: &Connection, after_attach: bool, limit: Duration) -> Result<i32, Error> {
    connection
        .send(&ToShim::Start { after_attach }, &[])
        .doing("start the container")?;
    let answer = connection.receive_within(limit);
    if answer
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    {
        let signal = libc::SIGKILL;
        // a shim that cannot be told ends the container itself
        _ = connection.send(&ToShim::Signal { signal }, &[]);
        return Err(Error::Failed {
            exit_code: 125,
            message: format!("OCI runtime create failed: not started within {limit:?}: unknown"),
        });
    }
    match answer.doing("start the container")? {
        Some((FromShim::Started { pid }, _)) => Ok(pid),
        Some((FromShim::Failed { exit_code, message }, _)) => Err(Error::Failed { exit_code, message }),
        Some((FromShim::Exited { .. }, _)) | None => Err(Error::Closed),
    }
}

/// To the container's first process. A shim that has gone is no error: its container has ended, and whoever
/// watches it is about to hear so.
pub fn signal(run_dir: &Path, signal: i32) -> Result<(), Error> {
    let sent =
        connect(run_dir).and_then(|shim| shim.send(&ToShim::Signal { signal }, &[]).doing("signal the container"));
    match sent {
        Err(Error::System { source, .. }) if has_gone(&source) => Ok(()),
        sent => sent,
    }
}

/// What a socket says of a process that has closed it, or removed its path.
fn has_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
    )
}

/// The container's exit code, once it has ended: the shim's word, else what it wrote before it ended, else 255. A
/// container that outlived its shim is ended first: `ready` says which processes they are. A task: it takes no thread.
pub async fn exit_code(run_dir: &Path, id: String, ready: Ready) -> i32 {
    if let Some(exit_code) = wait_exit(run_dir).await {
        return exit_code;
    }
    let end = move || {
        end_orphan(&ready);
        cgroup::remove(&id);
    };
    _ = tokio::task::spawn_blocking(end).await;
    LOST
}

/// Waits for the container's end; `None` when its shim was killed.
pub async fn wait_exit(run_dir: &Path) -> Option<i32> {
    let told = told_exit_code(run_dir).await;
    told.or_else(|| written_exit_code(run_dir))
}

async fn told_exit_code(run_dir: &Path) -> Option<i32> {
    let connection = connect(run_dir).ok()?;
    connection.send(&ToShim::Wait, &[]).ok()?;
    connection.is_ready().await.ok()?;
    match connection.receive().ok()?? {
        (FromShim::Exited { exit_code } | FromShim::Failed { exit_code, .. }, _) => Some(exit_code),
        (FromShim::Started { .. }, _) => None,
    }
}

/// The processes of a container, as its shim named them.
pub fn ready(run_dir: &Path) -> Option<Ready> {
    serde_json::from_slice(&fs::read(run_dir.join(READY)).ok()?).ok()
}

/// The exit code of a container that runs no more; `None` while it does.
pub fn found_dead(run_dir: &Path) -> Option<i32> {
    if ready(run_dir).is_some_and(|ready| is_alive(ready.pid, ready.start_time)) {
        return None;
    }
    Some(written_exit_code(run_dir).unwrap_or(LOST))
}

/// Ends a container whatever it does, and its shim: nobody writes to the run directory any more. Blocks, some
/// seconds at most.
pub fn kill(run_dir: &Path) {
    let Some(ready) = ready(run_dir) else {
        return kill_unknown(run_dir);
    };
    let shim = process::handle(ready.shim)
        .ok()
        .filter(|_| is_shim_of(ready.shim, run_dir));
    end_orphan(&ready);
    if let Some(shim) = shim
        && !ends(shim.as_fd(), SHIM_ENDS_WITHIN)
    {
        process::send_signal(shim.as_fd(), libc::SIGKILL);
        ends(shim.as_fd(), ENDS_WITHIN);
    }
}

/// Ends a shim whose agent died before it had heard who it is. The kernel kills the container with it.
fn kill_unknown(run_dir: &Path) {
    // the starter, and the shim that it may have forked meanwhile
    for _ in 0..4 {
        let Some(shim) = find_shim(run_dir) else { return };
        if let Ok(process) = process::handle(shim) {
            process::send_signal(process.as_fd(), libc::SIGKILL);
            ends(process.as_fd(), ENDS_WITHIN);
        }
    }
}

fn find_shim(run_dir: &Path) -> Option<i32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers.find(|number| is_shim_of(*number, run_dir))
}

/// Its number may be another process's by now.
fn is_shim_of(pid: i32, run_dir: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
    let spec = (arguments.next() == Some(b"shim"))
        .then(|| arguments.next())
        .flatten()
        .and_then(|spec| fs::canonicalize(OsStr::from_bytes(spec)).ok());
    spec.is_some() && spec == fs::canonicalize(run_dir.join(SPEC)).ok()
}

/// Waits for the end of a process, so many milliseconds at most.
fn ends(process: BorrowedFd, within: u16) -> bool {
    poll(&mut [PollFd::new(process, PollFlags::POLLIN)], within).is_ok_and(|ready| ready > 0)
}

/// What a shim that has ended left behind.
pub fn written_exit_code(run_dir: &Path) -> Option<i32> {
    fs::read_to_string(run_dir.join(EXIT_CODE)).ok()?.trim().parse().ok()
}

/// The kernel kills a container with its shim, unless its command is a set-user-id file. Waits for the end.
fn end_orphan(ready: &Ready) {
    let Ok(process) = process::handle(ready.pid) else {
        return;
    };
    if is_alive(ready.pid, ready.start_time) {
        process::send_signal(process.as_fd(), libc::SIGKILL);
        ends(process.as_fd(), ENDS_WITHIN);
    }
}

/// Whether the process that had this number then still runs; a zombie does not.
pub fn is_alive(pid: i32, start_time: u64) -> bool {
    stat(pid).is_some_and(|(state, started)| started == start_time && state != 'Z' && state != 'X')
}

/// In clock ticks since the machine's start: field 22 of /proc/PID/stat.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, started)| started)
}

fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name (field 2) may contain anything, brackets and spaces too.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn first_line(output: impl Into<std::os::fd::OwnedFd>, until: Instant) -> Option<Vec<u8>> {
    let mut output = File::from(output.into());
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return None,
            Err(Errno::EINTR) => continue,
            Ok(_) | Err(_) => {}
        }
        let mut chunk = [0; 256];
        match output.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(length) => line.extend_from_slice(&chunk[..length]),
        }
    }
    Some(line)
}

/// What can be read without waiting.
fn available(source: impl Into<std::os::fd::OwnedFd>, text: &mut Vec<u8>) -> Option<()> {
    let mut source = File::from(source.into());
    let mut chunk = [0; 4096];
    while poll(&mut [PollFd::new(source.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).ok()? > 0 {
        match source.read(&mut chunk).ok()? {
            0 => break,
            length => text.extend_from_slice(&chunk[..length]),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::connection::Listener;
    use super::*;

    #[test]
    fn a_start_without_an_answer_is_killed_in_time() {
        let (agent, shim) = Connection::pair().unwrap();
        let error = start_within(&agent, false, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("not started within 20ms"), "{error}");
        let next = || shim.receive::<ToShim>().unwrap().unwrap().0;
        assert_eq!(next(), ToShim::Start { after_attach: false });
        assert_eq!(next(), ToShim::Signal { signal: libc::SIGKILL });
    }

    #[test]
    fn a_signal_to_a_container_that_has_just_ended_is_no_error() {
        let run_dir = std::env::temp_dir().join(format!("netswitch-ended-{}", std::process::id()));
        fs::create_dir_all(&run_dir).unwrap();
        let signalled = signal(&run_dir, libc::SIGKILL);
        let listener = Listener::bind(&run_dir, None).unwrap();
        drop(listener);
        let refused = signal(&run_dir, libc::SIGKILL);
        fs::remove_dir_all(&run_dir).unwrap();
        signalled.unwrap();
        refused.unwrap();
        assert!(signal(Path::new("/proc/self/status"), libc::SIGKILL).is_err());
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let text = "42 (a) (b c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 10 11";
        assert_eq!(parse_stat(text), Some(('S', 98765)));
        let own = std::process::id().cast_signed();
        let started = start_time(own).unwrap();
        assert!(is_alive(own, started));
        assert!(!is_alive(own, started + 1));
        assert!(!is_alive(i32::MAX, started));
    }
}
