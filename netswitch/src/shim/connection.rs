//! One end of a shim's socket: a JSON message a packet, file descriptors beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{
            AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
            accept4, bind, connect, listen, recv, recvmsg, sendmsg, socket, socketpair,
        },
        stat::{Mode, umask},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{Interest, unix::AsyncFd};

use super::{Doing as _, Error, open_to_group, protocol::SOCKET};

/// Standard input, output and error.
const MOST_DESCRIPTORS: usize = 3;

/// A packet is sent whole or not at all, so one connection may be written to by several threads.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

impl Connection {
    /// To a shim, by the path of its socket.
    pub fn open(path: &Path) -> Result<Connection, Error> {
        let doing = || format!("connect to {}", path.display());
        let (_folder, address) = address(path.parent().unwrap_or(path)).doing(doing())?;
        let socket = new_socket().doing(doing())?;
        connect(socket.as_raw_fd(), &address).doing(doing())?;
        Ok(Connection { socket })
    }

    /// Two ends between a process and its child.
    pub(super) fn pair() -> io::Result<(Connection, Connection)> {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Connection { socket: one }, Connection { socket: other }))
    }

    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[RawFd]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let rights = [ControlMessage::ScmRights(descriptors)];
        let control = if descriptors.is_empty() {
            &rights[..0]
        } else {
            &rights[..]
        };
        sendmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&text)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }

    /// Waits for a message; `None` when the other end has closed.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(length) = closed_as_none(self.next_length())? else {
            return Ok(None);
        };
        let mut text = vec![0; length];
        let mut space = cmsg_space!([RawFd; MOST_DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let packet = recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let mut descriptors = Vec::new();
        for message in packet.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = message {
                // SAFETY: the kernel has just made these descriptors for this message; nobody else owns them.
                descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        Ok(Some((serde_json::from_slice(&text)?, descriptors)))
    }

    /// As [`Connection::receive`], but an error of kind `TimedOut` when nothing comes in time.
    pub(super) fn receive_within<T: DeserializeOwned>(&self, limit: Duration) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let until = Instant::now() + limit;
        loop {
            let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now()));
            let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut watched, left.unwrap_or(PollTimeout::MAX)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::EINTR) => {}
                other => {
                    other?;
                    return self.receive();
                }
            }
        }
    }

    /// Waits, as a task, for a message or for the other end to close.
    pub(super) async fn is_ready(&self) -> io::Result<()> {
        let socket = self.socket.as_raw_fd();
        // SAFETY: the socket is open as long as `self` is borrowed, which is longer than what is made here lives
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)?;
        socket.readable().await.map(drop)
    }

    /// Whether the other end has closed.
    pub(super) fn is_closed(&self) -> bool {
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn next_length(&self) -> Result<usize, Errno> {
        loop {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
            match recv(self.socket.as_raw_fd(), &mut [], flags) {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a shim takes its connections.
pub(super) struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Root alone may connect, and who is of the group.
    pub(super) fn bind(run_dir: &Path, group: Option<u32>) -> Result<Listener, Error> {
        let doing = || format!("listen on {}", run_dir.join(SOCKET).display());
        let (_folder, address) = address(run_dir).doing(doing())?;
        // of an earlier run of the same container
        _ = fs::remove_file(run_dir.join(SOCKET));
        let socket = new_socket().doing(doing())?;
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = bind(socket.as_raw_fd(), &address);
        umask(before);
        bound.doing(doing())?;
        if let Some(group) = group {
            open_to_group(&run_dir.join(SOCKET), group, 0o660).doing(doing())?;
        }
        listen(&socket, Backlog::MAXCONN).doing(doing())?;
        Ok(Listener { socket })
    }

    pub(super) fn accept(&self) -> io::Result<Connection> {
        let socket = accept4(self.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: accept4 returned a new descriptor that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        Ok(Connection { socket })
    }
}

/// A socket's path may have 107 bytes; a run directory may be longer, its descriptor's name is not.
fn address(run_dir: &Path) -> io::Result<(File, UnixAddr)> {
    // who may pass through it may not list it
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(run_dir)?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).as_str())?;
    Ok((folder, address))
}

fn new_socket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

fn closed_as_none(length: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match length {
        Ok(0) | Err(Errno::ECONNRESET) => Ok(None),
        Ok(length) => Ok(Some(length)),
        Err(error) => Err(error.into()),
    }
}
