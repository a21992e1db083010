//! Names: questions to a gateway's port 53 are for the agent, which listens on another one, so that port 53
//! stays the host's and the container's own.

use core::cell::Cell;

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, Kind},
    network::Network,
};

use super::tuple;
use crate::{
    headers::{dns::PORT, protocol},
    maps,
    packet::{Family, Frame, Headers, LONGEST, Packet},
    work::{Read, Work},
};

/// Where the agent listens, in network order; 0 for nowhere.
#[inline(always)]
pub fn agent_port() -> u16 {
    maps::config().map_or(0, |config| config.names_port.to_be())
}

/// Whether a container's packet, which [`tuple`] has read, asks one of its network's gateways.
#[inline(always)]
pub fn is_question(read: &Read, to: &Cell<Address>, network: &Network) -> bool {
    let headers = read.headers.get();
    read.tuple.get().to_port == PORT
        && !read.is_quoting()
        && headers.transport != 0
        && matches!(headers.protocol, protocol::TCP | protocol::UDP)
        && network.is_resolver(to.get())
        && agent_port() != 0
}

/// Whether a frame of the host's to a container comes from the agent's port, or tells that nobody is there.
#[inline(always)]
pub fn is_answer(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    endpoint.kind == Kind::Host as u8
        && matches!(headers.family, Family::V4 | Family::V6)
        && is_from_agent(frame, headers.protocol, headers.port, headers.transport, endpoint)
}

/// Takes numbers and no [`Headers`], which its caller would have to put together for it.
#[inline(never)]
fn is_from_agent(frame: Frame, protocol: u8, from_port: u16, transport: u16, endpoint: &Endpoint) -> bool {
    let port = agent_port();
    if port == 0 {
        return false;
    }
    // most of what the host says is something else
    let may_be = match protocol {
        protocol::UDP => from_port == port,
        protocol::TCP => frame.read(u32::from(transport & LONGEST)) == Some(port),
        protocol::ICMP | protocol::ICMPV6 => true,
        _ => false,
    };
    if !may_be || transport == 0 {
        return false;
    }
    read_answer(frame.0, endpoint.network, port.into()) != 0
}

/// Whether a packet that has been parsed before comes from the agent's port at a gateway, or tells about one that went
/// there. Not 0: it does.
#[unsafe(no_mangle)]
extern "C" fn read_answer(skb: *mut __sk_buff, network: u32, port: u32) -> u32 {
    let frame = Frame::new(skb);
    let Ok(Packet { headers, .. }) = Packet::parse(frame) else {
        return 0;
    };
    if tuple::read(frame, headers, network).is_err() {
        return 0;
    }
    let Some(read) = maps::work().and_then(Work::read) else {
        return 0;
    };
    let Some(network) = maps::network(network) else {
        return 0;
    };
    let is_from_agent = u32::from(read.tuple.get().from_port) == port
        && matches!(read.protocol(), protocol::TCP | protocol::UDP)
        && network.is_resolver(read.tuple.get().from);
    is_from_agent.into()
}
