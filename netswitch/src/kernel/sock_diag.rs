//! `sock_diag`: what sockets the calling thread's namespace has, and the end of one.
//!
//! The messages are few and fixed, so they are written and read here (`linux/sock_diag.h`, `linux/inet_diag.h`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NlasIterator},
    sys::{self, protocols::NETLINK_SOCK_DIAG},
};

use crate::model::publish::Protocol;

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY`.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
/// Address families, `linux/socket.h`.
pub const IPV4: u8 = 2;
pub const IPV6: u8 = 10;
/// Socket states of `net/tcp_states.h`, as bits. A socket without a peer is closed, one with a peer established, where
/// their protocol knows no connections.
pub const ESTABLISHED: u32 = 1 << 1;
pub const CLOSED: u32 = 1 << 7;
pub const LISTENING: u32 = 1 << 10;

/// `struct nlmsghdr`.
const HEADER_LENGTH: usize = 16;
/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and a socket's identity.
const REQUEST_LENGTH: u8 = 16 + 8 + 48;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const IDENTITY_LENGTH: usize = 48;
/// `struct inet_diag_msg`: family, state, timer, retransmissions, an identity, and what is not read. Attributes follow.
const ANSWER_LENGTH: usize = 72;
const ANSWER_IDENTITY: usize = 4;
/// Dumps come in datagrams of at most 32 KiB (`netlink_dump`).
const DATAGRAM_MAX: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Question {
    pub protocol: Protocol,
    pub family: u8,
    /// Bits.
    pub states: u32,
}

/// One socket, as the kernel tells of it.
pub struct Answer<'a> {
    message: &'a [u8],
}

/// Which socket it is, for [`destroy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    family: u8,
    protocol: Protocol,
    bytes: [u8; IDENTITY_LENGTH],
}

/// Calls `each` with every socket asked for.
pub fn dump(question: Question, mut each: impl FnMut(&Answer<'_>)) -> io::Result<()> {
    let socket = open()?;
    socket.send(&question.bytes(), 0)?;
    let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
    loop {
        datagram.clear();
        socket.recv(&mut datagram, 0)?;
        let mut rest = datagram.as_slice();
        while let Some(length) = u32_at(rest, 0).map(|length| length as usize) {
            let Some(message) = rest.get(HEADER_LENGTH..length) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a cut off netlink message"));
            };
            match u16_at(rest, 4) {
                Some(NLMSG_DONE) => return Ok(()),
                Some(NLMSG_ERROR) => return refusal(message),
                _ if message.len() >= ANSWER_LENGTH => each(&Answer { message }),
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Ends a socket: its program hears `ECONNABORTED`, or `EDESTADDRREQ` where it sends first. Needs
/// `CONFIG_INET_DIAG_DESTROY`.
pub fn destroy(identity: &Identity) -> io::Result<()> {
    let socket = open()?;
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    socket.send(&request(DESTROY, flags, identity, u32::MAX), 0)?;
    let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
    socket.recv(&mut datagram, 0)?;
    refusal(datagram.get(HEADER_LENGTH..).unwrap_or_default())
}

impl Question {
    fn bytes(self) -> [u8; REQUEST_LENGTH as usize] {
        let any = Identity {
            family: self.family,
            protocol: self.protocol,
            bytes: [0; IDENTITY_LENGTH],
        };
        request(BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &any, self.states)
    }
}

impl Answer<'_> {
    pub fn local(&self) -> (IpAddr, u16) {
        self.end(ANSWER_IDENTITY, ANSWER_IDENTITY + 4)
    }

    pub fn peer(&self) -> (IpAddr, u16) {
        self.end(ANSWER_IDENTITY + 2, ANSWER_IDENTITY + 20)
    }

    pub fn identity(&self, protocol: Protocol) -> Identity {
        Identity {
            family: self.message[0],
            protocol,
            bytes: bytes_at(self.message, ANSWER_IDENTITY),
        }
    }

    /// Whether it has an attribute of a kind with this value.
    pub fn has(&self, kind: u16, value: &[u8]) -> bool {
        NlasIterator::new(&self.message[ANSWER_LENGTH..])
            .filter_map(Result::ok)
            .any(|attribute| attribute.kind() == kind && attribute.value() == value)
    }

    fn end(&self, port: usize, address: usize) -> (IpAddr, u16) {
        let address = if self.message[0] == IPV4 {
            IpAddr::V4(Ipv4Addr::from(bytes_at::<4>(self.message, address)))
        } else {
            IpAddr::V6(Ipv6Addr::from(bytes_at::<16>(self.message, address)))
        };
        (address, u16::from_be_bytes(bytes_at(self.message, port)))
    }
}

fn open() -> io::Result<sys::Socket> {
    let mut socket = sys::Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&sys::SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn request(kind: u16, flags: u16, identity: &Identity, states: u32) -> [u8; REQUEST_LENGTH as usize] {
    let mut request = [0; REQUEST_LENGTH as usize];
    request[0..4].copy_from_slice(&u32::from(REQUEST_LENGTH).to_ne_bytes());
    request[4..6].copy_from_slice(&kind.to_ne_bytes());
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER_LENGTH] = identity.family;
    request[HEADER_LENGTH + 1] = identity.protocol.number();
    request[HEADER_LENGTH + 4..HEADER_LENGTH + 8].copy_from_slice(&states.to_ne_bytes());
    request[HEADER_LENGTH + 8..].copy_from_slice(&identity.bytes);
    request
}

/// `struct nlmsgerr`: 0, or an error number.
fn refusal(message: &[u8]) -> io::Result<()> {
    match u32_at(message, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "a cut off netlink message")),
    }
}

/// Zeros where there are no bytes.
fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let found = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
    found.copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}
