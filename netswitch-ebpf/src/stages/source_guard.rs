//! Source guard: what an endpoint may claim to be. Its device fixes its MAC and its addresses.

use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Kind, flags},
    verdict::DropReason,
};

use super::gateway;
use crate::{
    headers::{Arp, icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers, Packet},
};

const DHCP_SERVER: u16 = 67_u16.to_be();
const DHCP_CLIENT: u16 = 68_u16.to_be();
const DHCPV6_SERVER: u16 = 547_u16.to_be();

/// Options of one neighbour discovery message that are looked at; more are not believed.
const OPTIONS: u32 = 8;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// What is cheap and always needed stays here; the rest is called.
#[inline(always)]
pub fn check(frame: Frame, packet: &Packet, endpoint: &Endpoint) -> Result<(), DropReason> {
    let guarded = endpoint.flags & flags::NO_GUARD == 0;
    if packet.source[0] & 0x0100_u16.to_be() != 0 || (guarded && packet.source != endpoint.mac.words()) {
        return Err(DropReason::SpoofedMac);
    }
    if packet.tagged && endpoint.flags & flags::ALLOW_VLAN == 0 {
        return Err(DropReason::VlanTag);
    }
    if is_link_control(packet.destination) && endpoint.flags & flags::ALLOW_LINK_CONTROL == 0 {
        return Err(DropReason::LinkControl);
    }
    match packet.headers.family {
        Family::Other => Ok(()),
        Family::Arp if guarded && endpoint.kind == Kind::Container as u8 => arp(frame, endpoint),
        Family::Arp => Ok(()),
        Family::V4 => {
            if packet.headers.is_from_port(DHCP_SERVER) && !may(endpoint, flags::ALLOW_DHCP_SERVER) {
                return Err(DropReason::DhcpServer);
            }
            if !guarded || (packet.source_v4 == endpoint.v4 && endpoint.v4 != 0) {
                return Ok(());
            }
            source(frame, packet.headers, endpoint)
        }
        Family::V6 => {
            if endpoint.kind == Kind::Host as u8 && endpoint.flags & flags::V6 == 0 {
                return Err(DropReason::NoV6);
            }
            if packet.headers.is_from_port(DHCPV6_SERVER) && !may(endpoint, flags::ALLOW_DHCP_SERVER) {
                return Err(DropReason::DhcpServer);
            }
            if packet.headers.protocol == protocol::ICMPV6 {
                discovery(frame, packet.headers, endpoint)?;
            }
            if !guarded {
                return Ok(());
            }
            source(frame, packet.headers, endpoint)
        }
    }
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
    let Addresses { from, .. } = frame.addresses(headers.family)?;
    if is_mapped(headers.family, from) {
        return Err(DropReason::SpoofedAddress);
    }
    let allowed = if from.is_unspecified() {
        may_be_unspecified(frame, headers)
    } else {
        is_own(endpoint, from) || is_host(frame, endpoint, from)
    };
    if allowed {
        return Ok(());
    }
    Err(match endpoint.kind == Kind::Host as u8 && !from.is_unspecified() {
        true => DropReason::NotPublished,
        false => DropReason::SpoofedAddress,
    })
}

/// Whether an address of an IPv6 packet looks in the maps like an IPv4 one: `::ffff:a.b.c.d`, which
/// nobody has on a wire.
#[inline(always)]
pub fn is_mapped(family: Family, address: Address) -> bool {
    family == Family::V6 && address.as_v4().is_some()
}

/// Whether the endpoint is the host's port and the host has the address.
#[inline(always)]
fn is_host(frame: Frame, endpoint: &Endpoint, address: Address) -> bool {
    endpoint.kind == Kind::Host as u8
        && maps::network(endpoint.network)
            .is_some_and(|network| gateway::is_gateway(network, address) || gateway::is_local(frame, network, address))
}

/// A host without an address speaks DHCP, tests an address for duplicates (judged by
/// [`discovery`]) or reports its groups.
#[inline(always)]
fn may_be_unspecified(frame: Frame, headers: Headers) -> bool {
    if headers.family == Family::V4 {
        let mut destination = 0_u16;
        return headers.is_from_port(DHCP_CLIENT)
            && frame.load(u32::from(headers.transport) + 2, &mut destination).is_ok()
            && destination == DHCP_SERVER;
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
        && maps::neighbour(endpoint.network, address).is_some_and(|neighbour| neighbour.port.id == endpoint.id)
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

/// What a container claims in neighbour discovery: to be a router, or to have an address or a MAC.
#[inline(never)]
fn discovery(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<(), DropReason> {
    if headers.transport == 0 || endpoint.kind == Kind::Host as u8 {
        return Ok(());
    }
    let (claims_target, option, options) = match headers.kind() {
        icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT => {
            return match endpoint.flags & flags::ALLOW_ROUTER_ADVERTISEMENT != 0 {
                true => Ok(()),
                false => Err(DropReason::RouterAdvertisement),
            };
        }
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
    if claims_target {
        let mut target = Address::NONE;
        frame.load(u32::from(headers.transport) + 8, &mut target)?;
        if is_mapped(headers.family, target) || !is_own(endpoint, target) {
            return Err(DropReason::SpoofedNeighbour);
        }
    }
    let mut offset = u32::from(headers.transport) + options;
    for _ in 0..OPTIONS {
        if offset >= frame.length() {
            return Ok(());
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
    match offset >= frame.length() {
        true => Ok(()),
        false => Err(DropReason::Malformed),
    }
}
