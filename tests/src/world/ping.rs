//! Echo requests of our own: a stream whose every packet is accounted for.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netswitch_common::checksum;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

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
        // opened here: the caller may let go of the namespace before the thread runs
        let file = std::fs::File::open(namespace.path()).expect("a namespace");
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
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
    /// Raw; std's UDP socket is a descriptor with `sendto` and `recv`, which is all it takes.
    socket: UdpSocket,
    target: IpAddr,
    identifier: u16,
    sent: u32,
    missing: HashSet<u32>,
}

impl Pinger {
    fn new(target: IpAddr) -> io::Result<Self> {
        let (family, protocol) = match target {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Raw, flags, protocol)?.into();
        let identifier = IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            socket,
            target,
            identifier,
            sent: 0,
            missing: HashSet::new(),
        })
    }

    fn send(&mut self) {
        let number = self.sent;
        let kind = if self.target.is_ipv4() { 8 } else { 128 };
        let mut message = [
            &[kind, 0, 0, 0][..],
            &self.identifier.to_be_bytes(),
            &[0, 0],
            &number.to_be_bytes(),
        ]
        .concat();
        if self.target.is_ipv4() {
            // the kernel does it for ICMPv6
            let sum = checksum::fold(checksum::sum(&message, 0));
            message[2..4].copy_from_slice(&sum.to_ne_bytes());
        }
        self.sent += 1;
        self.missing.insert(number);
        // what could not be sent stays missing: it is a loss like any other
        let _ = self.socket.send_to(&message, (self.target, 0));
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let packet = &buffer[..length];
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
