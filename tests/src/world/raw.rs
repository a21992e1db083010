//! Raw sockets of any IP protocol.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};

use super::Namespace;

/// A raw socket (raw(7)): hears every packet of its protocol that its namespace's stack accepts.
pub struct Raw {
    /// std's UDP socket is a descriptor with `sendto` and `recv`, which is all it takes.
    socket: UdpSocket,
    is_v4: bool,
}

impl Raw {
    /// For a protocol over the family of this address; it does not wait.
    pub fn open(namespace: &Namespace, family: IpAddr, protocol: u8) -> io::Result<Self> {
        let domain = if family.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = namespace.enter(|| {
            // SAFETY: no memory is involved
            match unsafe { libc::socket(domain, kind, protocol.into()) } {
                ..0 => Err(io::Error::last_os_error()),
                // SAFETY: the kernel has just made this descriptor for us
                socket => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
            }
        })?;
        Ok(Self {
            socket: socket.into(),
            is_v4: family.is_ipv4(),
        })
    }

    pub fn send(&self, to: IpAddr, payload: &[u8]) -> io::Result<usize> {
        self.socket.send_to(payload, (to, 0))
    }

    /// The payloads that have come so far.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            // IPv4's come with their header
            let start = if self.is_v4 {
                usize::from(buffer[0] & 0xf) * 4
            } else {
                0
            };
            heard.push(buffer[start.min(length)..length].to_vec());
        }
        heard
    }
}
