//! `WireGuard` devices by generic netlink (`linux/wireguard.h`, `linux/genetlink.h`): no `wg` is needed.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::world::Namespace;

/// Of the two ends: bytes of the private key, and the public key that follows from it (RFC 7748, 6.1).
const KEYS: [([u8; 32], [u8; 32]); 2] = [
    (
        [7; 32],
        [
            0x13, 0xbe, 0x4f, 0xea, 0xea, 0xf2, 0x04, 0xc7, 0xfd, 0x33, 0x58, 0xfc, 0x9c, 0x00, 0x72, 0x18, 0x81, 0xd1,
            0x74, 0x27, 0x81, 0x28, 0x22, 0x7e, 0xc6, 0x74, 0xf3, 0x7f, 0x7f, 0xe9, 0x7b, 0x6d,
        ],
    ),
    (
        [9; 32],
        [
            0x57, 0xdb, 0x4b, 0x35, 0x9f, 0x23, 0xae, 0x5e, 0x14, 0x6e, 0x4e, 0x25, 0x12, 0x05, 0x67, 0x04, 0x72, 0x25,
            0x06, 0x34, 0x8c, 0x15, 0x0c, 0x14, 0x75, 0x3d, 0x0c, 0x93, 0x3d, 0x04, 0xd4, 0x21,
        ],
    ),
];
const PORT: u16 = 51_820;

// linux/netlink.h
const NETLINK_GENERIC: libc::c_int = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
// linux/genetlink.h: the controller tells the number of a family by its name
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
// linux/wireguard.h
const SET_DEVICE: u8 = 1;
const DEVICE_NAME: u16 = 2;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_LISTEN_PORT: u16 = 6;
const DEVICE_PEERS: u16 = 8;
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_ENDPOINT: u16 = 4;
const PEER_ALLOWED: u16 = 9;
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_LENGTH: u16 = 3;

/// Gives a device one of two keys, and the other end, at this address, everything to carry.
pub(super) fn configure(namespace: &Namespace, device: &str, is_first: bool, other: &str) {
    let [own, peer] = if is_first { [0, 1] } else { [1, 0] };
    let other: Ipv4Addr = other.parse().expect("an IPv4 address");
    let endpoint = [&2_u16.to_ne_bytes()[..], &PORT.to_be_bytes(), &other.octets(), &[0; 8]].concat();
    let everything = [(libc::AF_INET, 4), (libc::AF_INET6, 16)].map(|(family, length)| {
        let family = u16::try_from(family).expect("a family").to_ne_bytes();
        let allowed = [
            attribute(ALLOWED_FAMILY, &family),
            attribute(ALLOWED_ADDRESS, &vec![0; length]),
            attribute(ALLOWED_LENGTH, &[0]),
        ];
        attribute(NESTED, &allowed.concat())
    });
    let peer = [
        attribute(PEER_PUBLIC_KEY, &KEYS[peer].1),
        attribute(PEER_ENDPOINT, &endpoint),
        attribute(PEER_ALLOWED | NESTED, &everything.concat()),
    ];
    let attributes = [
        attribute(DEVICE_NAME, &[device.as_bytes(), &[0]].concat()),
        attribute(DEVICE_PRIVATE_KEY, &KEYS[own].0),
        attribute(DEVICE_LISTEN_PORT, &PORT.to_ne_bytes()),
        attribute(DEVICE_PEERS | NESTED, &attribute(NESTED, &peer.concat())),
    ];
    let set = namespace.enter(|| {
        let socket = open()?;
        let family = family(&socket)?;
        ask(&socket, family, SET_DEVICE, &attributes.concat()).map(drop)
    });
    set.unwrap_or_else(|error| panic!("{device}: {error}"));
}

fn open() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved
    match unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, NETLINK_GENERIC) } {
        ..0 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made this descriptor for us
        socket => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
    }
}

/// The number of the family `wireguard`.
fn family(socket: &OwnedFd) -> io::Result<u16> {
    let answer = ask(socket, CONTROLLER, GET_FAMILY, &attribute(FAMILY_NAME, b"wireguard\0"))?;
    // behind the headers: attributes, each aligned to four bytes
    let mut rest = answer.get(20..).unwrap_or_default();
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_ne_bytes([a, b])).max(4);
        if let (FAMILY_ID, Some([low, high])) = (u16::from_ne_bytes([c, d]), rest.get(4..6)) {
            return Ok(u16::from_ne_bytes([*low, *high]));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(io::Error::other("no number of the family"))
}

/// Sends a request and reads the first answer: what was asked for, or an acknowledgement.
fn ask(socket: &OwnedFd, kind: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(20 + attributes.len()).expect("a short message");
    let message = [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes(),
        &[0; 8],
        &[command, 1, 0, 0],
        attributes,
    ]
    .concat();
    // SAFETY: the buffer is as long as the call is told
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0; 8192];
    // SAFETY: the buffer is ours, writable, and as long as the call is told
    let length = unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    answer.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    match answer[..] {
        [_, _, _, _, a, b, _, _, _, _, _, _, _, _, _, _, e0, e1, e2, e3, ..]
            if u16::from_ne_bytes([a, b]) == NLMSG_ERROR =>
        {
            match i32::from_ne_bytes([e0, e1, e2, e3]) {
                0 => Ok(answer),
                error => Err(io::Error::from_raw_os_error(-error)),
            }
        }
        _ => Ok(answer),
    }
}

/// `struct nlattr`, its value, and what aligns the next one.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a short attribute");
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
