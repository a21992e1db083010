//! What an interface hears and says, and frames of any kind sent out of one, by `AF_PACKET`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;

use super::{Namespace, PATIENCE};
use crate::packet::describe;

/// `linux/if_packet.h`
const PACKET_OUTGOING: u8 = 4;
const PACKET_VNET_HDR: libc::c_int = 15;

/// A frame with BIG TCP as we switch it on, and its header.
const LARGEST: usize = 256 * 1024;

/// A frame, and whether the interface sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    pub is_outgoing: bool,
    pub frame: Vec<u8>,
}

/// Everything an interface hears and says since `start`.
pub struct Capture {
    socket: OwnedFd,
    name: String,
}

impl Capture {
    pub fn start(namespace: &Namespace, interface: &str) -> Self {
        let socket = namespace.enter(|| socket(interface, libc::ETH_P_ALL)).expect(interface);
        Self {
            socket,
            name: interface.to_owned(),
        }
    }

    /// The first frame that fits; panics with what came instead.
    #[track_caller]
    pub fn expect(&self, what: &str, fits: impl Fn(&Captured) -> bool) -> Captured {
        let mut others = Vec::new();
        let end = Instant::now() + PATIENCE;
        while let Some(captured) = self.next(end) {
            if fits(&captured) {
                return captured;
            }
            others.push(describe(&captured.frame[..captured.frame.len().min(100)]));
        }
        let last = &others[others.len().saturating_sub(10)..];
        panic!(
            "{}: no {what}, but {} others, the last: {last:#?}",
            self.name,
            others.len()
        );
    }

    /// What comes within a time.
    pub fn during(&self, time: Duration) -> Vec<Captured> {
        let end = Instant::now() + time;
        std::iter::from_fn(|| self.next(end)).collect()
    }

    /// What has come so far.
    pub fn so_far(&self) -> Vec<Captured> {
        self.during(Duration::ZERO)
    }

    fn next(&self, end: Instant) -> Option<Captured> {
        let mut frame = vec![0_u8; LARGEST];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let milliseconds = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(milliseconds)).unwrap_or(0) == 0 {
                if left.is_zero() || Instant::now() >= end {
                    return None;
                }
                continue;
            }
            let mut from = address(0, 0);
            let mut size = libc::socklen_t::try_from(size_of_val(&from)).unwrap_or(0);
            // SAFETY: both buffers are ours, writable, and as long as the call is told.
            let length = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut size,
                )
            };
            let length = usize::try_from(length).ok()?;
            frame.truncate(length);
            return Some(Captured {
                is_outgoing: from.sll_pkttype == PACKET_OUTGOING,
                frame,
            });
        }
    }
}

/// Sends a frame out of an interface as it is.
pub fn send(namespace: &Namespace, interface: &str, frame: &[u8]) {
    send_all(namespace, interface, [frame]);
}

/// The same many times, as fast as it goes.
pub fn send_repeatedly(namespace: &Namespace, interface: &str, frame: &[u8], count: u32) {
    send_all(namespace, interface, (0..count).map(|_| frame));
}

/// Sends many frames out of an interface, as fast as it goes.
pub fn send_all<'a>(namespace: &Namespace, interface: &str, frames: impl IntoIterator<Item = &'a [u8]> + Send) {
    let sent = namespace.enter(|| {
        let socket = socket(interface, 0).map_err(|error| error.to_string())?;
        for frame in frames {
            // SAFETY: the buffer is as long as the call is told.
            let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
            if sent < 0 {
                return Err(format!("{}: {}", io::Error::last_os_error(), describe(frame)));
            }
        }
        Ok(())
    });
    sent.unwrap_or_else(|error: String| panic!("{interface}: {error}"));
}

/// Sends a frame behind a `struct virtio_net_hdr` (`linux/virtio_net.h`): what is left to the receiver, sums and
/// segments.
pub fn send_offloaded(namespace: &Namespace, interface: &str, header: [u8; 10], frame: &[u8]) {
    let bytes = [&header[..], frame].concat();
    let sent = namespace.enter(|| {
        let socket = socket(interface, 0)?;
        take_offloads(&socket)?;
        // SAFETY: the buffer is as long as the call is told.
        let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    });
    sent.unwrap_or_else(|error: io::Error| panic!("{interface}: {error}: {}", describe(frame)));
}

/// Puts a `struct virtio_net_hdr` before each frame of a packet socket.
pub fn take_offloads(socket: &OwnedFd) -> io::Result<()> {
    turn_on(socket, PACKET_VNET_HDR)
}

/// Sets an option of a packet socket to 1.
pub fn turn_on(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: an int of the size given.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0),
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A packet socket on one interface of the calling thread's namespace; protocol 0 hears nothing.
pub(super) fn socket(interface: &str, protocol: i32) -> io::Result<OwnedFd> {
    let protocol = u16::try_from(protocol).unwrap_or(0).to_be();
    // SAFETY: no memory is involved.
    let socket: RawFd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call before made it, nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // a bulk transfer must not push out what a test waits for
    let size: libc::c_int = 64 << 20;
    // SAFETY: an int of the size given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            libc::socklen_t::try_from(size_of_val(&size)).unwrap_or(0),
        );
    }
    let name = CString::new(interface)?;
    // SAFETY: the name ends with a zero byte.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let address = address(protocol, index);
    let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: a socket address of the size given.
    if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn address(protocol: u16, index: u32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: protocol,
        sll_ifindex: i32::try_from(index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}
