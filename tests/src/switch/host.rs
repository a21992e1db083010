//! The model's closed host: `netswitch.host_access`, and metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::{endpoint::flags, network::Network};

use super::{
    Passage,
    guard::{ERRORS, ERRORS_V6},
    headers::Payload,
};
use crate::packet::NEIGHBOUR_ADVERTISEMENT;

/// Where cloud providers serve their metadata.
pub const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

const ECHO_REPLY: u8 = 0;
const TIMESTAMP_REPLY: u8 = 14;
const ECHO_REPLY_V6: u8 = 129;

impl Passage<'_> {
    /// Whether the host's stack is open to what this is.
    pub(super) fn finds_the_host_open(&self) -> bool {
        let closed = match &self.headers.payload {
            Payload::Arp(_) => 0,
            Payload::Ip(ip) if ip.source.is_ipv4() => flags::NO_HOST_V4,
            Payload::Ip(_) => flags::NO_HOST_V6,
            Payload::Vlan | Payload::Other => flags::NO_HOST_V4 | flags::NO_HOST_V6,
        };
        !self.may(closed)
    }

    /// Whether the host may have begun what this belongs to. Here it has no socket that speaks with anybody: that
    /// leaves messages.
    pub(super) fn goes_on_with_the_host(&self) -> bool {
        let is_group = |to: IpAddr| to.is_multicast() || to == IpAddr::from([255; 4]);
        let Some(ip) = self.ip().filter(|ip| !is_group(ip.destination)) else {
            return false;
        };
        let may_echo = self.may(flags::MAY_ASK) && is_gateway(self.network, ip.destination);
        let names_a_question = || ip.transport.get(4..6).is_some_and(|identifier| identifier != [0; 2]);
        match (ip.icmp().ok().flatten(), ip.icmpv6()) {
            (Some(ECHO_REPLY | TIMESTAMP_REPLY), _) | (_, Some(ECHO_REPLY_V6)) => may_echo || names_a_question(),
            (Some(kind), _) => may_echo || ERRORS.contains(&kind),
            (_, Some(kind)) => may_echo || ERRORS_V6.contains(&kind) || kind == NEIGHBOUR_ADVERTISEMENT,
            (None, None) => false,
        }
    }
}

/// Whether the host end carries the address.
pub(super) fn is_gateway(network: &Network, address: IpAddr) -> bool {
    [network.gateway_v4, network.gateway_v6, network.link_local].contains(&address.into())
}
