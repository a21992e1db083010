//! A frame before the kernel has made a packet of it: bounds-checked access, and the parse of plain ones.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use netswitch_common::{address::Address, flow::Tuple};

use crate::{
    headers::{ETHERNET_LENGTH, Ethernet, Ipv4, Ipv6, checksum_at, ethertype, protocol},
    maps, packet,
};

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
pub fn at<T>(context: &XdpContext, offset: u32) -> Option<*mut T> {
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
pub fn length(context: &XdpContext) -> u32 {
    let (data, end) = bounds(context);
    (end - data) as u32
}

#[inline(always)]
fn copy<T: Copy>(context: &XdpContext, offset: u32) -> Option<T> {
    // SAFETY: the bounds were checked; T is made of integers; BPF machines read unaligned words
    at(context, offset).map(|header| unsafe { *header })
}

#[inline(always)]
pub fn read(context: &XdpContext) -> Option<Plain> {
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
