//! Names: questions to a gateway's port 53 are for the agent, which listens on another one, so that port 53
//! stays the host's and the container's own.

use netswitch_common::{
    endpoint::{Endpoint, Kind},
    network::Network,
};

use super::tuple;
use crate::{
    headers::{dns::PORT, protocol},
    maps,
    packet::{Family, Frame, Headers, LONGEST},
    work::Work,
};

/// Where the agent listens, in network order; 0 for nowhere.
#[inline(always)]
pub fn agent_port() -> u16 {
    maps::config().map_or(0, |config| config.names_port.to_be())
}

/// Whether a container's packet, which [`tuple`] has read, asks one of its network's gateways.
#[inline(always)]
pub fn is_question(work: &Work, network: &Network) -> bool {
    work.tuple.to_port == PORT
        && work.quoted == 0
        && work.headers.transport != 0
        && matches!(work.headers.protocol, protocol::TCP | protocol::UDP)
        && network.is_resolver(work.destination)
        && agent_port() != 0
}

/// Whether a frame of the host's to a container comes from the agent's port, or tells that nobody is there.
#[inline(always)]
pub fn is_answer(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    endpoint.kind == Kind::Host as u8
        && matches!(headers.family, Family::V4 | Family::V6)
        && is_from_agent(frame, headers, endpoint)
}

#[inline(never)]
fn is_from_agent(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    let port = agent_port();
    if port == 0 {
        return false;
    }
    // most of what the host says is something else
    let may_be = match headers.protocol {
        protocol::UDP => headers.port == port,
        protocol::TCP => frame.read(u32::from(headers.transport & LONGEST)) == Some(port),
        protocol::ICMP | protocol::ICMPV6 => true,
        _ => false,
    };
    if !may_be || headers.transport == 0 || tuple::read(frame, headers, endpoint.network).is_err() {
        return false;
    }
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(network) = maps::network(endpoint.network) else {
        return false;
    };
    work.tuple.from_port == port
        && matches!(work.tuple.protocol as u8, protocol::TCP | protocol::UDP)
        && network.is_resolver(work.tuple.from)
}
