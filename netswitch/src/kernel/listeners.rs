//! Which sockets of the host hold ports, by `sock_diag` (what `ss -lntu` asks).
//!
//! The messages are few and fixed, so they are written and read here (`linux/inet_diag.h`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netswitch_common::host::SOCKET_MARK;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NlasIterator},
    sys::{self, protocols::NETLINK_SOCK_DIAG},
};

use super::{Error, Result};
use crate::model::publish::{Listener, Protocol};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// Address families, `linux/socket.h`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `struct nlmsghdr`.
const HEADER_LENGTH: usize = 16;
/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and a socket's identity.
const REQUEST_LENGTH: u8 = 16 + 8 + 48;
/// `struct inet_diag_msg`; attributes follow.
const ANSWER_LENGTH: usize = 72;
/// Where its identity of the socket starts: port, peer's port, address.
const PORT: usize = 4;
const ADDRESS: usize = 8;
/// `INET_DIAG_SKV6ONLY`, told unasked.
const V6_ONLY: u16 = 11;
/// `INET_DIAG_MARK`, told to who may administer the network.
const MARK: u16 = 15;
/// Socket states of `net/tcp_states.h`, as bits. A socket without a peer is closed, where its protocol
/// knows no listening.
const CLOSED: u32 = 1 << 7;
const LISTENING: u32 = 1 << 10;
/// Dumps come in datagrams of at most 32 KiB (`netlink_dump`).
const DATAGRAM_MAX: usize = 64 * 1024;

/// Listening TCP and SCTP sockets and bound UDP sockets of the calling thread's namespace, but the agent's own.
pub fn all() -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (protocol, states) in [
        (Protocol::Tcp, LISTENING),
        (Protocol::Udp, CLOSED),
        (Protocol::Sctp, LISTENING),
    ] {
        for family in [IPV4, IPV6] {
            match dump(protocol, states, family, &mut listeners) {
                // the kernel does not have the protocol, or not the module that tells of it
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    if protocol != Protocol::Sctp {
                        tracing::warn!(%protocol, "the kernel does not tell which ports its sockets hold");
                    }
                }
                result => result.map_err(|error| Error::system(format!("list {protocol} sockets"), error))?,
            }
        }
    }
    Ok(listeners)
}

fn dump(protocol: Protocol, states: u32, family: u8, listeners: &mut Vec<Listener>) -> io::Result<()> {
    let mut socket = sys::Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&sys::SocketAddr::new(0, 0))?;
    socket.send(&request(protocol, states, family), 0)?;
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
                Some(NLMSG_ERROR) => {
                    let errno = u32_at(message, 0).unwrap_or_default().cast_signed();
                    return Err(io::Error::from_raw_os_error(-errno));
                }
                _ => listeners.extend(listener(protocol, message)),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn request(protocol: Protocol, states: u32, family: u8) -> [u8; REQUEST_LENGTH as usize] {
    let mut request = [0; REQUEST_LENGTH as usize];
    request[0..4].copy_from_slice(&u32::from(REQUEST_LENGTH).to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request[HEADER_LENGTH] = family;
    request[HEADER_LENGTH + 1] = protocol.number();
    request[HEADER_LENGTH + 4..HEADER_LENGTH + 8].copy_from_slice(&states.to_ne_bytes());
    request
}

/// `None`: a socket without a port, or the agent's own, which makes way.
fn listener(protocol: Protocol, message: &[u8]) -> Option<Listener> {
    let port = u16::from_be_bytes(*message.get(PORT..)?.first_chunk()?);
    let address = message.get(ADDRESS..)?;
    let address = if *message.first()? == IPV4 {
        IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(*address.first_chunk::<16>()?))
    };
    let attributes = message.get(ANSWER_LENGTH..)?;
    let has = |kind: u16, value: &[u8]| {
        NlasIterator::new(attributes)
            .filter_map(std::result::Result::ok)
            .any(|attribute| attribute.kind() == kind && attribute.value() == value)
    };
    let v6_only = has(V6_ONLY, &[1]);
    let is_own = has(MARK, &SOCKET_MARK.to_ne_bytes());
    (port != 0 && !is_own).then_some(Listener {
        protocol,
        address,
        port,
        v6_only,
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}
