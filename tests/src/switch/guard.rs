//! The model's source guard: what a port may say.

use std::net::IpAddr;

use netswitch_common::{address::Mac, endpoint::flags, verdict::DropReason};

use super::{
    Passage, Switch,
    headers::{Ip, Payload},
    is_mapped,
};
use crate::packet::{Arp, NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, SOURCE_LINK_LAYER, TARGET_LINK_LAYER};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
/// Redirect and router advertisement (RFC 792, RFC 1256).
const ROUTERS: [u8; 2] = [5, 9];
/// Unreachable, source quench, time exceeded, parameter problem (RFC 792), and those of IPv6 (RFC 4443).
pub(super) const ERRORS: [u8; 4] = [3, 4, 11, 12];
pub(super) const ERRORS_V6: [u8; 4] = [1, 2, 3, 4];
/// Multicast listener report, done, and report version 2 (RFC 2710, RFC 3810).
const LISTENER: [u8; 3] = [131, 132, 143];
const DHCP_CLIENT: u16 = 68;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT_V6: u16 = 546;
const DHCP_SERVER_V6: u16 = 547;

/// Options of a neighbour message that are read.
const MOST_OPTIONS: usize = 8;

impl Switch {
    pub(super) fn guard(&self, passage: &Passage) -> Result<(), DropReason> {
        guard_link(passage)?;
        let guarded = !passage.may(flags::NO_GUARD);
        match &passage.headers.payload {
            Payload::Arp(arp) if guarded && !passage.is_from_host() => {
                self.guard_arp(passage, arp.as_ref().ok_or(DropReason::Malformed)?)
            }
            Payload::Ip(ip) => {
                if passage.is_from_host() {
                    let v6 = passage.may(flags::V6) || ip.source.is_ipv4();
                    v6.then_some(()).ok_or(DropReason::NoV6)?;
                } else {
                    guard_dhcp(passage, ip)?;
                }
                if !passage.is_from_host() {
                    guard_routers(passage, ip)?;
                    if guarded {
                        self.guard_error(passage, ip)?;
                        self.guard_neighbour(passage, ip)?;
                    }
                }
                if guarded {
                    self.guard_address(passage, ip)
                } else {
                    Ok(())
                }
            }
            Payload::Arp(_) | Payload::Vlan | Payload::Other => Ok(()),
        }
    }

    /// A container speaks from its own addresses; the host from any of its own, for a container
    /// hears the world through publications alone.
    fn guard_address(&self, passage: &Passage, ip: &Ip) -> Result<(), DropReason> {
        let to = ip.destination;
        let (allowed, reason) = if is_mapped(ip.source) {
            (false, DropReason::SpoofedAddress)
        } else if is_mapped(to) || to.is_unspecified() || to.is_loopback() || to == ip.source {
            (false, DropReason::Martian)
        } else if ip.source.is_unspecified() {
            (speaks_without_address(ip), DropReason::SpoofedAddress)
        } else if passage.is_from_host() {
            (self.is_local(passage.network, ip.source), DropReason::NotPublished)
        } else {
            (self.owns(passage.sender, ip.source), DropReason::SpoofedAddress)
        };
        allowed.then_some(()).ok_or(reason)
    }

    fn guard_arp(&self, passage: &Passage, arp: &Arp) -> Result<(), DropReason> {
        let (mac, address) = arp.sender;
        let probe = arp.operation == 1 && address.is_unspecified();
        let own = mac == passage.sender.mac && (probe || self.owns(passage.sender, address.into()));
        (own && arp.kind == Arp::ETHERNET_V4)
            .then_some(())
            .ok_or(DropReason::SpoofedArp)
    }

    /// An ICMP error is about a packet to its sender.
    fn guard_error(&self, passage: &Passage, ip: &Ip) -> Result<(), DropReason> {
        let is_error = ip.icmp()?.is_some_and(|kind| ERRORS.contains(&kind))
            || ip.icmpv6().is_some_and(|kind| ERRORS_V6.contains(&kind));
        if !is_error {
            return Ok(());
        }
        let to = ip.quoted_destination()?;
        let own = !is_mapped(to) && self.owns(passage.sender, to);
        own.then_some(()).ok_or(DropReason::SpoofedError)
    }

    /// Neighbour messages speak for their sender only: an advertisement and a test for duplicates
    /// about its addresses, and all of them about its MAC.
    fn guard_neighbour(&self, passage: &Passage, ip: &Ip) -> Result<(), DropReason> {
        let (claims, option, head) = match ip.icmpv6() {
            Some(ROUTER_SOLICITATION) => (false, SOURCE_LINK_LAYER, 8),
            Some(NEIGHBOUR_SOLICITATION) => (ip.source.is_unspecified(), SOURCE_LINK_LAYER, 24),
            Some(NEIGHBOUR_ADVERTISEMENT) => (true, TARGET_LINK_LAYER, 24),
            _ => return Ok(()),
        };
        if ip.more_fragments {
            return Err(DropReason::Malformed);
        }
        if claims {
            let target = ip.target()?.into();
            if is_mapped(target) || !self.owns(passage.sender, target) {
                return Err(DropReason::SpoofedNeighbour);
            }
        }
        let mut rest = ip.transport.get(head..).unwrap_or_default();
        for _ in 0..MOST_OPTIONS {
            let [kind, length, body @ ..] = rest else {
                break;
            };
            let mac = body.get(..6).ok_or(DropReason::Malformed)?;
            if *length == 0 {
                return Err(DropReason::Malformed);
            }
            if *kind == option && mac != passage.sender.mac.0 {
                return Err(DropReason::SpoofedNeighbour);
            }
            rest = rest.get(usize::from(*length) * 8..).ok_or(DropReason::Malformed)?;
        }
        rest.is_empty().then_some(()).ok_or(DropReason::Malformed)
    }
}

fn guard_link(passage: &Passage) -> Result<(), DropReason> {
    let headers = &passage.headers;
    let own = headers.source == passage.sender.mac || passage.may(flags::NO_GUARD);
    if headers.source.is_group() || !own {
        return Err(DropReason::SpoofedMac);
    }
    if matches!(headers.payload, Payload::Vlan) && !passage.may(flags::ALLOW_VLAN) {
        return Err(DropReason::VlanTag);
    }
    let control = matches!(headers.destination, Mac([0x01, 0x80, 0xc2, 0, 0, last]) if last < 16);
    if control && !passage.may(flags::ALLOW_LINK_CONTROL) {
        return Err(DropReason::LinkControl);
    }
    Ok(())
}

fn guard_dhcp(passage: &Passage, ip: &Ip) -> Result<(), DropReason> {
    let (client, server) = if ip.source.is_ipv4() {
        (DHCP_CLIENT, DHCP_SERVER)
    } else {
        (DHCP_CLIENT_V6, DHCP_SERVER_V6)
    };
    let speaks = ip.udp_port(0) == Some(server) || ip.udp_port(2) == Some(client);
    if speaks && !passage.may(flags::ALLOW_DHCP_SERVER) {
        return Err(DropReason::DhcpServer);
    }
    Ok(())
}

fn guard_routers(passage: &Passage, ip: &Ip) -> Result<(), DropReason> {
    let router = matches!(ip.icmpv6(), Some(ROUTER_ADVERTISEMENT | REDIRECT))
        || ip.icmp()?.is_some_and(|kind| ROUTERS.contains(&kind));
    if router && !passage.may(flags::ALLOW_ROUTER_ADVERTISEMENT) {
        return Err(DropReason::RouterAdvertisement);
    }
    Ok(())
}

/// To everybody: asking for an address by DHCP, testing one for duplicates, reporting its groups.
fn speaks_without_address(ip: &Ip) -> bool {
    let to_group = ip.destination.is_multicast() || ip.destination == IpAddr::from([255; 4]);
    to_group
        && match ip.source {
            IpAddr::V4(_) => ip.udp_port(0) == Some(DHCP_CLIENT) && ip.udp_port(2) == Some(DHCP_SERVER),
            IpAddr::V6(_) => ip.is_solicitation() || ip.icmpv6().is_some_and(|kind| LISTENER.contains(&kind)),
        }
}
