//! A tunnel of two TUN devices, as VPNs have them: their packets have no Ethernet headers.

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

/// `TUNSETIFF`, `IFF_TUN` and `IFF_NO_PI`: `linux/if_tun.h`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const FLAGS: u16 = 0x0001 | 0x1000;

/// Carries packets as long as it lives; its devices go with it.
pub struct Tunnel {
    pub peer: Namespace,
    is_over: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl World {
    /// A tunnel `vpn0` between the host and a machine of its own.
    pub fn add_tunnel(&self, mtu: u16) -> Tunnel {
        let peer = Namespace::new();
        let ends = [(&self.host, TUNNEL_HOST), (&peer, TUNNEL_PEER)].map(|(namespace, [v4, v6])| {
            let end = namespace.enter(open);
            namespace
                .sh(&format!(
                    "ip addr add {v4}/24 dev vpn0 && ip addr add {v6}/64 dev vpn0 nodad && ip link set vpn0 mtu {mtu} up"
                ))
                .ok();
            end
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        let carrier = thread::spawn(move || carry(&ends, &ended));
        Tunnel {
            peer,
            is_over,
            carrier: Some(carrier),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            drop(carrier.join());
        }
    }
}

fn open() -> File {
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
        flags: FLAGS,
        rest: [0; 22],
    };
    request.name[..4].copy_from_slice(b"vpn0");
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
