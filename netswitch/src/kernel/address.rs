//! Addresses of devices.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
};
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::{Result, socket::Socket};

/// IPv4 with its broadcast address as Docker sets it, IPv6 without duplicate address detection.
pub fn add(socket: &mut Socket, index: u32, address: IpNetwork) -> Result<()> {
    change(socket, index, address, NLM_F_CREATE | NLM_F_EXCL)
}

/// As [`add`]; that it is there already is no error.
pub fn ensure(socket: &mut Socket, index: u32, address: IpNetwork) -> Result<()> {
    change(socket, index, address, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Gone already: no error.
pub fn delete(socket: &mut Socket, index: u32, address: IpNetwork) -> Result<()> {
    match socket.request(RouteNetlinkMessage::DelAddress(message(index, address)), 0) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::EADDRNOTAVAIL) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("delete address {address}"))),
    }
}

/// (device index, address) of every address of the namespace.
pub fn all(socket: &mut Socket) -> Result<Vec<(u32, IpNetwork)>> {
    let answers = socket
        .dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))
        .map_err(|refusal| refusal.of("list addresses"))?;
    Ok(answers.iter().filter_map(of_message).collect())
}

/// (device index, address) as a message of the address family tells it.
pub fn of_message(message: &RouteNetlinkMessage) -> Option<(u32, IpNetwork)> {
    let (RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message)) = message else {
        return None;
    };
    let mut local = None;
    let mut other = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            other = Some(*address);
        }
    }
    // IPv6 tells only the one, a point-to-point link's other address is its peer's
    let address = local.or(other)?;
    let network = IpNetwork::new(address, message.header.prefix_len).ok()?;
    Some((message.header.index, network))
}

fn change(socket: &mut Socket, index: u32, address: IpNetwork, flags: u16) -> Result<()> {
    let mut message = message(index, address);
    match address {
        IpNetwork::V4(v4) if v4.prefix() < 31 => {
            message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
        }
        IpNetwork::V4(_) => {}
        IpNetwork::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
    }
    match socket.request(RouteNetlinkMessage::NewAddress(message), flags) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("add address {address}"))),
    }
}

fn message(index: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.ip());
    message.header.prefix_len = address.prefix();
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address.ip()),
        AddressAttribute::Address(address.ip()),
    ];
    message
}

pub fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
