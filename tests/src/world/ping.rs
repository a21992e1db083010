//! Echo requests of our own: a stream whose every packet is accounted for.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use netswitch_common::checksum;
use nix::sched::{CloneFlags, setns};

use super::Namespace;

/// Between two requests: enough to notice a gap of two milliseconds, on a machine that does more.
const INTERVAL: Duration = Duration::from_millis(1);
/// For the last answers.
const LAST: Duration = Duration::from_secs(5);

static IDENTIFIER: AtomicU16 = AtomicU16::new(1);

/// Pings an address until it is told to stop.
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, u32)>,
}

impl Flood {
    pub fn start(namespace: &Namespace, target: IpAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let file = namespace.path();
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let file = std::fs::File::open(file).expect("a namespace");
            setns(file, CloneFlags::CLONE_NEWNET).expect("entering a namespace");
            let mut pinger = Pinger::new(target).expect("a raw socket");
            while !told.load(Ordering::Relaxed) {
                pinger.send();
                thread::sleep(INTERVAL);
                pinger.receive();
            }
            let end = Instant::now() + LAST;
            while !pinger.missing.is_empty() && Instant::now() < end {
                thread::sleep(INTERVAL);
                pinger.receive();
            }
            (pinger.sent, u32::try_from(pinger.missing.len()).unwrap_or(u32::MAX))
        });
        Self { stop, thread }
    }

    /// How many were sent, and how many of them were never answered.
    pub fn stop(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a flood")
    }
}

/// Whether each address answers an echo request, asked from the calling thread's namespace.
pub fn echoes(targets: &[IpAddr]) -> Result<(), String> {
    for target in targets {
        let mut pinger = Pinger::new(*target).map_err(|error| format!("{target}: {error}"))?;
        pinger.send();
        let end = Instant::now() + LAST;
        while !pinger.missing.is_empty() {
            if Instant::now() > end {
                return Err(format!("{target} does not answer"));
            }
            thread::sleep(Duration::from_micros(50));
            pinger.receive();
        }
    }
    Ok(())
}

struct Pinger {
    socket: OwnedFd,
    target: IpAddr,
    identifier: u16,
    sent: u32,
    missing: HashSet<u32>,
}

impl Pinger {
    fn new(target: IpAddr) -> io::Result<Self> {
        let (family, protocol) = match target {
            IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP),
            IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
        };
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved.
        let socket = unsafe { libc::socket(family, kind, protocol) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call before made it, nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let identifier = IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        Ok(Self { socket, target, identifier, sent: 0, missing: HashSet::new() })
    }

    fn send(&mut self) {
        let number = self.sent;
        let kind = if self.target.is_ipv4() { 8 } else { 128 };
        let mut message = [&[kind, 0, 0, 0][..], &self.identifier.to_be_bytes(), &[0, 0], &number.to_be_bytes()].concat();
        if self.target.is_ipv4() {
            // the kernel does it for ICMPv6
            let sum = checksum::fold(checksum::sum(&message, 0));
            message[2..4].copy_from_slice(&sum.to_ne_bytes());
        }
        let address = nix::sys::socket::SockaddrStorage::from(std::net::SocketAddr::new(self.target, 0));
        let flags = nix::sys::socket::MsgFlags::empty();
        self.sent += 1;
        self.missing.insert(number);
        // what could not be sent stays missing: it is a loss like any other
        let _ = nix::sys::socket::sendto(self.socket.as_raw_fd(), &message, &address, flags);
    }

    fn receive(&mut self) {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
        loop {
            // SAFETY: the buffer is ours and as long as the call is told.
            let length = unsafe {
                libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), mem::size_of_val(&buffer), 0)
            };
            let Ok(length) = usize::try_from(length) else { return };
            // SAFETY: the kernel has written that many bytes.
            let packet = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
            let (message, answer) = match self.target {
                IpAddr::V4(_) => (packet.get(20..).unwrap_or_default(), 0),
                IpAddr::V6(_) => (packet, 129),
            };
            if let [kind, _, _, _, a, b, _, _, number @ ..] = message
                && *kind == answer
                && [*a, *b] == self.identifier.to_be_bytes()
                && let Ok(number) = number.try_into()
            {
                self.missing.remove(&u32::from_be_bytes(number));
            }
        }
    }
}
