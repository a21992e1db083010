//! `sock_diag`: what sockets the calling thread's namespace has, and the end of one.
//!
//! The messages are few and fixed, so they are written and read here (`linux/sock_diag.h`, `linux/inet_diag.h`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NlasIterator},
    sys::protocols::NETLINK_SOCK_DIAG,
};

use super::raw_netlink::{self, bytes_at};
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

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and a socket's identity.
const REQUEST_LENGTH: usize = 8 + IDENTITY_LENGTH;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const IDENTITY_LENGTH: usize = 48;
/// `struct inet_diag_msg`: family, state, timer, retransmissions, an identity, and what is not read. Attributes follow.
const ANSWER_LENGTH: usize = 72;
const ANSWER_IDENTITY: usize = 4;

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
    let any = Identity {
        family: question.family,
        protocol: question.protocol,
        bytes: [0; IDENTITY_LENGTH],
    };
    let request = request(BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &any, question.states);
    raw_netlink::dump(&raw_netlink::open(NETLINK_SOCK_DIAG)?, &request, |message| {
        if message.len() >= ANSWER_LENGTH {
            each(&Answer { message });
        }
    })
}

/// Ends a socket: its program hears `ECONNABORTED`, or `EDESTADDRREQ` where it sends first. Needs
/// `CONFIG_INET_DIAG_DESTROY`.
pub fn destroy(identity: &Identity) -> io::Result<()> {
    let request = request(DESTROY, NLM_F_REQUEST | NLM_F_ACK, identity, u32::MAX);
    raw_netlink::ask(&raw_netlink::open(NETLINK_SOCK_DIAG)?, &request).map(drop)
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

fn request(kind: u16, flags: u16, identity: &Identity, states: u32) -> Vec<u8> {
    let mut body = [0; REQUEST_LENGTH];
    body[0] = identity.family;
    body[1] = identity.protocol.number();
    body[4..8].copy_from_slice(&states.to_ne_bytes());
    body[8..].copy_from_slice(&identity.bytes);
    raw_netlink::request(kind, flags, &body)
}
