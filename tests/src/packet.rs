//! A small packet builder for tests: frames with correct lengths and checksums.

mod describe;
mod fragments;
mod sctp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::{address::Mac, checksum};

pub use describe::describe;
pub use sctp::{crc32c, read_sctp};

pub const ETHERTYPE_V4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const ETHERTYPE_VLAN: u16 = 0x8100;
pub const ETHERTYPE_V6: u16 = 0x86dd;
pub const ETHERTYPE_QINQ: u16 = 0x88a8;

pub const PROTOCOL_ICMP: u8 = 1;
pub const PROTOCOL_IGMP: u8 = 2;
pub const PROTOCOL_TCP: u8 = 6;
pub const PROTOCOL_UDP: u8 = 17;
pub const PROTOCOL_GRE: u8 = 47;
pub const PROTOCOL_ESP: u8 = 50;
pub const PROTOCOL_ICMPV6: u8 = 58;
pub const PROTOCOL_SCTP: u8 = 132;
pub const PROTOCOL_UDPLITE: u8 = 136;

pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const AUTHENTICATION: u8 = 51;
pub const DESTINATION_OPTIONS: u8 = 60;

pub const NEIGHBOUR_SOLICITATION: u8 = 135;
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub const SOURCE_LINK_LAYER: u8 = 1;
pub const TARGET_LINK_LAYER: u8 = 2;

/// A frame of any ethertype.
pub fn ethernet(source: Mac, destination: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination.0[..], &source.0, &ethertype.to_be_bytes(), payload].concat()
}

/// The same frame with an 802.1Q (or 802.1ad) tag for VLAN 7.
pub fn tagged(frame: &[u8], ethertype: u16) -> Vec<u8> {
    [&frame[..12], &ethertype.to_be_bytes(), &[0, 7], &frame[12..]].concat()
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// Hardware and protocol type and their lengths: [`Arp::ETHERNET_V4`].
    pub kind: [u8; 6],
    /// 1 asks, 2 answers.
    pub operation: u16,
    pub sender: (Mac, Ipv4Addr),
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    pub const ETHERNET_V4: [u8; 6] = [0, 1, 8, 0, 6, 4];

    pub fn request(sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self {
            kind: Self::ETHERNET_V4,
            operation: 1,
            sender,
            target: (Mac::default(), target),
        }
    }

    pub fn reply(sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Self {
        Self {
            kind: Self::ETHERNET_V4,
            operation: 2,
            sender,
            target,
        }
    }

    pub fn frame(&self, source: Mac, destination: Mac) -> Vec<u8> {
        let payload = [
            &self.kind[..],
            &self.operation.to_be_bytes(),
            &self.sender.0.0,
            &self.sender.1.octets(),
            &self.target.0.0,
            &self.target.1.octets(),
        ]
        .concat();
        ethernet(source, destination, ETHERTYPE_ARP, &payload)
    }
}

/// An IP packet in a frame; the methods named after a protocol finish it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Ip {
    macs: (Mac, Mac),
    addresses: (IpAddr, IpAddr),
    hops: u8,
    service: u8,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    dont_fragment: bool,
    /// Offset in bytes, and whether more fragments follow.
    fragment: Option<(u16, bool)>,
    identification: Option<u16>,
}

/// A packet between two addresses of one family, hop limit 64.
pub fn ip(macs: (Mac, Mac), source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Ip {
    Ip {
        macs,
        addresses: (source.into(), destination.into()),
        hops: 64,
        service: 0,
        options: Vec::new(),
        extensions: Vec::new(),
        dont_fragment: false,
        fragment: None,
        identification: None,
    }
}

impl Ip {
    /// TTL or hop limit.
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// Type of service (IPv4).
    pub fn service(mut self, service: u8) -> Self {
        self.service = service;
        self
    }

    /// IPv4 options, a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// One more IPv6 extension header with `body` after its first two bytes.
    pub fn extension(mut self, kind: u8, body: &[u8]) -> Self {
        self.extensions.push((kind, body.to_vec()));
        self
    }

    pub fn dont_fragment(mut self) -> Self {
        self.dont_fragment = true;
        self
    }

    /// Makes it a fragment. For IPv6 the fragment header follows the other extension headers.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// Which packet a fragment is of.
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = Some(identification);
        self
    }

    pub fn udp(&self, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
        let head = [source, destination, short(8 + data.len()), 0]
            .map(u16::to_be_bytes)
            .concat();
        self.checked(PROTOCOL_UDP, &[&head, data].concat(), 6)
    }

    /// A segment with the ACK flag.
    pub fn tcp(&self, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
        const ACK: u8 = 0x10;
        self.segment(source, destination, ACK, data)
    }

    /// The first segment of a connection.
    pub fn syn(&self, source: u16, destination: u16) -> Vec<u8> {
        const SYN: u8 = 2;
        self.segment(source, destination, SYN, &[])
    }

    fn segment(&self, source: u16, destination: u16, flags: u8, data: &[u8]) -> Vec<u8> {
        let ports = [source, destination].map(u16::to_be_bytes).concat();
        let rest = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
        self.checked(PROTOCOL_TCP, &[&ports[..], &rest, data].concat(), 16)
    }

    /// ICMP of the addresses' family; `rest` is what follows the checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let message = [&[kind, code, 0, 0][..], rest].concat();
        match self.addresses.0 {
            IpAddr::V4(_) => {
                let sum = checksum::fold(checksum::sum(&message, 0));
                self.protocol(PROTOCOL_ICMP, &patched(message, 2, sum))
            }
            IpAddr::V6(_) => self.checked(PROTOCOL_ICMPV6, &message, 2),
        }
    }

    /// Echo request with some data.
    pub fn ping(&self) -> Vec<u8> {
        let kind = if self.addresses.0.is_ipv4() { 8 } else { 128 };
        self.icmp(kind, 0, b"\x12\x34\x00\x01netswitch!!")
    }

    /// Neighbour solicitation (RFC 4861, 4.3) with hop limit 255 unless another was set.
    pub fn solicit(self, target: Ipv6Addr, link_layer: Option<Mac>) -> Vec<u8> {
        self.neighbour(NEIGHBOUR_SOLICITATION, 0, target, (SOURCE_LINK_LAYER, link_layer))
    }

    /// Neighbour advertisement (RFC 4861, 4.4), `flags` in its first byte.
    pub fn advertise(self, flags: u8, target: Ipv6Addr, link_layer: Option<Mac>) -> Vec<u8> {
        self.neighbour(NEIGHBOUR_ADVERTISEMENT, flags, target, (TARGET_LINK_LAYER, link_layer))
    }

    fn neighbour(mut self, kind: u8, flags: u8, target: Ipv6Addr, option: (u8, Option<Mac>)) -> Vec<u8> {
        if self.hops == 64 {
            self.hops = 255;
        }
        let mut rest = [&[flags, 0, 0, 0][..], &target.octets()].concat();
        if let (option, Some(mac)) = option {
            rest.extend([option, 1]);
            rest.extend(mac.0);
        }
        self.icmp(kind, 0, &rest)
    }

    /// A transport whose checksum at `offset` covers the pseudo header.
    fn checked(&self, protocol: u8, segment: &[u8], offset: usize) -> Vec<u8> {
        let addresses = match self.addresses {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            (from, to) => panic!("{from} and {to} are of different families"),
        };
        let pseudo = [&addresses[..], &[0, protocol], &short(segment.len()).to_be_bytes()].concat();
        let sum = match checksum::fold(checksum::sum(segment, checksum::sum(&pseudo, 0))) {
            0 if protocol == PROTOCOL_UDP => 0xffff,
            sum => sum,
        };
        self.protocol(protocol, &patched(segment.to_vec(), offset, sum))
    }

    /// Any protocol number over any bytes.
    pub fn protocol(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = self.macs;
        match self.addresses {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let packet = self.header_v4(from, to, protocol, payload);
                ethernet(source, destination, ETHERTYPE_V4, &packet)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let packet = self.header_v6(from, to, protocol, payload);
                ethernet(source, destination, ETHERTYPE_V6, &packet)
            }
            (from, to) => panic!("{from} and {to} are of different families"),
        }
    }

    fn header_v4(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = 20 + self.options.len();
        let (offset, more) = self.fragment.unwrap_or_default();
        let fragment = (offset / 8) | (u16::from(more) << 13) | (u16::from(self.dont_fragment) << 14);
        let version = 0x40 | u8::try_from(length / 4).expect("IPv4 options are at most 40 bytes");
        let header = [
            &[version, self.service][..],
            &short(length + payload.len()).to_be_bytes(),
            &self.identification.unwrap_or_default().to_be_bytes(),
            &fragment.to_be_bytes(),
            &[self.hops, protocol, 0, 0],
            &from.octets(),
            &to.octets(),
            &self.options,
        ]
        .concat();
        let sum = checksum::fold(checksum::sum(&header, 0));
        [&patched(header, 10, sum), payload].concat()
    }

    fn header_v6(&self, from: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut chain = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let field = offset | u16::from(more);
            let identification = u32::from(self.identification.unwrap_or(9));
            chain.push((
                FRAGMENT,
                [field.to_be_bytes().as_slice(), &identification.to_be_bytes()].concat(),
            ));
        }
        let mut next = protocol;
        let mut body = payload.to_vec();
        for (kind, rest) in chain.into_iter().rev() {
            let size = rest.len() + 2;
            let length = match kind {
                FRAGMENT => 0,
                AUTHENTICATION => size / 4 - 2,
                _ => size / 8 - 1,
            };
            let length = u8::try_from(length).expect("an extension header is at most 2 KiB");
            body = [&[next, length][..], &rest, &body].concat();
            next = kind;
        }
        [
            &[0x60, 0, 0, 0][..],
            &short(body.len()).to_be_bytes(),
            &[next, self.hops],
            &from.octets(),
            &to.octets(),
            &body,
        ]
        .concat()
    }
}

/// The multicast MAC of a multicast address (RFC 1112, 6.4; RFC 2464, 7).
pub fn multicast_mac(address: impl Into<IpAddr>) -> Mac {
    match address.into() {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            Mac([0x01, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(v6) => {
            let [.., m, n, o, p] = v6.octets();
            Mac([0x33, 0x33, m, n, o, p])
        }
    }
}

/// The group that a neighbour solicitation for an address goes to (RFC 4291, 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., n, o, p] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, n, o, p])
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("a packet is shorter than 64 KiB")
}

fn patched(mut bytes: Vec<u8>, offset: usize, checksum: u16) -> Vec<u8> {
    bytes[offset..offset + 2].copy_from_slice(&checksum.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: (Mac, Mac) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));

    #[test]
    fn headers_and_payloads_carry_correct_checksums() {
        let frame = ip(MACS, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)).ping();
        assert_eq!(checksum::fold(checksum::sum(&frame[14..34], 0)), 0);
        assert_eq!(checksum::fold(checksum::sum(&frame[34..], 0)), 0);

        let (from, to) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let frame = ip(MACS, from, to).udp(53, 1024, b"odd");
        let pseudo = [&from.octets()[..], &to.octets(), &[0, 17, 0, 11]].concat();
        assert_eq!(
            checksum::fold(checksum::sum(&frame[54..], checksum::sum(&pseudo, 0))),
            0
        );
    }

    #[test]
    fn extension_headers_are_chained_in_order() {
        let packet = ip(MACS, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)
            .extension(HOP_BY_HOP, &[0; 6])
            .extension(DESTINATION_OPTIONS, &[0; 14])
            .fragment(8, true)
            .protocol(PROTOCOL_UDP, &[]);
        let packet = &packet[14..];
        assert_eq!(packet[6], HOP_BY_HOP);
        assert_eq!(packet[40..42], [DESTINATION_OPTIONS, 0]);
        assert_eq!(packet[48..50], [FRAGMENT, 1]);
        assert_eq!(packet[64..68], [PROTOCOL_UDP, 0, 0, 9]);
        assert_eq!(u16::from_be_bytes([packet[4], packet[5]]), 32);
    }
}
