//! Default routes, and the destinations that are taken already.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
    },
};
use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};

use super::{Result, Route, address::family, socket::Socket};

/// `RT_TABLE_LOCAL`: the host's own addresses.
const TABLE_LOCAL: u32 = 255;

/// Replaces the default route of that family.
pub fn set_default(socket: &mut Socket, index: u32, gateway: IpAddr) -> Result<()> {
    let mut message = default(index, gateway);
    message.header.protocol = RouteProtocol::Boot; // as `ip route` and Docker do: shown without "proto"
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    match socket.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("set default route via {gateway}"))),
    }
}

/// Gone already: no error.
pub fn delete_default(socket: &mut Socket, index: u32, gateway: IpAddr) -> Result<()> {
    let mut message = default(index, gateway);
    message.header.scope = RouteScope::NoWhere; // any
    match socket.request(RouteNetlinkMessage::DelRoute(message), 0) {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(Errno::ESRCH) => Ok(()),
        Err(refusal) => Err(refusal.of(format_args!("delete default route via {gateway}"))),
    }
}

/// Unicast routes in every table but the local one, default routes and link-local networks left out.
pub fn all(socket: &mut Socket) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        routes.extend(list(socket, family)?.iter().filter_map(route));
    }
    routes.sort();
    routes.dedup();
    Ok(routes)
}

/// Prefixes of IPv6's routes in these tables, whatever the routes' type.
pub fn prefixes(socket: &mut Socket, tables: &[u32]) -> Result<Vec<(u32, IpNetwork)>> {
    let routes = list(socket, AddressFamily::Inet6)?;
    let mut prefixes: Vec<_> = routes.iter().filter_map(prefix).collect();
    prefixes.retain(|(table, _)| tables.contains(table));
    prefixes.sort();
    prefixes.dedup();
    Ok(prefixes)
}

/// Of a route in a table that is not cached.
fn prefix(message: &RouteNetlinkMessage) -> Option<(u32, IpNetwork)> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    let header = &message.header;
    let (mut table, mut address) = (u32::from(header.table), IpAddr::from([0; 16]));
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number; // wider than the header's
        } else if let RouteAttribute::Destination(destination) = attribute {
            address = ip(destination)?;
        }
    }
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    Some((table, IpNetwork::new(address, header.destination_prefix_length).ok()?))
}

/// All routes of a family.
fn list(socket: &mut Socket, family: AddressFamily) -> Result<Vec<RouteNetlinkMessage>> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    let answers = socket.dump(&RouteNetlinkMessage::GetRoute(message));
    answers.map_err(|refusal| refusal.of("list routes"))
}

/// Whether there is a default route of that family, in the main table.
pub fn has_default(socket: &mut Socket, family: AddressFamily) -> Result<bool> {
    Ok(list(socket, family)?.iter().any(|message| {
        matches!(message, RouteNetlinkMessage::NewRoute(route)
            if route.header.destination_prefix_length == 0
                && route.header.table == RouteHeader::RT_TABLE_MAIN
                && route.header.kind == RouteType::Unicast)
    }))
}

fn route(message: &RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    let header = &message.header;
    let mut table = u32::from(header.table);
    let mut address = None;
    let mut by_gateway = false;
    for attribute in &message.attributes {
        if let RouteAttribute::Table(number) = attribute {
            table = *number; // wider than the header's
        } else if let RouteAttribute::Destination(destination) = attribute {
            address = ip(destination);
        } else if let RouteAttribute::MultiPath(ways) = attribute {
            by_gateway = ways.iter().flat_map(|way| &way.attributes).any(is_gateway);
        } else if is_gateway(attribute) {
            by_gateway = true;
        }
    }
    let ours = header.kind == RouteType::Unicast && table != TABLE_LOCAL && !header.flags.contains(RouteFlags::Cloned);
    let address = address.filter(|address| ours && !is_of_every_link(*address))?;
    Some(Route {
        destination: IpNetwork::new(address, header.destination_prefix_length).ok()?,
        by_gateway,
    })
}

const fn is_gateway(attribute: &RouteAttribute) -> bool {
    matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(v4) = address {
        Some((*v4).into())
    } else if let RouteAddress::Inet6(v6) = address {
        Some((*v6).into())
    } else {
        None
    }
}

/// Loopback, multicast and IPv6 link-local networks are on every host or link.
fn is_of_every_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn default(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.attributes = vec![RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(index)];
    message
}
