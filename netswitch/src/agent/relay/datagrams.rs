//! UDP: what a client sends to an address goes through a socket of its own to the container, and the
//! answers leave from the address it was sent to.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;

use super::{bound, sessions_max};
use crate::model::publish::{Protocol, resolve::Resolver};

/// How long a session lasts in which nobody says anything.
const IDLE: Duration = Duration::from_mins(1);
/// Datagrams of one client that wait.
const WAITING_MAX: usize = 64;
/// Of the largest datagram.
const LENGTH_MAX: usize = 65_535;

pub(super) struct Datagrams {
    leads: watch::Receiver<Resolver>,
    /// One for each pair of client and dialled address; what further ones send is lost.
    permits: Arc<Semaphore>,
}

/// Who sent it, and to which address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    client: SocketAddr,
    dialled: SocketAddr,
}

/// Ends when dropped.
struct Session {
    target: SocketAddr,
    said: mpsc::Sender<Vec<u8>>,
}

struct Sessions {
    leads: watch::Receiver<Resolver>,
    permits: Arc<Semaphore>,
    by_pair: HashMap<Pair, Session>,
}

impl Datagrams {
    pub(super) fn new(leads: &watch::Receiver<Resolver>) -> Self {
        Self {
            leads: leads.clone(),
            permits: Arc::new(Semaphore::new(sessions_max())),
        }
    }

    /// Takes datagrams until the agent ends.
    pub(super) fn serve(&self, socket: OwnedFd, is_v4: bool) -> io::Result<()> {
        if is_v4 {
            setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?;
        }
        let socket = UdpSocket::from_std(socket.into())?;
        let sessions = Sessions {
            leads: self.leads.clone(),
            permits: self.permits.clone(),
            by_pair: HashMap::new(),
        };
        tokio::spawn(sessions.work(socket));
        Ok(())
    }
}

impl Sessions {
    async fn work(mut self, socket: UdpSocket) {
        let mut buffer = vec![0; LENGTH_MAX];
        loop {
            let datagram = tokio::select! {
                changed = self.leads.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.end_those_gone();
                    continue;
                }
                datagram = socket.async_io(Interest::READABLE, || receive(socket.as_raw_fd(), &mut buffer)) => datagram,
            };
            let passed = datagram.and_then(|(pair, length)| match pair {
                Some(pair) => self.pass_on(pair, &buffer[..length]),
                None => Ok(()),
            });
            if let Err(error) = passed {
                tracing::debug!(%error, "relayed datagram");
            }
        }
    }

    /// Sessions whose port is not published to that container any more: their sockets hold it.
    fn end_those_gone(&mut self) {
        let resolver = self.leads.borrow_and_update();
        self.by_pair
            .retain(|pair, session| resolver.resolve(Protocol::Udp, pair.dialled) == Some(session.target));
    }

    fn pass_on(&mut self, pair: Pair, datagram: &[u8]) -> io::Result<()> {
        let Some(target) = self.leads.borrow().resolve(Protocol::Udp, pair.dialled) else {
            return Ok(());
        };
        let alive = |session: &Session| session.target == target && !session.said.is_closed();
        if !self.by_pair.get(&pair).is_some_and(alive) {
            self.by_pair.remove(&pair);
            self.by_pair.retain(|_, session| !session.said.is_closed());
            let permit = self.permits.clone().try_acquire_owned().map_err(io::Error::other)?;
            self.by_pair.insert(pair, Session::start(pair, target, permit)?);
        }
        if let Some(session) = self.by_pair.get(&pair) {
            // as with any full queue, what does not fit is lost
            let _ = session.said.try_send(datagram.to_vec());
        }
        Ok(())
    }
}

impl Session {
    fn start(pair: Pair, target: SocketAddr, permit: OwnedSemaphorePermit) -> io::Result<Self> {
        let any: SocketAddr = if target.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let server = UdpSocket::from_std(bound(Protocol::Udp, any)?.into())?;
        let front = UdpSocket::from_std(bound(Protocol::Udp, pair.dialled)?.into())?;
        let (said, heard) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            if let Err(error) = talk(&server, target, &front, pair.client, heard).await {
                tracing::debug!(%error, "relayed datagrams");
            }
            drop(permit);
        });
        Ok(Self { target, said })
    }
}

async fn talk(
    server: &UdpSocket,
    target: SocketAddr,
    front: &UdpSocket,
    client: SocketAddr,
    mut heard: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    server.connect(target).await?;
    let mut answer = Vec::with_capacity(LENGTH_MAX);
    loop {
        answer.clear();
        // errors of single datagrams are of the kind that the next may not meet
        tokio::select! {
            datagram = heard.recv() => match datagram {
                Some(datagram) => drop(server.send(&datagram).await),
                None => return Ok(()),
            },
            received = server.recv_buf(&mut answer) => if received.is_ok() {
                drop(front.send_to(&answer, client).await);
            },
            () = sleep(IDLE) => return Ok(()),
        }
    }
}

/// One datagram; no pair where the kernel does not say to whom it went.
fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<(Option<Pair>, usize)> {
    let mut control = nix::cmsg_space!(libc::sockaddr_in6);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket, &mut parts, Some(&mut control), MsgFlags::empty())?;
    let client = message.address.as_ref().and_then(socket_address);
    let dialled = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4OrigDstAddr(to) => Some(socket_address_v4(to).into()),
        ControlMessageOwned::Ipv6OrigDstAddr(to) => Some(socket_address_v6(to).into()),
        _ => None,
    });
    let pair = client.zip(dialled).map(|(client, dialled)| Pair { client, dialled });
    Ok((pair, message.bytes))
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

fn socket_address_v4(address: libc::sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    SocketAddrV4::new(ip, u16::from_be(address.sin_port))
}

fn socket_address_v6(address: libc::sockaddr_in6) -> SocketAddrV6 {
    let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
    SocketAddrV6::new(ip, u16::from_be(address.sin6_port), 0, address.sin6_scope_id)
}
