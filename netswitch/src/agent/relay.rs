//! What reaches the host's own stack for a published port, passed on to the container: a client bound to
//! loopback cannot be led there when it connects, nor an IPv6 one to a container without IPv6.
//!
//! The data path steers it to sockets of the agent's; other clients never meet them.

mod datagrams;
mod streams;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use netswitch_common::{host::SOCKET_MARK, socket::relay};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{core::Core, placeholders::Placeholders};
use crate::model::{
    changes::Changes,
    endpoint::Endpoint,
    publish::{Protocol, resolve::Resolver},
    state::State,
};

/// Unless the agent may open few files.
const SESSIONS_MAX: usize = 1024;
const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// The relay as the agent's thread has it: its tasks see through `resolver` where ports lead.
pub struct Relay {
    resolver: watch::Sender<Resolver>,
    placeholders: Placeholders,
}

impl Core {
    /// Serves what the data path steers to the agent.
    pub fn start_relay(&mut self, runtime: &Handle) -> Result<()> {
        let _context = runtime.enter();
        let (resolver, leads) = watch::channel(Resolver::new(&self.state));
        let mut relays = self.datapath.relays().context("RELAYS")?;
        let (streams, datagrams) = (streams::Streams::new(&leads), datagrams::Datagrams::new(&leads));
        for (index, protocol, address) in [
            (relay::TCP_V4, Protocol::Tcp, V4),
            (relay::TCP_V6, Protocol::Tcp, V6),
            (relay::UDP_V4, Protocol::Udp, V4),
            (relay::UDP_V6, Protocol::Udp, V6),
        ] {
            let socket = match bound(protocol, address) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, %address, "published ports are not relayed");
                    continue;
                }
            };
            let steered = socket.try_clone()?;
            if protocol == Protocol::Tcp {
                streams.serve(socket)?;
            } else {
                datagrams.serve(socket, address.is_ipv4())?;
            }
            relays.set(index, &steered, 0).context("RELAYS")?;
        }
        self.relay = Some(Relay {
            resolver,
            placeholders: Placeholders::new(&self.state),
        });
        Ok(())
    }
}

impl Relay {
    /// Follows what has changed since `before`.
    pub fn apply(&mut self, before: &State, changes: &Changes) {
        let publish = |endpoint: &Endpoint| !endpoint.publications.is_empty();
        let former = changes.endpoints.keys().filter_map(|id| before.endpoints.get(id));
        if former.chain(changes.endpoints.values().flatten()).any(publish) {
            self.resolver.send_modify(|resolver| resolver.apply(before, changes));
            self.placeholders.apply(before, changes);
        }
    }
}

/// How many sockets the agent may have open.
pub fn descriptors() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Sessions at once, of each protocol: each has two sockets.
fn sessions_max() -> usize {
    SESSIONS_MAX.min(descriptors() / 8)
}

/// A socket of the agent's own, which the hooks leave alone, bound to an address; it does not block.
pub fn bound(protocol: Protocol, address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = unbound(protocol, address)?;
    // among datagram sockets it would share a port that was to be a fresh one
    if protocol == Protocol::Tcp || address.port() != 0 {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// The same before it is bound, for addresses of this one's family.
pub fn unbound(protocol: Protocol, address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let kind = if protocol == Protocol::Udp {
        SockType::Datagram
    } else {
        SockType::Stream
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&socket, sockopt::Mark, &SOCKET_MARK)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(socket)
}
