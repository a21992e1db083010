//! Publish: a port of the host leads to a container.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::{Address, Mac},
    endpoint::Endpoint,
    flow::Tuple,
    network::Network,
    publish::{Publication, flags},
    verdict::DropReason,
    way::Way,
};

use super::{
    begin::{self, Template, set_sender, source, target},
    near, route,
};
use crate::{
    code,
    headers::protocol,
    maps,
    packet::{Family, Frame},
    place::{Draft, copy, part},
    work::{NewFlow, Read, end},
};

type Result = core::result::Result<(), DropReason>;

const ANY_V4: Address = Address::v4(0);
const ANY_V6: Address = Address([0; 4]);

/// The publication that a packet's destination is; that it is an address of the host is asked only where
/// the port is published on all of them.
#[inline(always)]
pub fn find(frame: Frame) -> Option<Published> {
    let number = find_publication(frame.0);
    let publication = maps::publication(number)?;
    // a container without that family is served by the agent's relay, behind the host's stack
    let has_family = match maps::work()?.read()?.is_v4() {
        true => publication.v4 != 0,
        false => !publication.v6.is_none(),
    };
    has_family.then_some(Published { number, publication })
}

/// A publication and its number.
#[derive(Clone, Copy)]
pub struct Published {
    pub number: u32,
    pub publication: &'static Publication,
}

/// Its number, or 0.
#[unsafe(no_mangle)]
extern "C" fn find_publication(skb: *mut __sk_buff) -> u32 {
    maps::work()
        .and_then(|work| published_number(Frame::new(skb), work.read()?))
        .unwrap_or(0)
}

/// The publication of a port at that very address.
#[inline(always)]
pub fn find_there(read: &Read) -> Option<Published> {
    if !has_port(read) {
        return None;
    }
    let number = at(read, read.tuple.get().to)?;
    let publication = maps::publication(number)?;
    Some(Published { number, publication })
}

/// Whether the packet is for a port that could be published.
#[inline(always)]
fn has_port(read: &Read) -> bool {
    matches!(read.protocol(), protocol::TCP | protocol::UDP | protocol::SCTP)
        && !read.is_quoting()
        && !read.is_orphan.get()
}

#[inline(always)]
fn published_number(frame: Frame, read: &Read) -> Option<u32> {
    let Tuple { from, to, .. } = read.tuple.get();
    // published there, a port is for the host alone
    if !has_port(read) || to.is_loopback() {
        return None;
    }
    // these addresses mean something on their link alone (RFC 4291, 2.5.6): the agent's relay serves whoever has one
    if from.is_v6_link_local() || to.is_v6_link_local() {
        return None;
    }
    if let Some(number) = at(read, to) {
        return Some(number);
    }
    let any = if read.headers.get().family == Family::V4 {
        ANY_V4
    } else {
        ANY_V6
    };
    let number = at(read, any)?;
    let network = maps::network(maps::publication(number)?.network)?;
    // a gateway's address is for its own network alone
    let is_host = match network.is_gateway(to) {
        true => read.tuple.get().zone != 0,
        false => near::is_local(frame, network, to),
    };
    is_host.then_some(number)
}

#[inline(always)]
fn at(read: &Read, address: Address) -> Option<u32> {
    maps::published(address, read.protocol(), u16::from_be(read.tuple.get().to_port))
}

/// For the first packet of a flow from the world to a published port.
#[inline(always)]
pub fn decide_world(frame: Frame, published: Published) -> Result {
    let publication = published.publication;
    let Some(work) = maps::work() else {
        return Err(DropReason::Internal);
    };
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    let Some(network) = maps::network(publication.network) else {
        return Err(DropReason::NotPublished);
    };
    set_client(frame, network)?;
    let new = work.start_new_flow();
    lead(new, read, published.number, publication, publication.endpoint, false)
}

/// The originator of the new flow is who has sent the packet from the world. `network`: whom it is for.
#[inline(always)]
pub fn set_client(frame: Frame, network: &Network) -> Result {
    code::outcome(write_client(frame.0, network.host_end))
}

#[unsafe(no_mangle)]
extern "C" fn write_client(skb: *mut __sk_buff, host_end: u32) -> u32 {
    code::number(fill_client(Frame::new(skb), host_end))
}

#[inline(always)]
fn fill_client(frame: Frame, host_end: u32) -> Result {
    let Some(work) = maps::work() else {
        return Err(DropReason::Internal);
    };
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    let client = part!(read.tuple, from);
    let subnet = maps::subnet(client.get()).and_then(|subnet| Some((subnet, maps::network(subnet.network)?)));
    if subnet.is_some_and(|(subnet, network)| near::is_inside(frame, subnet, network, client.get())) {
        return Err(DropReason::SpoofedAddress);
    }
    let route = route::back(frame, work, read, host_end, client, part!(read.tuple, to));
    let Some(uplink) = maps::uplink(frame.ifindex()) else {
        return Err(DropReason::NoUplink);
    };
    let new = work.start_new_flow();
    let originator = part!(new.flow, ends[0]);
    match route {
        Ok(route) if route.end.get().ifindex == frame.ifindex() => copy(&route.end, originator),
        // the routing tables lead elsewhere: back by the uplink and the router that it came from
        _ => {
            let router = Mac::from_words(frame.source_mac()?);
            let mtu = route::mtu(uplink);
            end::set_world(originator, Way::Device as u8, frame.ifindex(), mtu, router, uplink.mac);
        }
    }
    Ok(())
}

/// The same from a container, by an address of the host's.
#[inline(always)]
pub fn decide_container(published: Published, endpoint: &Endpoint) -> Result {
    code::outcome(publish_to_container(published.publication, published.number, endpoint))
}

#[unsafe(no_mangle)]
extern "C" fn publish_to_container(publication: *const Publication, number: u32, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `decide_container`; the verifier checks that they are what they are said to be
    match unsafe { (publication.as_ref(), endpoint.as_ref()) } {
        (Some(publication), Some(endpoint)) => code::number(enter(publication, number, endpoint)),
        _ => DropReason::NotPublished as u32,
    }
}

#[inline(always)]
fn enter(publication: &Publication, number: u32, endpoint: &Endpoint) -> Result {
    let Some(work) = maps::work() else {
        return Err(DropReason::Internal);
    };
    let Some(read) = work.read() else {
        return Err(DropReason::Internal);
    };
    // where the host is not on the network, it is no way to what others publish at it either (gateway mode isolated)
    if !maps::network(endpoint.network).is_some_and(|network| network.has_gateway(read.is_v4())) {
        return Err(DropReason::HostAccess);
    }
    let new = work.start_new_flow();
    set_sender(&new, endpoint);
    // its own stack would drop what comes from its own address
    let to_itself = endpoint.id == publication.endpoint;
    lead(new, read, number, publication, endpoint.id, to_itself)
}

#[inline(always)]
fn lead(
    new: Draft<'_, NewFlow>,
    read: &Read,
    number: u32,
    publication: &Publication,
    owner: u32,
    to_itself: bool,
) -> Result {
    if !maps::lets_in(number, publication, read.tuple.get().from) {
        return Err(DropReason::SourceDenied);
    }
    let Some(to) = publication.target(read.tuple.get().to) else {
        return Err(DropReason::NotPublished);
    };
    target(&new).set(to);
    let Some(network) = maps::network(publication.network) else {
        return Err(DropReason::NotPublished);
    };
    end::set_endpoint(
        part!(new.flow, ends[1]),
        publication.endpoint,
        publication.generation,
        publication.mtu,
        publication.mac,
        network.mac,
    );
    let from_gateway = to_itself || publication.flags & flags::GATEWAY_SOURCE != 0;
    match (from_gateway, read.is_v4()) {
        (false, _) => copy(part!(read.tuple, from), source(&new)),
        (true, true) => copy(&network.gateway_v4, source(&new)),
        (true, false) => copy(&network.gateway_v6, source(&new)),
    }
    let template = Template {
        owner,
        port: publication.port(u16::from_be(read.tuple.get().to_port)).to_be(),
        wants_port: from_gateway,
        zone: publication.network,
        publication: number,
    };
    begin::begin(new, read, template);
    Ok(())
}
