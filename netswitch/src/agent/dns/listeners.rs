//! Where questions arrive: sockets of each network's own, bound to a gateway and to its device, so that
//! nobody else is ever served. All have one port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    Backlog, SockType, SockaddrStorage, bind, getsockname, getsockopt, listen, setsockopt, sockopt,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::server::Server;
use crate::agent::relay::unbound;
use crate::model::{Id, network::Network, publish::Protocol, state::State};

/// How many ports are tried until one is free on every network.
const ATTEMPTS: usize = 16;
/// In bytes, of which the kernel allows twice as many: 5,461 questions at 768 bytes each, so that a burst of
/// thousands waits. A queue of these is answered within some fifty milliseconds.
const WAITING_MAX: usize = 2 << 20;

/// How long an agent that stops waits for answers that are under way, and how often it looks.
const FAREWELL: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(5);

/// Networks' sockets, and the tasks that read them.
pub struct Listeners {
    runtime: Handle,
    server: Server,
    /// 0 until a network has one.
    port: u16,
    serving: HashMap<Id, Serving>,
    /// The last agent's sockets, with the questions that wait there.
    inherited: HashMap<Bound, OwnedFd>,
}

/// Ends when dropped.
struct Serving {
    place: Place,
    /// For the next agent.
    sockets: Vec<OwnedFd>,
    _tasks: JoinSet<()>,
}

/// Where a socket listens.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bound {
    protocol: Protocol,
    address: SocketAddr,
    device: String,
}

/// Where one network listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    device: String,
    index: u32,
    gateways: Vec<IpAddr>,
}

impl Listeners {
    /// `port` is tried before any other; `inherited` are sockets of the last agent's.
    pub fn new(runtime: Handle, server: Server, port: u16, inherited: Vec<OwnedFd>) -> Self {
        // what cannot be told has lost its device, or its address
        let known = inherited
            .into_iter()
            .filter_map(|socket| Some((place_of(&socket)?, socket)));
        Self {
            runtime,
            server,
            port,
            serving: HashMap::new(),
            inherited: known.collect(),
        }
    }

    /// What nobody listens at is closed.
    pub fn forget_inherited(&mut self) {
        self.inherited.clear();
    }

    /// Every socket, for the next agent. What comes from now on waits there; what others were asked about may still
    /// be answered, for a moment.
    pub fn leave(&mut self) -> Vec<OwnedFd> {
        let sockets = self.serving.drain().flat_map(|(_, serving)| serving.sockets).collect();
        let end = Instant::now() + FAREWELL;
        while !self.server.questions.is_idle() && Instant::now() < end {
            sleep(PAUSE);
        }
        sockets
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Listens on these networks where they are now, if they still are.
    pub fn follow<'a>(&mut self, state: &State, networks: impl Iterator<Item = &'a Id>) {
        for id in networks {
            let place = state.networks.get(id).and_then(place);
            if self.serving.get(id).map(|serving| &serving.place) == place.as_ref() {
                continue;
            }
            self.serving.remove(id);
            if let Some(place) = place
                && !self.add(id, place)
            {
                return self.move_all(state);
            }
        }
    }

    /// Whether the port is free there.
    fn add(&mut self, id: &Id, place: Place) -> bool {
        match self.serve(id, place) {
            Ok(serving) => drop(self.serving.insert(id.clone(), serving)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return false,
            // a device that another has taken, for one
            Err(error) => tracing::warn!(%error, network = id.short(), "its names are not served"),
        }
        true
    }

    /// The port is somebody else's on one of the networks: another one for all.
    fn move_all(&mut self, state: &State) {
        for _ in 0..ATTEMPTS {
            self.serving.clear();
            self.port = 0;
            let mut places = state
                .networks
                .values()
                .filter_map(|network| Some((&network.id, place(network)?)));
            if places.all(|(id, place)| self.add(id, place)) {
                tracing::debug!(port = self.port, "questions about names are served at another port");
                return;
            }
        }
        tracing::warn!("some networks' names are not served: no port is free on all");
    }

    fn serve(&mut self, id: &Id, place: Place) -> io::Result<Serving> {
        let _context = self.runtime.enter();
        let network = Some(Arc::new(id.clone()));
        let mut tasks = JoinSet::new();
        let mut sockets = Vec::new();
        for gateway in &place.gateways {
            let datagrams = self.socket(Protocol::Udp, *gateway, &place.device)?;
            if self.port == 0 {
                self.port = address_of(&datagrams)?.port();
            }
            let streams = self.socket(Protocol::Tcp, *gateway, &place.device)?;
            listen(&streams, Backlog::MAXCONN)?;
            sockets.extend([datagrams.try_clone()?, streams.try_clone()?]);
            tasks.spawn(self.server.datagrams(network.clone(), datagrams)?);
            tasks.spawn(self.server.streams(network.clone(), streams)?);
        }
        Ok(Serving {
            place,
            sockets,
            _tasks: tasks,
        })
    }

    /// The one that the last agent had there, or a new one.
    fn socket(&mut self, protocol: Protocol, gateway: IpAddr, device: &str) -> io::Result<OwnedFd> {
        let wanted = Bound {
            protocol,
            address: (gateway, self.port).into(),
            device: device.to_owned(),
        };
        match self.inherited.remove(&wanted) {
            Some(socket) => Ok(socket),
            None => bound(protocol, wanted.address, device),
        }
    }
}

fn place(network: &Network) -> Option<Place> {
    let bridge = network.bridge.as_ref()?;
    Some(Place {
        device: bridge.host_end.clone(),
        index: bridge.host_end_index?,
        gateways: network.resolvers().collect(),
    })
}

/// A socket of the agent's own that hears one device only; it does not block.
fn bound(protocol: Protocol, address: SocketAddr, device: &str) -> io::Result<OwnedFd> {
    let socket = unbound(protocol, address)?;
    setsockopt(&socket, sockopt::BindToDevice, &device.into())?;
    // a gateway's address may come a moment later
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    if protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    } else {
        setsockopt(&socket, sockopt::RcvBufForce, &WAITING_MAX)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn address_of(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let v4 = || Some(SocketAddr::V4((*address.as_sockaddr_in()?).into()));
    let v6 = || Some(SocketAddr::V6((*address.as_sockaddr_in6()?).into()));
    v4().or_else(v6)
        .ok_or_else(|| io::Error::other("a socket without a port"))
}

fn place_of(socket: &OwnedFd) -> Option<Bound> {
    let device = getsockopt(socket, sockopt::BindToDevice).ok()?;
    Some(Bound {
        protocol: if getsockopt(socket, sockopt::SockType).ok()? == SockType::Stream {
            Protocol::Tcp
        } else {
            Protocol::Udp
        },
        address: address_of(socket).ok()?,
        device: device.to_string_lossy().trim_end_matches('\0').to_owned(),
    })
    .filter(|bound| !bound.device.is_empty())
}
