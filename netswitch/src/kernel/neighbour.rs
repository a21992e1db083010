//! Permanent neighbours.

use std::net::IpAddr;

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use netswitch_common::address::Mac;
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::{Result, address::family, socket::Socket};

/// Permanent; replaces what is there.
pub fn set(socket: &mut Socket, index: u32, address: IpAddr, mac: Mac) -> Result<()> {
    let mut message = message(index, address);
    message.header.state = NeighbourState::Permanent;
    message
        .attributes
        .push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    match socket.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("set neighbour {address}"))),
    }
}

/// Gone already: no error.
pub fn delete(socket: &mut Socket, index: u32, address: IpAddr) -> Result<()> {
    match socket.request(RouteNetlinkMessage::DelNeighbour(message(index, address)), 0) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::ENOENT) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("delete neighbour {address}"))),
    }
}

/// Permanent neighbours of a device.
pub fn of_device(socket: &mut Socket, index: u32) -> Result<Vec<(IpAddr, Mac)>> {
    let mut message = NeighbourMessage::default();
    message.attributes.push(NeighbourAttribute::IfIndex(index)); // filtered in the kernel
    let answers = socket
        .dump(&RouteNetlinkMessage::GetNeighbour(message))
        .map_err(|refusal| refusal.of("list neighbours"))?;
    Ok(answers
        .iter()
        .filter_map(|answer| permanent_of(answer, index))
        .collect())
}

fn permanent_of(message: &RouteNetlinkMessage, index: u32) -> Option<(IpAddr, Mac)> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else {
        return None;
    };
    if message.header.ifindex != index || message.header.state != NeighbourState::Permanent {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        if let NeighbourAttribute::Destination(destination) = attribute {
            address = ip(destination);
        } else if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            mac = bytes.as_slice().try_into().ok().map(Mac);
        }
    }
    Some((address?, mac?))
}

fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    if let NeighbourAddress::Inet(v4) = address {
        Some((*v4).into())
    } else if let NeighbourAddress::Inet6(v6) = address {
        Some((*v6).into())
    } else {
        None
    }
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}
