//! Source guard: what an endpoint may claim to be. Its device fixes its MAC and its addresses.

use core::cell::Cell;

use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Kind, flags},
    verdict::DropReason,
};

use super::near;
use crate::{
    headers::{Arp, ETHERNET_LENGTH, Ipv4, Ipv6, dhcp, icmp, icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers, LONGEST, Packet},
};

/// What every ICMP message starts with, in bytes.
const MESSAGE: u32 = 8;
/// Options of one neighbour discovery message that are looked at; more are not believed.
const OPTIONS: u32 = 8;
/// Where an IPv6 header has its addresses.
const ADDRESSES_V6: u32 = 8;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// What is cheap and always needed stays here; the rest is called.
#[inline(always)]
pub fn check(frame: Frame, packet: &Cell<Packet>, endpoint: &Endpoint) -> Result<(), DropReason> {
    let guarded = endpoint.flags & flags::NO_GUARD == 0;
    if packet.get().source[0] & 0x0100_u16.to_be() != 0 || (guarded && packet.get().source != endpoint.mac.words()) {
        return Err(DropReason::SpoofedMac);
    }
    if packet.get().tagged && endpoint.flags & flags::ALLOW_VLAN == 0 {
        return Err(DropReason::VlanTag);
    }
    if is_link_control(packet.get().destination) && endpoint.flags & flags::ALLOW_LINK_CONTROL == 0 {
        return Err(DropReason::LinkControl);
    }
    match packet.get().headers.family {
        Family::Other => Ok(()),
        Family::Arp if guarded && endpoint.kind == Kind::Container as u8 => arp(frame, endpoint),
        Family::Arp => Ok(()),
        Family::V4 => {
            let is_dhcp_server = packet.get().headers.is_from_port(dhcp::SERVER) || packet.get().to_dhcp_client;
            if is_dhcp_server && !may(endpoint, flags::ALLOW_DHCP_SERVER) {
                return Err(DropReason::DhcpServer);
            }
            if packet.get().headers.protocol == protocol::ICMP {
                message(frame, packet.get().headers, endpoint)?;
            }
            if !guarded || (packet.get().source_v4 == endpoint.v4 && endpoint.v4 != 0) {
                return Ok(());
            }
            source(frame, packet.get().headers, endpoint)
        }
        Family::V6 => {
            if endpoint.kind == Kind::Host as u8 && endpoint.flags & flags::V6 == 0 {
                return Err(DropReason::NoV6);
            }
            let is_dhcp_server = packet.get().headers.is_from_port(dhcp::SERVER_V6) || packet.get().to_dhcp_client;
            if is_dhcp_server && !may(endpoint, flags::ALLOW_DHCP_SERVER) {
                return Err(DropReason::DhcpServer);
            }
            if packet.get().headers.protocol == protocol::ICMPV6 {
                discovery(frame, packet.get().headers, endpoint)?;
            }
            if !guarded {
                return Ok(());
            }
            source(frame, packet.get().headers, endpoint)
        }
    }
}

/// Whether [`check`] lets a frame to one MAC pass and nothing has to be looked up for that: an IP packet from the
/// endpoint's own address, and no message that tells others about addresses.
#[inline(always)]
pub fn is_plain(frame: Frame, packet: &Packet, endpoint: &Endpoint) -> bool {
    let headers = packet.headers;
    if packet.source != endpoint.mac.words() || packet.tagged || packet.to_dhcp_client {
        return false;
    }
    match headers.family {
        Family::V4 => {
            packet.source_v4 == endpoint.v4
                && endpoint.v4 != 0
                && !headers.is_from_port(dhcp::SERVER)
                && (headers.protocol != protocol::ICMP || is_echo(frame, headers))
        }
        Family::V6 => {
            let is_message = headers.protocol == protocol::ICMPV6
                && !headers.is_icmpv6(icmpv6::ECHO_REQUEST)
                && !headers.is_icmpv6(icmpv6::ECHO_REPLY);
            let Some(Addresses { from, to }) = frame.read(ETHERNET_LENGTH + ADDRESSES_V6) else {
                return false;
            };
            !is_message
                && !headers.is_from_port(dhcp::SERVER_V6)
                && (from == endpoint.v6 || from == endpoint.link_local)
                && !from.is_unspecified()
                && !(headers.family.is_mapped(to) || to.is_unspecified() || to.is_loopback() || to == from)
        }
        Family::Arp | Family::Other => false,
    }
}

#[inline(always)]
fn is_echo(frame: Frame, headers: Headers) -> bool {
    let at = u32::from(headers.transport & LONGEST);
    let start: Option<[u8; 2]> = frame.read(at);
    headers.transport != 0
        && frame.ip_length(Family::V4).is_ok_and(|end| at + MESSAGE <= end)
        && start.is_some_and(|start| matches!(start[0], icmp::ECHO_REQUEST | icmp::ECHO_REPLY))
}

/// 01:80:c2:00:00:0x.
#[inline(always)]
fn is_link_control(mac: [u16; 3]) -> bool {
    mac[0] == 0x0180_u16.to_be() && mac[1] == 0xc200_u16.to_be() && mac[2] & 0xfff0_u16.to_be() == 0
}

/// What only a container needs leave for; the host is trusted with it.
#[inline(always)]
fn may(endpoint: &Endpoint, flag: u32) -> bool {
    endpoint.flags & flag != 0 || endpoint.kind == Kind::Host as u8
}

/// The source address: an own one, none yet, or any that the host has.
#[inline(never)]
fn source(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<(), DropReason> {
    let Addresses { from, to } = frame.addresses(headers.family)?;
    if headers.family.is_mapped(from) {
        return Err(DropReason::SpoofedAddress);
    }
    if headers.family.is_mapped(to) || to.is_unspecified() || to.is_loopback() || to == from {
        return Err(DropReason::Martian);
    }
    let allowed = if from.is_unspecified() {
        to.is_group() && may_be_unspecified(frame, headers)
    } else {
        is_own(endpoint, from) || is_host(frame, endpoint, from) || may_forward(frame, endpoint, from)
    };
    if allowed {
        return Ok(());
    }
    Err(match endpoint.kind == Kind::Host as u8 && !from.is_unspecified() {
        true => DropReason::NotPublished,
        false => DropReason::SpoofedAddress,
    })
}

/// Whether a router may send its neighbours what has that address: one beyond the network. What goes to the host or by
/// it to the world, and what goes to everybody, has the router's own source.
#[inline(always)]
fn may_forward(frame: Frame, endpoint: &Endpoint, address: Address) -> bool {
    if endpoint.flags & flags::ROUTER == 0 || endpoint.kind == Kind::Host as u8 {
        return false;
    }
    let Some(to) = frame.read::<[u16; 3]>(0) else {
        return false;
    };
    to[0] & 0x0100_u16.to_be() == 0 && to != endpoint.gateway.words() && is_beyond(frame, endpoint, address)
}

/// Whether an address is none of the network's and none of the host's.
#[inline(never)]
fn is_beyond(frame: Frame, endpoint: &Endpoint, address: Address) -> bool {
    let Some(network) = maps::network(endpoint.network) else {
        return false;
    };
    let is_special = address.is_group() || address.is_unspecified() || address.is_loopback() || address.is_none();
    !(is_special
        || address.as_v4().is_none() && address.is_v6_link_local()
        || maps::subnet(address).is_some_and(|subnet| subnet.network == endpoint.network)
        || network.is_gateway(address)
        || near::is_local(frame, network, address))
}

/// Whether the endpoint is the host's port and the host has the address.
#[inline(always)]
fn is_host(frame: Frame, endpoint: &Endpoint, address: Address) -> bool {
    endpoint.kind == Kind::Host as u8
        && maps::network(endpoint.network)
            .is_some_and(|network| network.is_gateway(address) || near::is_local(frame, network, address))
}

/// A host without an address speaks DHCP, tests an address for duplicates (judged by
/// [`discovery`]) or reports its groups.
#[inline(always)]
fn may_be_unspecified(frame: Frame, headers: Headers) -> bool {
    if headers.family == Family::V4 {
        let mut destination = 0_u16;
        return headers.is_from_port(dhcp::CLIENT)
            && frame.load(u32::from(headers.transport) + 2, &mut destination).is_ok()
            && destination == dhcp::SERVER;
    }
    headers.is_icmpv6(icmpv6::NEIGHBOUR_SOLICITATION)
        || headers.is_icmpv6(icmpv6::LISTENER_REPORT)
        || headers.is_icmpv6(icmpv6::LISTENER_DONE)
        || headers.is_icmpv6(icmpv6::LISTENER_REPORT_2)
}

/// An address that ADDRESSES gives to this endpoint.
#[inline(always)]
fn is_further(endpoint: &Endpoint, address: Address) -> bool {
    endpoint.flags & flags::MORE_ADDRESSES != 0
        && (maps::neighbour(endpoint.network, address).is_some_and(|neighbour| neighbour.port.id == endpoint.id)
            || maps::may_hold(endpoint.id, address))
}

/// Whether the address is the endpoint's.
#[inline(always)]
pub fn is_own(endpoint: &Endpoint, address: Address) -> bool {
    let own = match address.as_v4() {
        Some(v4) => v4 == endpoint.v4,
        None => address == endpoint.v6 || address == endpoint.link_local,
    };
    (own && !address.is_unspecified()) || is_further(endpoint, address)
}

/// The sender's MAC and address in an ARP packet; a probe has no address yet (RFC 5227).
#[inline(never)]
fn arp(frame: Frame, endpoint: &Endpoint) -> Result<(), DropReason> {
    let arp = frame.arp()?;
    let sender = arp.sender();
    if arp.is_ethernet_and_ipv4()
        && arp.sender_mac == endpoint.mac.words()
        && (is_own(endpoint, sender) || (sender.is_unspecified() && arp.operation == Arp::REQUEST))
    {
        Ok(())
    } else {
        Err(DropReason::SpoofedArp)
    }
}

/// What a container claims in ICMP over IPv4, as in [`discovery`].
#[inline(never)]
fn message(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<(), DropReason> {
    if headers.transport == 0 || endpoint.kind == Kind::Host as u8 {
        return Ok(());
    }
    let mut start = [0_u8; 2];
    frame.load(headers.transport.into(), &mut start)?;
    if frame.ip_length(headers.family)? < u32::from(headers.transport) + MESSAGE {
        return Err(DropReason::Malformed);
    }
    match start[0] {
        icmp::REDIRECT | icmp::ROUTER_ADVERTISEMENT => routes(endpoint),
        icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM => {
            complains(frame, headers, endpoint)
        }
        _ => Ok(()),
    }
}

/// Only routers tell others the way.
#[inline(always)]
fn routes(endpoint: &Endpoint) -> Result<(), DropReason> {
    match endpoint.flags & flags::ALLOW_ROUTER_ADVERTISEMENT != 0 {
        true => Ok(()),
        false => Err(DropReason::RouterAdvertisement),
    }
}

/// An ICMP error is about a packet that its sender got: to others' it could put an end, or make them small.
#[inline(always)]
fn complains(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<(), DropReason> {
    if endpoint.flags & flags::NO_GUARD != 0 {
        return Ok(());
    }
    let quoted = u32::from(headers.transport) + MESSAGE;
    let mut to = Address::NONE;
    let quoted_end = if headers.family == Family::V4 {
        let mut word = 0_u32;
        frame.load(quoted + 16, &mut word)?;
        to = Address::v4(word);
        quoted + size_of::<Ipv4>() as u32
    } else {
        frame.load(quoted + 24, &mut to)?;
        quoted + size_of::<Ipv6>() as u32
    };
    if frame.ip_length(headers.family)? < quoted_end {
        return Err(DropReason::Malformed);
    }
    match !headers.family.is_mapped(to) && (is_own(endpoint, to) || may_forward(frame, endpoint, to)) {
        true => Ok(()),
        false => Err(DropReason::SpoofedError),
    }
}

/// What a container claims in neighbour discovery and ICMPv6's errors: to be a router, or to have an address or a MAC.
#[inline(never)]
fn discovery(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<(), DropReason> {
    if headers.transport == 0 || endpoint.kind == Kind::Host as u8 {
        return Ok(());
    }
    let (claims_target, option, options) = match headers.kind() {
        icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT => return routes(endpoint),
        1..=icmpv6::LAST_ERROR => return complains(frame, headers, endpoint),
        icmpv6::ROUTER_SOLICITATION => (false, SOURCE_LINK_LAYER, 8),
        icmpv6::NEIGHBOUR_SOLICITATION => {
            let Addresses { from, .. } = frame.addresses(headers.family)?;
            (from.is_none(), SOURCE_LINK_LAYER, 24)
        }
        icmpv6::NEIGHBOUR_ADVERTISEMENT => (true, TARGET_LINK_LAYER, 24),
        _ => return Ok(()),
    };
    if endpoint.flags & flags::NO_GUARD != 0 {
        return Ok(());
    }
    // its options may be in another one; receivers ignore it (RFC 6980)
    if headers.more_fragments != 0 {
        return Err(DropReason::Malformed);
    }
    if claims_target {
        let mut target = Address::NONE;
        frame.load(u32::from(headers.transport) + 8, &mut target)?;
        if headers.family.is_mapped(target) || !is_own(endpoint, target) {
            return Err(DropReason::SpoofedNeighbour);
        }
    }
    let mut offset = u32::from(headers.transport) + options;
    let end = frame.ip_length(headers.family)?;
    for _ in 0..OPTIONS {
        if offset == end {
            return Ok(());
        }
        if offset + 8 > end {
            return Err(DropReason::Malformed);
        }
        let mut words = [0_u16; 4];
        frame.load(offset, &mut words)?;
        let [number, length] = words[0].to_ne_bytes();
        if length == 0 {
            return Err(DropReason::Malformed);
        }
        if number == option && [words[1], words[2], words[3]] != endpoint.mac.words() {
            return Err(DropReason::SpoofedNeighbour);
        }
        offset += u32::from(length) * 8;
    }
    match offset == end {
        true => Ok(()),
        false => Err(DropReason::Malformed),
    }
}
