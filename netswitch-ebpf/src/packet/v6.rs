//! IPv6: the walk over its extension headers.

use netswitch_common::verdict::DropReason;

use super::frame::Frame;
use crate::headers::{ETHERNET_LENGTH, Ipv6, TCP_LENGTH, UDP_LENGTH, dhcp, icmpv6, protocol};

/// IPv6 extension headers that another header follows (RFC 7045).
#[inline(always)]
fn is_extension(header: u8) -> bool {
    matches!(
        header,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::AUTHENTICATION | 60 | 135 | 139 | 140
    )
}

/// [`super::Packet`]'s fields, from the lowest: protocol, hop limit, port (16 bits), transport (16 bits),
/// whether more fragments follow (1 bit), whether it goes to a DHCP client, and bit 63, so that 0 means malformed.
#[inline(never)]
pub fn parse(frame: Frame) -> u64 {
    let Some(header) = frame.read::<Ipv6>(ETHERNET_LENGTH) else {
        return 0;
    };
    if header.version_flow & 0xf000_0000_u32.to_be() != 0x6000_0000_u32.to_be() {
        return 0;
    }
    // as in IPv4
    let end = match header.payload_length {
        0 if frame.segment() != 0 => frame.length(),
        length => ETHERNET_LENGTH + size_of::<Ipv6>() as u32 + u32::from(u16::from_be(length)),
    };
    if frame.length() < end {
        return 0;
    }
    let last = last_header(frame, header.next_header, end);
    let (protocol, transport, more) = (last as u8, last >> 8 & 0xffff, last >> 30 & 1);
    let mut ports = [0_u16; 2];
    let is_whole = match protocol {
        _ if transport == 0 => last != 0,
        protocol::UDP | protocol::ICMPV6 => {
            transport + UDP_LENGTH <= end
                && read_ports(frame, transport, &mut ports)
                && (protocol == protocol::UDP || transport + least_of_message(ports[0]) <= end)
        }
        protocol::TCP => more == 0 || transport + TCP_LENGTH <= end,
        _ => true,
    };
    if !is_whole {
        return 0;
    }
    1 << 63
        | u64::from(protocol == protocol::UDP && ports[1] == dhcp::CLIENT_V6) << 49
        | u64::from(more) << 48
        | u64::from(transport) << 32
        | u64::from(ports[0]) << 16
        | u64::from(header.hop_limit) << 8
        | u64::from(protocol)
}

/// The first four bytes behind the headers; in most packets they lie right behind the shortest.
#[inline(always)]
fn read_ports(frame: Frame, transport: u32, ports: &mut [u16; 2]) -> bool {
    const PLAIN: u32 = ETHERNET_LENGTH + size_of::<Ipv6>() as u32;
    match frame.bytes().copy(PLAIN) {
        Some(found) if transport == PLAIN => *ports = found,
        _ => return frame.load(transport, ports).is_ok(),
    }
    true
}

impl Frame {
    /// Where the transport header of an IPv6 packet starts.
    #[inline(always)]
    pub fn transport_v6(self) -> Result<u32, DropReason> {
        match parse(self) {
            0 => Err(DropReason::Malformed),
            found => Ok((found >> 32) as u32 & 0xffff),
        }
    }
}

/// Bytes that an ICMPv6 message of a type and code has at least.
#[inline(always)]
fn least_of_message(start: u16) -> u32 {
    match start.to_ne_bytes()[0] {
        icmpv6::NEIGHBOUR_SOLICITATION | icmpv6::NEIGHBOUR_ADVERTISEMENT => 24,
        _ => UDP_LENGTH,
    }
}

/// Walks at most six extension headers: the protocol behind them, and in the next 16 bits its offset
/// (0 in a later fragment); bit 30 says that more fragments follow, bit 31 is set so that 0 means malformed.
/// All of them have to lie before `end`.
#[inline(always)]
fn last_header(frame: Frame, first: u8, end: u32) -> u32 {
    let (mut header, mut offset) = (first, ETHERNET_LENGTH + size_of::<Ipv6>() as u32);
    let mut more = 0;
    for _ in 0..6 {
        if !is_extension(header) {
            break;
        }
        let mut start = [0_u8; 4];
        if offset + 4 > end || frame.load(offset, &mut start).is_err() {
            return 0;
        }
        let [next, length, high, low] = start;
        offset += match header {
            // type 0 of it lets the sender choose the way (RFC 5095)
            protocol::ROUTING if high == 0 => return 0,
            // half of a TCP header, as in IPv4
            protocol::FRAGMENT if high == 0 && low & 0xf8 == 8 && next == protocol::TCP => return 0,
            protocol::FRAGMENT if high != 0 || low & 0xf8 != 0 => return 1 << 31 | u32::from(next),
            protocol::FRAGMENT => {
                more = u32::from(low & 1);
                8
            }
            protocol::AUTHENTICATION => (u32::from(length) + 2) * 4,
            _ => (u32::from(length) + 1) * 8,
        };
        header = next;
    }
    match offset > end || is_extension(header) {
        true => 0,
        false => 1 << 31 | more << 30 | offset << 8 | u32::from(header),
    }
}
