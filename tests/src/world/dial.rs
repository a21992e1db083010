//! Clients of [`super::Service`]: whom they dialled, who answered, and whom the server saw.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::service::plain;
use super::{Namespace, PATIENCE, Transport};

/// How long a client waits that should not be answered: enough for what would answer to do so.
const SHORT: Duration = Duration::from_secs(1);
/// Between two datagrams of a client that waits.
const AGAIN: Duration = Duration::from_millis(500);

/// What a client asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    pub transport: Transport,
    pub to: SocketAddr,
    /// Bound to this before it connects or sends.
    pub from: Option<SocketAddr>,
    /// UDP only: `connect` and `send`, not `sendto`.
    pub connected: bool,
    /// Type of service, or traffic class.
    pub service: u8,
}

/// An answer of a [`super::Service`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The service's name.
    pub name: String,
    /// The client as the server sees it.
    pub client: SocketAddr,
    /// Who answered as the client sees it: `getpeername`, or `recvfrom` of a socket that is not connected.
    pub peer: SocketAddr,
}

impl Dial {
    pub fn new(transport: Transport, to: SocketAddr) -> Self {
        Self {
            transport,
            to,
            from: None,
            connected: false,
            service: 0,
        }
    }

    pub fn tcp(address: &str, port: u16) -> Self {
        Self::new(Transport::Tcp, (parse(address), port).into())
    }

    pub fn udp(address: &str, port: u16) -> Self {
        Self::new(Transport::Udp, (parse(address), port).into())
    }

    /// Bound to an address; port 0 for any.
    #[must_use]
    pub fn from(mut self, address: &str, port: u16) -> Self {
        self.from = Some((parse(address), port).into());
        self
    }

    #[must_use]
    pub fn connected(mut self) -> Self {
        self.connected = true;
        self
    }

    /// With a type of service, or traffic class.
    #[must_use]
    pub fn of_service(mut self, service: u8) -> Self {
        self.service = service;
        self
    }

    /// Asks until there is an answer or the patience is at its end.
    pub fn ask(&self, client: &Namespace) -> io::Result<Answer> {
        client.enter(|| self.ask_here(PATIENCE))
    }

    /// Asks; panics without an answer.
    #[track_caller]
    pub fn answered(&self, client: &Namespace) -> Answer {
        self.ask(client).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// Asks for a second; panics if there is an answer, else how it failed.
    #[track_caller]
    pub fn unanswered(&self, client: &Namespace) -> io::ErrorKind {
        match self.ask_shortly(client) {
            Ok(answer) => panic!("{self:?} was answered: {answer:?}"),
            Err(error) => error.kind(),
        }
    }

    /// Asks for a second: for what is polled.
    pub fn ask_shortly(&self, client: &Namespace) -> io::Result<Answer> {
        client.enter(|| self.ask_here(SHORT))
    }

    /// From the calling thread's namespace.
    fn ask_here(&self, patience: Duration) -> io::Result<Answer> {
        match self.transport {
            Transport::Tcp => ask_stream(&self.open(patience)?),
            Transport::Udp => self.ask_datagram(patience),
        }
    }

    /// A TCP connection.
    pub fn open(&self, patience: Duration) -> io::Result<TcpStream> {
        let stream: TcpStream = self.socket(SockType::Stream, patience)?.into();
        connect(stream.as_raw_fd(), &SockaddrStorage::from(self.to))?;
        Ok(stream)
    }

    fn ask_datagram(&self, patience: Duration) -> io::Result<Answer> {
        let socket: UdpSocket = self.socket(SockType::Datagram, AGAIN.min(patience))?.into();
        if self.connected {
            connect(socket.as_raw_fd(), &SockaddrStorage::from(self.to))?;
        }
        let start = Instant::now();
        loop {
            match self.ask_once(&socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < patience => {}
                result => return result,
            }
        }
    }

    fn ask_once(&self, socket: &UdpSocket) -> io::Result<Answer> {
        let mut buffer = [0; 2048];
        let (length, peer) = if self.connected {
            socket.send(b"who?\n")?;
            (socket.recv(&mut buffer)?, socket.peer_addr()?)
        } else {
            socket.send_to(b"who?\n", self.to)?;
            socket.recv_from(&mut buffer)?
        };
        answer(&String::from_utf8_lossy(&buffer[..length]), peer)
    }

    /// A socket of our own making, bound: std's connects in the same breath.
    fn socket(&self, kind: SockType, patience: Duration) -> io::Result<OwnedFd> {
        let family = if self.to.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        let time = TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX));
        // the first limits connect too
        setsockopt(&socket, sockopt::SendTimeout, &time)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &time)?;
        if self.service != 0 {
            let service = i32::from(self.service);
            match self.to {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4Tos, &service)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6TClass, &service)?,
            }
        }
        if let Some(from) = self.from {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
        }
        Ok(socket)
    }
}

/// Asks over a connection that is there already.
pub fn ask_stream(mut stream: &TcpStream) -> io::Result<Answer> {
    stream.write_all(b"who?\n")?;
    let peer = stream.peer_addr()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    answer(&line, peer)
}

fn answer(line: &str, peer: SocketAddr) -> io::Result<Answer> {
    let words = line.trim_end().rsplit_once(' ');
    let words = words.and_then(|(name, client)| Some((name, client.parse().ok()?)));
    let (name, client) = words.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, line))?;
    Ok(Answer {
        name: name.to_owned(),
        client: plain(client),
        peer,
    })
}

/// Every address of a family.
pub fn any(family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn parse(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}
