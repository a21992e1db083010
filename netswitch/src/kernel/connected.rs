//! Connected UDP sockets of the host, and the end of one.

use std::net::SocketAddr;

use super::{
    Error, Result,
    sock_diag::{self, ESTABLISHED, IPV4, IPV6, Identity, Question},
};
use crate::model::publish::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Where its packets go, whatever its program has dialled.
    pub peer: SocketAddr,
    identity: Identity,
}

/// Those of the calling thread's namespace.
pub fn all() -> Result<Vec<Connected>> {
    let mut sockets = Vec::new();
    for family in [IPV4, IPV6] {
        let question = Question {
            protocol: Protocol::Udp,
            family,
            states: ESTABLISHED,
        };
        let listed = sock_diag::dump(question, |answer| {
            let (address, port) = answer.peer();
            sockets.push(Connected {
                peer: SocketAddr::new(address.to_canonical(), port),
                identity: answer.identity(Protocol::Udp),
            });
        });
        listed.map_err(|error| Error::system("list connected UDP sockets".to_owned(), error))?;
    }
    Ok(sockets)
}

pub fn end(socket: &Connected) -> Result<()> {
    match sock_diag::destroy(&socket.identity) {
        // its program was faster
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result.map_err(|error| Error::system(format!("end a UDP socket to {}", socket.peer), error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    };

    use super::*;

    #[test]
    fn the_program_of_an_ended_socket_hears_of_it_and_others_go_on() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let server = UdpSocket::bind((address, 0)).unwrap();
            let other = UdpSocket::bind((address, 0)).unwrap();
            let [peer, other] = [&server, &other].map(|socket| socket.local_addr().unwrap());
            let [ended, stays] = [peer, other].map(|peer| {
                let socket = UdpSocket::bind((address, 0)).unwrap();
                socket.connect(peer).unwrap();
                socket
            });
            for socket in all().unwrap().iter().filter(|socket| socket.peer == peer) {
                end(socket).unwrap();
                // there is none any more
                end(socket).unwrap();
            }
            let heard = ended.take_error().unwrap().map(|error| error.kind());
            assert_eq!(heard, Some(ErrorKind::ConnectionAborted));
            ended.send(b"nobody").unwrap_err();
            stays.send(b"somebody").unwrap();
        }
    }
}
