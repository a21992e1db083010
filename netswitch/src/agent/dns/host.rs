//! Where the host's own programs ask: a loopback address, while there is a network whose names they may have.
//!
//! Bound to the loopback device as well, so that nobody else is ever served. Without the agent's mark: other
//! programs hold the port or find it held like each other's.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::server::Server;

/// Serves while there are tasks.
pub struct HostListener {
    runtime: Handle,
    server: Server,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl HostListener {
    pub fn new(runtime: Handle, server: Server, address: SocketAddr) -> Self {
        Self {
            runtime,
            server,
            address,
            tasks: JoinSet::new(),
        }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens, unless it does.
    pub fn open(&mut self) -> io::Result<()> {
        if !self.tasks.is_empty() {
            return Ok(());
        }
        let datagrams = UdpSocket::bind(self.address)?;
        let streams = TcpListener::bind(self.address)?;
        for result in [
            setsockopt(&datagrams, sockopt::BindToDevice, &"lo".into()),
            setsockopt(&streams, sockopt::BindToDevice, &"lo".into()),
        ] {
            result?;
        }
        datagrams.set_nonblocking(true)?;
        streams.set_nonblocking(true)?;
        let _context = self.runtime.enter();
        let datagrams = self.server.datagrams(None, datagrams.into())?;
        let streams = self.server.streams(None, streams.into())?;
        self.tasks.spawn(datagrams);
        self.tasks.spawn(streams);
        Ok(())
    }

    pub fn close(&mut self) {
        self.tasks = JoinSet::new();
    }
}
