//! Plain: the packets of most flows. Nothing stands between their IP header and their ports, and they are whole: no
//! options, no extension headers, no fragments. They are read at once, where they lie.

use core::cell::Cell;

use netswitch_common::{address::Address, flow::Tuple};

use crate::{
    headers::{ETHERNET_LENGTH, Ethernet, Ipv4, Ipv6, TCP_LENGTH, UDP_LENGTH, ethertype, protocol},
    place::part,
};

/// The bytes of a packet that a program may read directly: from an address up to another.
#[derive(Clone, Copy)]
pub struct Bytes {
    pub start: usize,
    pub end: usize,
}

impl Bytes {
    /// A header's place, if the packet holds all of it.
    #[inline(always)]
    pub fn at<T>(self, offset: u32) -> Option<*mut T> {
        let header = self.start + offset as usize;
        match header + size_of::<T>() > self.end {
            true => None,
            false => Some(header as *mut T),
        }
    }

    #[inline(always)]
    pub fn copy<T: Copy>(self, offset: u32) -> Option<T> {
        // SAFETY: the bounds were checked; T is made of integers; BPF machines read unaligned words
        self.at(offset).map(|header| unsafe { *header })
    }
}

/// What a plain packet says beside its tuple.
#[derive(Clone, Copy)]
pub struct Plain {
    /// MAC of the sender.
    pub source: [u16; 3],
    /// Bytes behind the IP header.
    pub length: u16,
    /// Where they start.
    pub transport: u32,
    pub hop_limit: u8,
    /// Of a TCP segment, in host order.
    pub tcp_flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
}

/// Reads a packet from `zone` into `tuple`. `None`: it is not plain, has no ports, or says that it is longer or shorter
/// than it is; the tuple means nothing then. `length` is the frame's.
#[inline(always)]
pub fn read(bytes: Bytes, length: u32, zone: u32, tuple: &Cell<Tuple>) -> Option<Plain> {
    let ethernet: Ethernet = bytes.copy(0)?;
    let (hop_limit, rest, transport) = match ethernet.ethertype {
        ethertype::IPV4 => {
            const LENGTH: u16 = size_of::<Ipv4>() as u16;
            let header: Ipv4 = bytes.copy(ETHERNET_LENGTH)?;
            let whole = u16::from_be(header.length);
            if header.version_length != 0x45 || header.fragment & 0x3fff_u16.to_be() != 0 || whole < LENGTH {
                return None;
            }
            part!(tuple, from).set(Address::v4(header.source));
            part!(tuple, to).set(Address::v4(header.destination));
            part!(tuple, protocol).set(header.protocol.into());
            (header.time_to_live, whole - LENGTH, ETHERNET_LENGTH + u32::from(LENGTH))
        }
        ethertype::IPV6 => {
            let header: Ipv6 = bytes.copy(ETHERNET_LENGTH)?;
            if header.version_flow & 0xf000_0000_u32.to_be() != 0x6000_0000_u32.to_be() {
                return None;
            }
            part!(tuple, from).set(header.source);
            part!(tuple, to).set(header.destination);
            part!(tuple, protocol).set(header.next_header.into());
            let rest = u16::from_be(header.payload_length);
            (header.hop_limit, rest, ETHERNET_LENGTH + size_of::<Ipv6>() as u32)
        }
        _ => return None,
    };
    if transport + u32::from(rest) > length {
        return None;
    }
    let mut plain = Plain {
        source: ethernet.source,
        length: rest,
        transport,
        hop_limit,
        tcp_flags: 0,
        sequence: 0,
        acknowledgement: 0,
    };
    match tuple.get().protocol as u8 {
        protocol::TCP if u32::from(rest) >= TCP_LENGTH => {
            // ports, sequence numbers, data offset and flags
            let words: [u16; 7] = bytes.copy(transport)?;
            set_ports(tuple, words[0], words[1]);
            plain.sequence = word(words[2], words[3]);
            plain.acknowledgement = word(words[4], words[5]);
            plain.tcp_flags = words[6].to_ne_bytes()[1];
        }
        protocol::UDP | protocol::SCTP if u32::from(rest) >= UDP_LENGTH => {
            let ports: [u16; 2] = bytes.copy(transport)?;
            set_ports(tuple, ports[0], ports[1]);
        }
        _ => return None,
    }
    part!(tuple, zone).set(zone);
    Some(plain)
}

#[inline(always)]
pub fn set_ports(tuple: &Cell<Tuple>, from: u16, to: u16) {
    part!(tuple, from_port).set(from);
    part!(tuple, to_port).set(to);
}

/// Two halves in network order as one word in host order.
#[inline(always)]
pub fn word(high: u16, low: u16) -> u32 {
    u32::from(u16::from_be(high)) << 16 | u32::from(u16::from_be(low))
}
