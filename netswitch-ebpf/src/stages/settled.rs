//! Settled: a plain packet of a flow about which nothing has to be asked or written. Most packets of translated flows
//! are such. They take a short way, on which nothing is looked up twice; what becomes of them is the same.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    endpoint::{Endpoint, flags},
    way::Way,
};

use super::{flow, host, source_guard, stack, tuple};
use crate::{
    headers::{ETHERNET_LENGTH, Macs, dns, protocol},
    maps,
    packet::{Frame, Headers, Packet, plain_transport, size},
    work::Work,
};

/// Whether a container's frame to the gateway's MAC is one; then the sheet has its translation and its way.
#[inline(always)]
pub fn from_endpoint(frame: Frame, packet: &Packet, endpoint: &Endpoint) -> bool {
    endpoint.flags & (host::CLOSED | flags::LIMITED) == 0
        && is_plain(packet.headers)
        && source_guard::is_plain(frame, packet, endpoint)
        && tuple::read(frame, packet.headers, endpoint.network).is_ok()
        // a question for a name is the switch's to answer
        && maps::work().is_some_and(|work| work.tuple.to_port != dns::PORT)
        && flow::is_known()
        && leaves(frame)
}

/// Whether a packet has nothing between its IP header and its ports, and nothing follows it.
#[inline(always)]
fn is_plain(headers: Headers) -> bool {
    headers.transport == plain_transport(headers.family)
        && headers.more_fragments == 0
        && matches!(headers.protocol, protocol::TCP | protocol::UDP)
}

/// Whether a packet whose flow is known is one; then the sheet has its way.
#[inline(always)]
pub fn leaves(frame: Frame) -> bool {
    leave_settled(frame.0) != 0
}

#[unsafe(no_mangle)]
extern "C" fn leave_settled(skb: *mut __sk_buff) -> u32 {
    maps::work().map_or(0, |work| u32::from(prepare(Frame::new(skb), work).is_some()))
}

#[inline(always)]
fn prepare(frame: Frame, work: &mut Work) -> Option<()> {
    if !is_plain(work.headers)
        || work.renew | work.rerouted | work.contested | work.unjudged != 0
        || work.hop_limit <= 1
        || stack::is_on()
    {
        return None;
    }
    if frame.length() > u32::from(work.end.mtu) + ETHERNET_LENGTH
        && !size::fits_when_cut(frame, work.headers, work.end.mtu)
    {
        return None;
    }
    let (way, ifindex, source) = match work.end.endpoint {
        0 => (work.end.way_out(false) as u8, work.end.ifindex, work.end.source),
        endpoint => {
            let slot = maps::slot(endpoint)?;
            if slot.flags & flags::LIMITED != 0 {
                return None;
            }
            (slot.way, slot.ifindex, maps::network(slot.network)?.mac)
        }
    };
    if way != Way::Device as u8 && way != Way::Peer as u8 {
        return None;
    }
    work.macs = Macs {
        destination: work.end.mac.words(),
        source: source.words(),
    };
    work.decision.ifindex = ifindex;
    work.decision.way = way;
    Some(())
}
