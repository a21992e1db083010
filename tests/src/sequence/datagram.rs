//! IP packets read and written anew: what a translation has to make of a packet, with every sum summed from its bytes.
//!
//! Nothing here is the switch's: it changes sums by differences, this sums everything.

use std::net::{IpAddr, SocketAddr};

use netswitch_common::address::Mac;

use crate::packet::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP,
    PROTOCOL_UDP, PROTOCOL_UDPLITE, crc32c,
};

pub const ETHERNET: usize = 14;

/// Who speaks with whom. An echo request has its identifier as the port of `from`, its answer as that of `to`; what has
/// no ports has 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    pub protocol: u8,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Tuple {
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            ..self
        }
    }
}

/// Where a packet's transport header is, and of which protocol.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    pub protocol: u8,
    pub transport: usize,
}

/// Of a packet that begins with its IP header.
pub fn headers(packet: &[u8]) -> Headers {
    if is_v4(packet) {
        return Headers {
            protocol: packet[9],
            transport: usize::from(packet[0] & 0xf) * 4,
        };
    }
    let (mut protocol, mut transport) = (packet[6], 40);
    while matches!(protocol, HOP_BY_HOP | DESTINATION_OPTIONS | FRAGMENT) {
        let length = match protocol {
            FRAGMENT => 8,
            _ => (usize::from(packet[transport + 1]) + 1) * 8,
        };
        (protocol, transport) = (packet[transport], transport + length);
    }
    Headers { protocol, transport }
}

/// Of a packet, or of one that is quoted. A later fragment has none but addresses that mean anything.
pub fn tuple(packet: &[u8]) -> Tuple {
    let headers = headers(packet);
    let (from, to) = addresses(packet);
    let port = |at: usize| {
        let byte = |at: usize| packet.get(at).copied().unwrap_or_default();
        u16::from_be_bytes([byte(at), byte(at + 1)])
    };
    let (source, destination) = match ports(packet, headers) {
        Ports::Both(at) => (port(at), port(at + 2)),
        Ports::Asker(at) => (port(at), 0),
        Ports::Asked(at) => (0, port(at)),
        Ports::None => (0, 0),
    };
    Tuple {
        protocol: headers.protocol,
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, destination),
    }
}

/// The same frame with another tuple, other MACs and so many hops left. A sum that its sender has not made stays out.
pub fn rewrite(frame: &[u8], tuple: &Tuple, macs: (Mac, Mac), hops: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&macs.1.0);
    frame[6..12].copy_from_slice(&macs.0.0);
    let packet = &mut frame[ETHERNET..];
    packet[if is_v4(packet) { 8 } else { 7 }] = hops;
    set_tuple(packet, tuple);
    sum_transport(packet);
    frame
}

/// Gives a packet, or the beginning of one that is quoted, another tuple; the sum behind the IP header stays.
pub fn set_tuple(packet: &mut [u8], tuple: &Tuple) {
    let headers = headers(packet);
    match (tuple.from.ip(), tuple.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet[12..16].copy_from_slice(&from.octets());
            packet[16..20].copy_from_slice(&to.octets());
            packet[10..12].fill(0);
            let sum = !sum(&packet[..usize::from(packet[0] & 0xf) * 4]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet[8..24].copy_from_slice(&from.octets());
            packet[24..40].copy_from_slice(&to.octets());
        }
        (from, to) => panic!("{from} and {to} are of different families"),
    }
    let [from, to] = [tuple.from.port(), tuple.to.port()].map(u16::to_be_bytes);
    match ports(packet, headers) {
        Ports::Both(at) => {
            packet[at..at + 2].copy_from_slice(&from);
            packet[at + 2..at + 4].copy_from_slice(&to);
        }
        Ports::Asker(at) => packet[at..at + 2].copy_from_slice(&from),
        Ports::Asked(at) => packet[at..at + 2].copy_from_slice(&to),
        Ports::None => {}
    }
}

/// Makes the sum behind the IP header, unless there is none: UDP's or SCTP's of 0.
pub fn sum_transport(packet: &mut [u8]) {
    let headers = headers(packet);
    let Some(at) = sum_at(packet) else { return };
    let has_none = match headers.protocol {
        PROTOCOL_SCTP => packet[at..at + 4] == [0; 4],
        PROTOCOL_UDP => packet[at..at + 2] == [0; 2],
        _ => false,
    };
    if has_none {
        return;
    }
    if headers.protocol == PROTOCOL_SCTP {
        packet[at..at + 4].fill(0);
        let sum = crc32c(&packet[headers.transport..]);
        packet[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        return;
    }
    packet[at..at + 2].fill(0);
    let pseudo = pseudo_sum(packet, headers);
    let sum = not_none(headers.protocol, !add(pseudo, sum(&packet[headers.transport..])));
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// What a sender leaves in the sum's field for its device: the pseudo header's sum (`CHECKSUM_PARTIAL`).
pub fn leave_sum(packet: &mut [u8]) {
    let headers = headers(packet);
    if let Some(at) = sum_at(packet) {
        let sum = pseudo_sum(packet, headers);
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// What a device does with a sum that was left to it: sums from `start` to the end, whatever the field holds.
pub fn finish_sum(frame: &mut [u8], start: usize, offset: usize) {
    let protocol = headers(&frame[ETHERNET..]).protocol;
    let sum = not_none(protocol, !sum(&frame[start..]));
    frame[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Where the sum behind the IP header stands.
pub fn sum_at(packet: &[u8]) -> Option<usize> {
    let headers = headers(packet);
    let offset = match headers.protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP | PROTOCOL_UDPLITE => 6,
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => 2,
        PROTOCOL_SCTP => 8,
        _ => return None,
    };
    Some(headers.transport + offset)
}

/// Which packet a fragment is of; 0 for most that are none.
pub fn identification(packet: &[u8]) -> u16 {
    match (is_v4(packet), packet[6]) {
        (true, _) => u16::from_be_bytes([packet[4], packet[5]]),
        (false, FRAGMENT) => u16::from_be_bytes([packet[46], packet[47]]),
        (false, _) => 0,
    }
}

/// Whether an IPv4 header's own sum is right; IPv6 has none.
pub fn has_right_sum(packet: &[u8]) -> bool {
    !is_v4(packet) || sum(&packet[..usize::from(packet[0] & 0xf) * 4]) == 0xffff
}

pub fn is_v4(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4
}

fn addresses(packet: &[u8]) -> (IpAddr, IpAddr) {
    if is_v4(packet) {
        let at = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).expect("four bytes");
        (at(12).into(), at(16).into())
    } else {
        let at = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen bytes");
        (at(8).into(), at(24).into())
    }
}

/// Where ports stand, or the identifier of a question or an answer.
enum Ports {
    Both(usize),
    Asker(usize),
    Asked(usize),
    None,
}

fn ports(packet: &[u8], headers: Headers) -> Ports {
    let at = headers.transport;
    match (headers.protocol, packet.get(at)) {
        (PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_UDPLITE | PROTOCOL_SCTP, _) => Ports::Both(at),
        (PROTOCOL_ICMP, Some(8)) | (PROTOCOL_ICMPV6, Some(128)) => Ports::Asker(at + 4),
        (PROTOCOL_ICMP, Some(0)) | (PROTOCOL_ICMPV6, Some(129)) => Ports::Asked(at + 4),
        _ => Ports::None,
    }
}

/// Of the pseudo header; ICMP over IPv4 has none.
fn pseudo_sum(packet: &[u8], headers: Headers) -> u16 {
    let length = u16::try_from(packet.len() - headers.transport).expect("a packet is shorter than 64 KiB");
    let addresses = match (is_v4(packet), headers.protocol) {
        (true, PROTOCOL_ICMP) => return 0,
        (true, _) => sum(&packet[12..20]),
        (false, _) => sum(&packet[8..40]),
    };
    add(add(addresses, u16::from(headers.protocol)), length)
}

/// A sum of 0 says in UDP that there is none.
fn not_none(protocol: u8, sum: u16) -> u16 {
    match (protocol, sum) {
        (PROTOCOL_UDP | PROTOCOL_UDPLITE, 0) => 0xffff,
        _ => sum,
    }
}

/// One's complement sum of words in network order (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u32::from(high) << 8 | u32::from(low),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

fn add(one: u16, two: u16) -> u16 {
    let sum = u32::from(one) + u32::from(two);
    u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::packet::ip;

    const MACS: (Mac, Mac) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));

    #[test]
    fn a_packet_with_another_tuple_is_the_one_that_is_built_so() {
        let [from, to, other] = [1, 2, 3].map(|last| Ipv4Addr::new(10, 0, 0, last));
        let tuple = Tuple {
            protocol: PROTOCOL_TCP,
            from: SocketAddr::new(other.into(), 20_000),
            to: SocketAddr::new(to.into(), 80),
        };
        let frame = ip(MACS, from, to).options(&[1; 4]).tcp(4000, 80, b"odd");
        let built = ip(MACS, other, to).options(&[1; 4]).hops(63).tcp(20_000, 80, b"odd");
        assert_eq!(rewrite(&frame, &tuple, MACS, 63), built);
        assert_eq!(super::tuple(&built[ETHERNET..]), tuple);
    }

    #[test]
    fn a_sum_that_was_left_is_finished() {
        let frame = ip(MACS, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST).udp(1, 2, b"data");
        let mut left = frame.clone();
        leave_sum(&mut left[ETHERNET..]);
        assert_ne!(left, frame);
        finish_sum(&mut left, 54, 6);
        assert_eq!(left, frame);
    }
}
