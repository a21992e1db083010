//! XDP on an uplink (`--uplink-mode xdp`): what needs no state and can be dropped before the kernel has made
//! a packet of it. Whatever is not plain — options, fragments, extension headers — goes on to tcx, which
//! judges all of it; nothing is dropped here that it would let pass.

use aya_ebpf::{bindings::xdp_action, helpers::bpf_fib_lookup, programs::XdpContext};
use netswitch_common::{address::Address, flow::Tuple, publish::PublishedKey, verdict::DropReason};

use crate::{
    headers::{ETHERNET_LENGTH, Ethernet, Ipv4, Ipv6, ethertype, protocol},
    maps,
    stages::{gateway, route},
    verdict,
};

/// What a hook of this kind answers with.
pub fn guard(context: &XdpContext) -> u32 {
    let Some(tuple) = read(context) else {
        return xdp_action::XDP_PASS;
    };
    match judge(context, &tuple) {
        None => xdp_action::XDP_PASS,
        Some((endpoint, reason)) => {
            let length = context.data_end() - context.data();
            verdict::count_drop(endpoint, reason as u32, 1, length as u32);
            xdp_action::XDP_DROP
        }
    }
}

#[inline(always)]
fn at<T: Copy>(context: &XdpContext, offset: u32) -> Option<T> {
    let header = context.data() + offset as usize;
    if header + size_of::<T>() > context.data_end() {
        return None;
    }
    // SAFETY: the bounds were checked; T is made of integers; BPF machines read unaligned words
    Some(unsafe { *(header as *const T) })
}

/// The tuple of a plain packet with ports.
#[inline(always)]
fn read(context: &XdpContext) -> Option<Tuple> {
    let ethernet: Ethernet = at(context, 0)?;
    let mut tuple = Tuple::default();
    let transport = match ethernet.ethertype {
        ethertype::IPV4 => {
            let header: Ipv4 = at(context, ETHERNET_LENGTH)?;
            if header.version_length != 0x45 || header.fragment & 0x3fff_u16.to_be() != 0 {
                return None;
            }
            tuple.from = Address::v4(header.source);
            tuple.to = Address::v4(header.destination);
            tuple.protocol = header.protocol.into();
            ETHERNET_LENGTH + size_of::<Ipv4>() as u32
        }
        ethertype::IPV6 => {
            let header: Ipv6 = at(context, ETHERNET_LENGTH)?;
            tuple.from = header.source;
            tuple.to = header.destination;
            tuple.protocol = header.next_header.into();
            ETHERNET_LENGTH + size_of::<Ipv6>() as u32
        }
        _ => return None,
    };
    if !matches!(tuple.protocol as u8, protocol::TCP | protocol::UDP | protocol::SCTP) {
        return None;
    }
    let ports: [u16; 2] = at(context, transport)?;
    (tuple.from_port, tuple.to_port) = (ports[0], ports[1]);
    Some(tuple)
}

/// The endpoint that a drop is charged to, and why.
#[inline(always)]
fn judge(context: &XdpContext, tuple: &Tuple) -> Option<(u32, DropReason)> {
    let port = u16::from_be(tuple.to_port);
    let key = |address| PublishedKey::new(address, tuple.protocol as u8, port);
    let number = match maps::published(&key(tuple.to), port) {
        Some(number) => Some(number),
        None if maps::is_local(tuple.to) => maps::published(&key(tuple.to.any()), port),
        None => None,
    };
    if let Some(number) = number {
        let publication = maps::publication(number)?;
        let is_let_in = maps::lets_in(number, publication, tuple.from);
        return (!is_let_in).then_some((publication.endpoint, DropReason::SourceDenied));
    }
    let subnet = maps::subnet(tuple.to)?;
    if maps::flow_index(tuple).is_some() {
        return None;
    }
    let network = maps::network(subnet.network)?;
    let is_there = gateway::is_gateway(network, tuple.to) || leads_to(context, network.host_end, tuple.to);
    let endpoint = maps::neighbour(subnet.network, tuple.to).map_or(0, |neighbour| neighbour.port.id);
    is_there.then_some((endpoint, DropReason::NotPublished))
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
