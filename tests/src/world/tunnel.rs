//! Pairs of TUN or TAP devices, as VPNs have them.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Namespace, World};

/// The host at its end of the tunnel, and the machine at the other.
pub const TUNNEL_HOST: [&str; 2] = ["192.168.58.99", "2001:db8:58::99"];
pub const TUNNEL_PEER: [&str; 2] = ["192.168.58.1", "2001:db8:58::1"];

/// `TUNSETIFF` and `IFF_NO_PI`: `linux/if_tun.h`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const WITHOUT_INFORMATION: u16 = 0x1000;

/// A machine at the other end of a tunnel, whose devices go with it.
pub struct Tunnel {
    pub peer: Namespace,
    _carrier: Carrier,
}

impl World {
    /// A tunnel `vpn0` between the host and a machine of its own.
    pub fn add_tunnel(&self, mtu: u16) -> Tunnel {
        let peer = Namespace::new();
        let carrier = Carrier::start([&self.host, &peer].map(|namespace| (namespace, "vpn0")), Frames::Bare);
        for (namespace, [v4, v6]) in [(&self.host, TUNNEL_HOST), (&peer, TUNNEL_PEER)] {
            namespace
                .sh(&format!(
                    "ip addr add {v4}/24 dev vpn0 && ip addr add {v6}/64 dev vpn0 nodad && ip link set vpn0 mtu {mtu} up"
                ))
                .ok();
        }
        Tunnel {
            peer,
            _carrier: carrier,
        }
    }
}

/// What a device's frames begin with: `IFF_TUN` or `IFF_TAP` of `linux/if_tun.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// The IP header.
    Bare = 0x0001,
    /// Ethernet's.
    Ethernet = 0x0002,
}

/// Two devices whose packets it carries to each other as long as it lives; they go with it.
pub struct Carrier {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    /// Between new devices of these names.
    pub fn start(ends: [(&Namespace, &str); 2], frames: Frames) -> Self {
        let ends = ends.map(|(namespace, name)| namespace.enter(|| open(name, frames)));
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        Self {
            is_over,
            thread: Some(thread::spawn(move || carry(&ends, &ended))),
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn open(name: &str, frames: Frames) -> File {
    /// The part of `struct ifreq` that the request reads, and what it may write.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: u16,
        rest: [u8; 22],
    }
    let mut options = OpenOptions::new();
    let device = options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let device = device.open("/dev/net/tun").expect("/dev/net/tun");
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: frames as u16 | WITHOUT_INFORMATION,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the request is as long as the kernel's `struct ifreq`
    let result = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw mut request) };
    assert_eq!(result, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    device
}

fn carry(ends: &[File; 2], is_over: &AtomicBool) {
    let mut packet = vec![0; 65_536];
    while !is_over.load(Ordering::Relaxed) {
        let mut polled = [&ends[0], &ends[1]].map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut polled, PollTimeout::from(50_u8));
        for (mut from, mut to) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
            while let Ok(length) = from.read(&mut packet) {
                let _ = to.write(&packet[..length]); // a device that is down takes none
            }
        }
    }
}
