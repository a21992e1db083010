//! Between two agents: a small process holds the sockets that containers' questions arrive at, so that those which
//! come while there is no agent wait for the next one.

use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// Where the next agent asks for them, in the run folder.
const SOCKET: &str = "names.sock";
/// How long questions wait; then whoever asks is told that nobody listens.
const HELD: Duration = Duration::from_secs(10);
/// How often the process looks for the next agent, and whether its folder is still there.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the process may take to hand everything over.
const HANDOVER: Duration = Duration::from_secs(2);
/// As many as one message carries (`SCM_MAX_FD`), and some less.
const AT_ONCE: usize = 200;

/// Leaves the sockets to a process of their own.
pub fn leave(run: &Path, sockets: &[OwnedFd]) -> io::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let path = place(run);
    remove(&path)?;
    let listener = UnixListener::bind(&path)?;
    // whoever connects gets them
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let (ours, theirs) = UnixStream::pair()?;
    Command::new("/proc/self/exe")
        .arg0("netswitch")
        .arg("interim")
        .arg(&path)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::null())
        // what ends the agent at a terminal does not end it
        .process_group(0)
        .spawn()?;
    send(&ours, sockets)
}

/// What the last agent has left, if its process still holds it; it ends.
pub fn take(run: &Path) -> io::Result<Vec<OwnedFd>> {
    let path = place(run);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            remove(&path)?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(HANDOVER))?;
    let sockets = receive(&stream);
    remove(&path)?;
    sockets
}

/// That process: takes the sockets from its standard input and hands them to whoever connects to its standard output.
pub fn hold(path: &Path) -> io::Result<()> {
    // SAFETY: the agent has started this process with these two, which nothing else here uses
    let [given, listener] = [0, 1].map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    let (given, listener) = (UnixStream::from(given), UnixListener::from(listener));
    let sockets = receive(&given)?;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + HELD;
    while Instant::now() < end && path.exists() {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(HANDOVER))?;
                return send(&stream, &sockets);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    remove(path)
}

fn place(run: &Path) -> PathBuf {
    run.join(SOCKET)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The end of the stream is the end of the sockets.
fn send(stream: &UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    for some in sockets.chunks(AT_ONCE) {
        let numbers: Vec<RawFd> = some.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<UnixAddr>(
            stream.as_raw_fd(),
            &[IoSlice::new(&[0])],
            &rights,
            MsgFlags::empty(),
            None,
        )?;
    }
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut sockets = Vec::new();
    loop {
        let mut byte = [0];
        let mut slices = [IoSliceMut::new(&mut byte)];
        let mut space = cmsg_space!([RawFd; AT_ONCE]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has just made them for this process, and nobody else knows them
                sockets.extend(numbers.iter().map(|number| unsafe { OwnedFd::from_raw_fd(*number) }));
            }
        }
        if received.bytes == 0 {
            return Ok(sockets);
        }
    }
}
