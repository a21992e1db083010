//! XDP on an uplink (`--uplink-mode xdp`), before the kernel has made a packet of a frame: what needs no state and
//! can be dropped, and flows of published ports that need no look at their state. Whatever is not plain —
//! options, fragments, extension headers — goes on to tcx, which judges all of it; nothing is dropped
//! here that it would let pass.

mod redirect;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::bpf_fib_lookup,
    programs::XdpContext,
};
use netswitch_common::{address::Address, flow::Tuple, verdict::DropReason};

use crate::{
    commit::{self, event},
    headers::{ETHERNET_LENGTH, Ethernet, Ipv4, Ipv6, checksum_at, ethertype, protocol},
    maps, packet,
    stages::route,
};

/// What a hook of this kind answers with.
pub fn guard(context: &XdpContext) -> u32 {
    let Some(packet) = read(context) else {
        return xdp_action::XDP_PASS;
    };
    match judge(context, &packet.tuple) {
        Judgement::Other => xdp_action::XDP_PASS,
        Judgement::Published => redirect::redirect(context, &packet).unwrap_or(xdp_action::XDP_PASS),
        Judgement::Drop(endpoint, reason) => {
            commit::count_drop(endpoint, reason as u32, 1, length(context));
            if event::wants_drops() {
                event::dropped_early(&packet.tuple, endpoint, reason, length(context));
            }
            xdp_action::XDP_DROP
        }
    }
}

/// A packet with ports for this host, with neither options nor fragments.
pub struct Plain {
    pub tuple: Tuple,
    /// Bytes behind the IP header.
    pub length: u16,
    /// Where the checksum behind it stands.
    pub checksum: u32,
    pub hop_limit: u8,
    pub tcp_flags: u8,
}

/// A header's place, if the packet holds all of it.
#[inline(always)]
fn at<T>(context: &XdpContext, offset: u32) -> Option<*mut T> {
    let (data, end) = bounds(context);
    let header = data + offset as usize;
    match header + size_of::<T>() > end {
        true => None,
        false => Some(header as *mut T),
    }
}

#[inline(always)]
fn bounds(context: &XdpContext) -> (usize, usize) {
    // SAFETY: the context of the running program and its fields
    unsafe {
        packet::bounds::<{ core::mem::offset_of!(xdp_md, data) }, { core::mem::offset_of!(xdp_md, data_end) }>(
            context.ctx.cast(),
        )
    }
}

/// Bytes of the frame.
#[inline(always)]
fn length(context: &XdpContext) -> u32 {
    let (data, end) = bounds(context);
    (end - data) as u32
}

#[inline(always)]
fn copy<T: Copy>(context: &XdpContext, offset: u32) -> Option<T> {
    // SAFETY: the bounds were checked; T is made of integers; BPF machines read unaligned words
    at(context, offset).map(|header| unsafe { *header })
}

#[inline(always)]
fn read(context: &XdpContext) -> Option<Plain> {
    let ethernet: Ethernet = copy(context, 0)?;
    // SAFETY: the context of the running program
    let uplink = maps::uplink(unsafe { (*context.ctx).ingress_ifindex })?;
    if ethernet.destination != uplink.mac.words() {
        return None;
    }
    let mut tuple = Tuple::default();
    let (hop_limit, length, transport) = match ethernet.ethertype {
        ethertype::IPV4 => {
            let header: Ipv4 = copy(context, ETHERNET_LENGTH)?;
            if header.version_length != 0x45 || header.fragment & 0x3fff_u16.to_be() != 0 {
                return None;
            }
            tuple.from = Address::v4(header.source);
            tuple.to = Address::v4(header.destination);
            tuple.protocol = header.protocol.into();
            let length = u16::from_be(header.length).wrapping_sub(size_of::<Ipv4>() as u16);
            (header.time_to_live, length, ETHERNET_LENGTH + size_of::<Ipv4>() as u32)
        }
        ethertype::IPV6 => {
            let header: Ipv6 = copy(context, ETHERNET_LENGTH)?;
            tuple.from = header.source;
            tuple.to = header.destination;
            tuple.protocol = header.next_header.into();
            let length = u16::from_be(header.payload_length);
            (header.hop_limit, length, ETHERNET_LENGTH + size_of::<Ipv6>() as u32)
        }
        _ => return None,
    };
    let (checksum, tcp_flags) = match tuple.protocol as u8 {
        protocol::TCP => (
            checksum_at::TCP,
            copy::<[u16; 7]>(context, transport)?[6].to_ne_bytes()[1],
        ),
        protocol::UDP => (checksum_at::UDP, 0),
        protocol::SCTP => (checksum_at::SCTP, 0),
        _ => return None,
    };
    let ports: [u16; 2] = copy(context, transport)?;
    (tuple.from_port, tuple.to_port) = (ports[0], ports[1]);
    Some(Plain {
        tuple,
        length,
        checksum: transport + checksum,
        hop_limit,
        tcp_flags,
    })
}

enum Judgement {
    /// None of ours, or for tcx to judge.
    Other,
    /// For a port that lets its sender in.
    Published,
    /// Charged to that endpoint.
    Drop(u32, DropReason),
}

#[inline(always)]
fn judge(context: &XdpContext, tuple: &Tuple) -> Judgement {
    let port = u16::from_be(tuple.to_port);
    if let Some(number) = maps::published_at(tuple.to, tuple.protocol as u8, port) {
        return match maps::publication(number) {
            None => Judgement::Other,
            Some(publication) if maps::lets_in(number, publication, tuple.from) => Judgement::Published,
            Some(publication) => Judgement::Drop(publication.endpoint, DropReason::SourceDenied),
        };
    }
    match refused(context, tuple) {
        Some(endpoint) => Judgement::Drop(endpoint, DropReason::NotPublished),
        None => Judgement::Other,
    }
}

/// The endpoint whose own address, or whose gateway's, was sent to from outside.
#[inline(always)]
fn refused(context: &XdpContext, tuple: &Tuple) -> Option<u32> {
    let subnet = maps::subnet(tuple.to)?;
    if maps::flow_index(tuple).is_some() {
        return None;
    }
    let network = maps::network(subnet.network)?;
    let is_there = network.is_gateway(tuple.to) || leads_to(context, network.host_end, tuple.to);
    is_there.then(|| maps::neighbour(subnet.network, tuple.to).map_or(0, |neighbour| neighbour.port.id))
}

/// Whether the host's own routes lead to that host end: another device may have a more specific one.
#[inline(always)]
fn leads_to(context: &XdpContext, host_end: u32, to: Address) -> bool {
    let mut memory = core::mem::MaybeUninit::uninit();
    let query = route::question(&mut memory, host_end, to);
    // SAFETY: the context of the running program; the query is all filled
    unsafe {
        bpf_fib_lookup(context.ctx.cast(), query, size_of_val(&*query) as i32, 0);
        (*query).ifindex == host_end
    }
}
