//! Servers that tell every client whom they see.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::thread::{self, JoinHandle};

use nix::sys::socket;

use super::Namespace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub const BOTH: [Self; 2] = [Self::Tcp, Self::Udp];

    /// As in `80/tcp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Answers everything it reads with `NAME CLIENT` and a newline, CLIENT as the server sees it.
/// Ends when dropped.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    socket: RawFd,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// On every address of both families.
    pub fn start(namespace: &Namespace, transport: Transport, port: u16, name: &str) -> Self {
        Self::at(namespace, transport, (Ipv6Addr::UNSPECIFIED, port).into(), name)
    }

    /// On every IPv4 address: for namespaces without IPv6.
    pub fn start_v4(namespace: &Namespace, transport: Transport, port: u16, name: &str) -> Self {
        Self::at(namespace, transport, (Ipv4Addr::UNSPECIFIED, port).into(), name)
    }

    pub fn at(namespace: &Namespace, transport: Transport, address: SocketAddr, name: &str) -> Self {
        let name = name.to_owned();
        match transport {
            Transport::Tcp => {
                let listener = namespace.enter(|| TcpListener::bind(address));
                let listener = listener.unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
                let address = listener.local_addr().expect("an address");
                let socket = listener.as_raw_fd();
                let thread = thread::spawn(move || accept(&listener, &name));
                Self {
                    address,
                    socket,
                    thread: Some(thread),
                }
            }
            Transport::Udp => {
                let udp = namespace.enter(|| UdpSocket::bind(address));
                let udp = udp.unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
                let address = udp.local_addr().expect("an address");
                let socket = udp.as_raw_fd();
                let thread = thread::spawn(move || answer(&udp, &name));
                Self {
                    address,
                    socket,
                    thread: Some(thread),
                }
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // wakes the thread, which owns the socket and closes it; UDP says that it is not connected
        let _ = socket::shutdown(self.socket, socket::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An IPv4 client of a socket for both families is an IPv4 client.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    (ip, address.port()).into()
}

fn accept(listener: &TcpListener, name: &str) {
    let mut open = Vec::new();
    while let Ok((stream, client)) = listener.accept() {
        let Ok(copy) = stream.try_clone() else { break };
        let line = format!("{name} {}\n", plain(client));
        open.retain(|(_, thread): &(TcpStream, JoinHandle<()>)| !thread.is_finished());
        open.push((copy, thread::spawn(move || serve(stream, &line))));
    }
    for (stream, thread) in open {
        // it may have ended by itself
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

fn serve(mut stream: TcpStream, line: &str) {
    let mut buffer = [0; 2048];
    while matches!(stream.read(&mut buffer), Ok(length) if length > 0) {
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    // the copy of its descriptor would keep it open
    let _ = stream.shutdown(Shutdown::Both);
}

fn answer(socket: &UdpSocket, name: &str) {
    let mut buffer = vec![0; 65536];
    loop {
        match socket.recv_from(&mut buffer) {
            // what shutdown makes of it
            Ok((0, _)) => break,
            Ok((_, client)) => {
                // a client that is gone is its own affair
                let _ = socket.send_to(format!("{name} {}\n", plain(client)).as_bytes(), client);
            }
            // an ICMP error about an earlier answer
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(_) => break,
        }
    }
}
