//! The model's reading of a frame's headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::{address::Mac, verdict::DropReason};

use crate::packet::{
    AUTHENTICATION, Arp, DESTINATION_OPTIONS, ETHERTYPE_ARP, ETHERTYPE_QINQ, ETHERTYPE_V4, ETHERTYPE_V6,
    ETHERTYPE_VLAN, FRAGMENT, HOP_BY_HOP, NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, PROTOCOL_ICMP,
    PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, ROUTING,
};

/// Headers that another header follows (RFC 7045): with mobility, host identity and shim6.
const EXTENSIONS: [u8; 8] = [
    HOP_BY_HOP,
    ROUTING,
    FRAGMENT,
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    135,
    139,
    140,
];
/// Extension headers that are looked behind.
const MOST_EXTENSIONS: usize = 6;

pub struct Headers<'a> {
    pub destination: Mac,
    pub source: Mac,
    pub payload: Payload<'a>,
}

pub enum Payload<'a> {
    /// `None`: cut short.
    Arp(Option<Arp>),
    Ip(Ip<'a>),
    Vlan,
    Other,
}

pub struct Ip<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hops: u8,
    /// Of the transport; of what follows the fragment header in a later fragment.
    pub protocol: u8,
    /// In bytes: 0 for a whole packet and for a first fragment.
    pub offset: usize,
    pub more_fragments: bool,
    /// The rest of the packet; empty in a later fragment.
    pub transport: &'a [u8],
}

impl<'a> Headers<'a> {
    pub fn parse(frame: &'a [u8]) -> Result<Self, DropReason> {
        let (head, rest) = frame.split_at_checked(14).ok_or(DropReason::Malformed)?;
        let ethertype = u16::from_be_bytes([head[12], head[13]]);
        Ok(Self {
            destination: mac(head, 0),
            source: mac(head, 6),
            payload: match ethertype {
                ETHERTYPE_ARP => Payload::Arp(arp(rest)),
                ETHERTYPE_V4 => Payload::Ip(ipv4(rest)?),
                ETHERTYPE_V6 => Payload::Ip(ipv6(rest)?),
                ETHERTYPE_VLAN | ETHERTYPE_QINQ => Payload::Vlan,
                _ => Payload::Other,
            },
        })
    }
}

impl Ip<'_> {
    /// Nobody may hide behind a header that ends too early to be judged, or whose parts come one by one.
    fn with_its_ports(self) -> Result<Self, DropReason> {
        let is_tcp = self.protocol == PROTOCOL_TCP;
        let least = match self.protocol {
            PROTOCOL_UDP => 8,
            PROTOCOL_ICMPV6 if self.source.is_ipv6() => match self.transport.first() {
                Some(&(NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT)) => 24,
                _ => 8,
            },
            PROTOCOL_TCP if self.more_fragments => 20,
            _ => 0,
        };
        let is_whole = match self.offset {
            0 => self.transport.len() >= least,
            offset => offset != 8 || !is_tcp,
        };
        is_whole.then_some(self).ok_or(DropReason::Malformed)
    }

    pub fn is_later_fragment(&self) -> bool {
        self.offset != 0
    }

    /// UDP's source or destination port, where this is UDP and has them.
    pub fn udp_port(&self, at: usize) -> Option<u16> {
        let port = self
            .transport
            .get(at..at + 2)
            .filter(|_| self.protocol == PROTOCOL_UDP)?;
        Some(u16::from_be_bytes([port[0], port[1]]))
    }

    /// The type of an ICMP message over IPv6.
    pub fn icmpv6(&self) -> Option<u8> {
        let is_v6 = self.source.is_ipv6() && self.protocol == PROTOCOL_ICMPV6;
        self.transport.first().copied().filter(|_| is_v6)
    }

    /// The type of an ICMP message over IPv4; `None`: it is none, or a later fragment.
    pub fn icmp(&self) -> Result<Option<u8>, DropReason> {
        let is_message = self.source.is_ipv4() && self.protocol == PROTOCOL_ICMP && !self.is_later_fragment();
        if is_message && self.transport.len() < 8 {
            return Err(DropReason::Malformed);
        }
        Ok(self.transport.first().copied().filter(|_| is_message))
    }

    /// The destination of the packet that an ICMP error quotes.
    pub fn quoted_destination(&self) -> Result<IpAddr, DropReason> {
        let quoted = self.transport.get(8..).unwrap_or_default();
        let destination = match self.source {
            IpAddr::V4(_) if quoted.len() >= 20 => address_v4(quoted, 16).into(),
            IpAddr::V6(_) if quoted.len() >= 40 => address_v6(quoted, 24).into(),
            _ => return Err(DropReason::Malformed),
        };
        Ok(destination)
    }

    pub fn is_solicitation(&self) -> bool {
        self.icmpv6() == Some(NEIGHBOUR_SOLICITATION)
    }

    /// The target of a neighbour solicitation or advertisement.
    pub fn target(&self) -> Result<Ipv6Addr, DropReason> {
        let target = self.transport.get(8..24).ok_or(DropReason::Malformed)?;
        Ok(address_v6(target, 0))
    }
}

/// As it stands there, whatever it is about.
fn arp(bytes: &[u8]) -> Option<Arp> {
    let bytes = bytes.get(..28)?;
    Some(Arp {
        kind: std::array::from_fn(|i| bytes[i]),
        operation: u16::from_be_bytes([bytes[6], bytes[7]]),
        sender: (mac(bytes, 8), address_v4(bytes, 14)),
        target: (mac(bytes, 18), address_v4(bytes, 24)),
    })
}

fn ipv4(bytes: &[u8]) -> Result<Ip<'_>, DropReason> {
    let header = bytes.get(..20).ok_or(DropReason::Malformed)?;
    let length = usize::from(header[0] & 15) * 4;
    let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || length < 20 || length > end || end > bytes.len() {
        return Err(DropReason::Malformed);
    }
    let (from, to) = (address_v4(bytes, 12), address_v4(bytes, 16));
    if [0, 127].contains(&to.octets()[0]) || from == to {
        return Err(DropReason::Martian);
    }
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let offset = usize::from(flags & 0x1fff) * 8;
    Ip {
        source: from.into(),
        destination: to.into(),
        hops: header[8],
        protocol: header[9],
        offset,
        more_fragments: flags & 0x2000 != 0,
        transport: if offset == 0 { &bytes[length..end] } else { &[] },
    }
    .with_its_ports()
}

fn ipv6(bytes: &[u8]) -> Result<Ip<'_>, DropReason> {
    let header = bytes.get(..40).ok_or(DropReason::Malformed)?;
    let end = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || end > bytes.len() {
        return Err(DropReason::Malformed);
    }
    let mut ip = Ip {
        source: address_v6(bytes, 8).into(),
        destination: address_v6(bytes, 24).into(),
        hops: header[7],
        protocol: header[6],
        offset: 0,
        more_fragments: false,
        transport: &bytes[40..end],
    };
    let mut extensions = 0;
    while EXTENSIONS.contains(&ip.protocol) && !ip.is_later_fragment() {
        let [next, length, high, low, ..] = ip.transport else {
            return Err(DropReason::Malformed);
        };
        let size = match ip.protocol {
            FRAGMENT => {
                ip.offset = (u16::from_be_bytes([*high, *low]) & 0xfff8).into();
                ip.more_fragments = *low & 1 != 0;
                8
            }
            ROUTING if *high == 0 => return Err(DropReason::Malformed),
            AUTHENTICATION => (usize::from(*length) + 2) * 4,
            _ => (usize::from(*length) + 1) * 8,
        };
        ip.protocol = *next;
        ip.transport = match ip.transport.get(size..) {
            None if !ip.is_later_fragment() => return Err(DropReason::Malformed),
            rest => rest.unwrap_or_default(),
        };
        extensions += 1;
        if extensions > MOST_EXTENSIONS {
            return Err(DropReason::Malformed);
        }
    }
    if ip.is_later_fragment() {
        ip.transport = &[];
    }
    ip.with_its_ports()
}

fn mac(bytes: &[u8], at: usize) -> Mac {
    Mac(std::array::from_fn(|i| bytes[at + i]))
}

fn address_v4(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(|i| bytes[at + i]))
}

fn address_v6(bytes: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| bytes[at + i]))
}
