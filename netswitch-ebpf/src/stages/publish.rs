//! Publish: a port of the host leads to a container.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::{Address, Mac},
    endpoint::Endpoint,
    flow::FlowEnd,
    publish::{Publication, flags},
    verdict::DropReason,
    way::Way,
};

use super::{flow, route};
use crate::{
    code,
    headers::protocol,
    maps,
    packet::{Family, Frame},
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

const ANY_V4: Address = Address::v4(0);
const ANY_V6: Address = Address([0; 4]);

/// The publication that a packet's destination is; that it is an address of the host is asked only where
/// the port is published on all of them.
#[inline(always)]
pub fn find(frame: Frame) -> Option<&'static Publication> {
    let publication = maps::publication(find_publication(frame.0))?;
    // a container without that family is served by the agent's relay, behind the host's stack
    let has_family = match maps::work()?.is_v4() {
        true => publication.v4 != 0,
        false => !publication.v6.is_none(),
    };
    has_family.then_some(publication)
}

/// Its number, or 0.
#[unsafe(no_mangle)]
extern "C" fn find_publication(skb: *mut __sk_buff) -> u32 {
    maps::work()
        .and_then(|work| published_number(Frame::new(skb), work))
        .unwrap_or(0)
}

#[inline(always)]
fn published_number(frame: Frame, work: &mut Work) -> Option<u32> {
    let to = work.tuple.to;
    if !matches!(
        work.tuple.protocol as u8,
        protocol::TCP | protocol::UDP | protocol::SCTP
    ) || work.quoted != 0
        || work.is_orphan != 0
        || to.is_loopback()
    // published there, a port is for the host alone
    {
        return None;
    }
    if let Some(number) = at(work, to) {
        return Some(number);
    }
    let any = if work.headers.family == Family::V4 {
        ANY_V4
    } else {
        ANY_V6
    };
    let number = at(work, any)?;
    let network = maps::network(maps::publication(number)?.network)?;
    // a gateway's address is for its own network alone
    let is_host = match network.is_gateway(to) {
        true => work.tuple.zone != 0,
        false => route::is_local(frame, network, to),
    };
    is_host.then_some(number)
}

#[inline(always)]
fn at(work: &mut Work, address: Address) -> Option<u32> {
    let port = u16::from_be(work.tuple.to_port);
    work.publication = maps::published(address, work.tuple.protocol as u8, port)?;
    Some(work.publication)
}

/// For the first packet of a flow from the world to a published port.
#[inline(always)]
pub fn decide_world(frame: Frame, publication: &Publication) -> Result {
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    let client = work.tuple.from;
    work.goal = client;
    work.start = work.tuple.to;
    let subnet = maps::subnet(client).and_then(|subnet| Some((subnet, maps::network(subnet.network)?)));
    if subnet.is_some_and(|(subnet, network)| route::is_inside(frame, subnet, network, client)) {
        return Err(DropReason::SpoofedAddress);
    }
    let Some(network) = maps::network(publication.network) else {
        return Err(DropReason::NotPublished);
    };
    let has_route = route::back(frame, network.host_end);
    let (Some(work), Some(uplink)) = (maps::work(), maps::uplink(frame.ifindex())) else {
        return Err(DropReason::NoUplink);
    };
    if has_route && work.route.ifindex == frame.ifindex() {
        work.flow.ends[0] = work.route;
    } else {
        // the routing tables lead elsewhere: back by the uplink and the router that it came from
        work.flow.ends[0] = FlowEnd {
            ifindex: frame.ifindex(),
            mtu: route::mtu(uplink),
            mac: Mac::from_words(frame.source_mac()?),
            source: uplink.mac,
            way: Way::Device as u8,
            ..FlowEnd::default()
        };
    }
    work.key.owner = publication.endpoint;
    lead(publication, false)
}

/// The same from a container, by an address of the host's.
#[inline(always)]
pub fn decide_container(publication: &Publication, endpoint: &Endpoint) -> Result {
    code::outcome(publish_to_container(publication, endpoint))
}

#[unsafe(no_mangle)]
extern "C" fn publish_to_container(publication: *const Publication, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `decide_container`; the verifier checks that they are what they are said to be
    match unsafe { (publication.as_ref(), endpoint.as_ref()) } {
        (Some(publication), Some(endpoint)) => code::number(begin(publication, endpoint)),
        _ => DropReason::NotPublished as u32,
    }
}

#[inline(always)]
fn begin(publication: &Publication, endpoint: &Endpoint) -> Result {
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    // where the host is not on the network, it is no way to what others publish at it either (gateway mode isolated)
    let gateway = maps::network(endpoint.network).map(|network| match work.is_v4() {
        true => network.gateway_v4,
        false => network.gateway_v6,
    });
    if gateway.is_none_or(Address::is_none) {
        return Err(DropReason::HostAccess);
    }
    work.flow.ends[0].set_sender(endpoint);
    work.key.owner = endpoint.id;
    // its own stack would drop what comes from its own address
    lead(publication, endpoint.id == publication.endpoint)
}

#[inline(always)]
fn lead(publication: &Publication, to_itself: bool) -> Result {
    let Some(work) = maps::work() else {
        return Err(DropReason::NoUplink);
    };
    if !maps::lets_in(work.publication, publication, work.tuple.from) {
        return Err(DropReason::SourceDenied);
    }
    let (Some(target), Some(network)) = (publication.target(work.tuple.to), maps::network(publication.network)) else {
        return Err(DropReason::NotPublished);
    };
    let from_gateway = to_itself || publication.flags & flags::GATEWAY_SOURCE != 0;
    work.goal = target;
    work.source = match (from_gateway, work.is_v4()) {
        (false, _) => work.tuple.from,
        (true, true) => network.gateway_v4,
        (true, false) => network.gateway_v6,
    };
    work.flow.ends[1].set(
        publication.endpoint,
        publication.generation,
        publication.mtu,
        publication.mac,
        network.mac,
    );
    let port = publication.port(u16::from_be(work.tuple.to_port)).to_be();
    flow::begin(work, port, publication.network);
    work.flow.publication = work.publication;
    work.wants_port = u8::from(from_gateway);
    Ok(())
}
