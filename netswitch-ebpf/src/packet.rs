//! The one parse of a frame into a [`Packet`].

mod frame;
pub mod plain;
pub mod size;
mod v6;
pub mod whole;

pub use netswitch_common::family::Family;
use netswitch_common::verdict::DropReason;

pub use self::frame::{Addresses, Frame, LONGEST, bounds};
use crate::headers::{
    ETHERNET_LENGTH, Ethernet, Ipv4, Ipv6, TCP_LENGTH, UDP_LENGTH, dhcp, ethertype, icmpv6, protocol,
};

/// What the stages need to know of a frame. Small enough for registers: the addresses, which only
/// few frames need as a whole, are read by [`Frame::addresses`].
#[derive(Clone, Copy)]
pub struct Packet {
    pub destination: [u16; 3],
    pub source: [u16; 3],
    pub tagged: bool,
    /// IPv4 source; network order.
    pub source_v4: u32,
    /// Whether it is a UDP datagram to the port where a DHCP client hears its servers.
    pub to_dhcp_client: bool,
    pub headers: Headers,
}

/// What follows the Ethernet header; 8 bytes, so that it is passed by value and not on the stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Headers {
    pub family: Family,
    /// Of the transport header, behind all extension headers.
    pub protocol: u8,
    /// IPv6 only.
    pub hop_limit: u8,
    /// 1 in a first fragment, which others follow.
    pub more_fragments: u8,
    /// UDP's source port, or ICMPv6's type and code; network order.
    pub port: u16,
    /// Where the transport header starts; 0 where the frame has none (a later fragment).
    pub transport: u16,
}

impl Packet {
    #[inline(always)]
    pub fn parse(frame: Frame) -> Result<Self, DropReason> {
        let ethernet: Ethernet = frame.read(0).ok_or(DropReason::Malformed)?;
        let mut packet = Self {
            destination: ethernet.destination,
            source: ethernet.source,
            tagged: frame.has_tag_aside(),
            source_v4: 0,
            to_dhcp_client: false,
            headers: Headers {
                family: Family::Other,
                protocol: 0,
                hop_limit: 0,
                more_fragments: 0,
                port: 0,
                transport: 0,
            },
        };
        match ethernet.ethertype {
            _ if packet.tagged => {}
            ethertype::IPV4 => packet.parse_v4(frame)?,
            ethertype::IPV6 => packet.parse_v6(frame)?,
            ethertype::ARP => packet.headers.family = Family::Arp,
            ethertype::VLAN | ethertype::VLAN_SERVICE => packet.tagged = true,
            _ => {}
        }
        Ok(packet)
    }

    #[inline(always)]
    fn parse_v4(&mut self, frame: Frame) -> Result<(), DropReason> {
        let header: Ipv4 = frame.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)?;
        let transport = ETHERNET_LENGTH + u32::from(header.version_length & 0xf) * 4;
        // the receiver believes this length: what lies behind it must not stand for what the packet holds
        let end = match header.length {
            0 if frame.segment() != 0 => frame.length(), // BIG TCP
            length => ETHERNET_LENGTH + u32::from(u16::from_be(length)),
        };
        if !matches!(header.version_length, 0x45..=0x4f) || end < transport || frame.length() < end {
            return Err(DropReason::Malformed);
        }
        // 0/8, 127/8, or itself: nobody's on a wire
        if matches!(header.destination.to_ne_bytes()[0], 0 | 127) || header.destination == header.source {
            return Err(DropReason::Martian);
        }
        self.headers.family = Family::V4;
        self.headers.protocol = header.protocol;
        self.source_v4 = header.source;
        let offset = header.fragment & 0x1fff_u16.to_be();
        if offset != 0 {
            // it would replace half of a TCP header (RFC 3128)
            return match offset == 1_u16.to_be() && header.protocol == protocol::TCP {
                true => Err(DropReason::Malformed),
                false => Ok(()),
            };
        }
        self.headers.transport = transport as u16;
        self.headers.more_fragments = u8::from(header.fragment & 0x2000_u16.to_be() != 0);
        if header.protocol == protocol::UDP {
            if end < transport + UDP_LENGTH {
                return Err(DropReason::Malformed);
            }
            let ports: [u16; 2] = frame.read(transport).ok_or(DropReason::Malformed)?;
            self.headers.port = ports[0];
            self.to_dhcp_client = ports[1] == dhcp::CLIENT;
        } else if self.headers.more_fragments != 0 && header.protocol == protocol::TCP && end < transport + TCP_LENGTH {
            return Err(DropReason::Malformed);
        }
        Ok(())
    }

    #[inline(always)]
    fn parse_v6(&mut self, frame: Frame) -> Result<(), DropReason> {
        let found = v6::parse(frame);
        if found == 0 {
            return Err(DropReason::Malformed);
        }
        self.headers.family = Family::V6;
        self.headers.protocol = found as u8;
        self.headers.hop_limit = (found >> 8) as u8;
        self.headers.port = (found >> 16) as u16;
        self.headers.transport = (found >> 32) as u16;
        self.headers.more_fragments = (found >> 48) as u8 & 1;
        self.to_dhcp_client = found >> 49 & 1 != 0;
        Ok(())
    }

    /// Whether the destination MAC is a group's.
    #[inline(always)]
    pub fn to_group(&self) -> bool {
        self.destination[0] & 0x0100_u16.to_be() != 0
    }

    /// Whether it may ask for somebody's MAC.
    #[inline(always)]
    pub fn may_ask_for_mac(&self) -> bool {
        self.headers.family == Family::Arp || self.headers.is_icmpv6(icmpv6::NEIGHBOUR_SOLICITATION)
    }
}

/// Where the transport header starts behind an IP header without options.
#[inline(always)]
pub fn plain_transport(family: Family) -> u16 {
    match family {
        Family::V4 => ETHERNET_LENGTH as u16 + size_of::<Ipv4>() as u16,
        _ => ETHERNET_LENGTH as u16 + size_of::<Ipv6>() as u16,
    }
}

impl Headers {
    /// As a number, for functions that take no others.
    #[inline(always)]
    pub fn bits(self) -> u64 {
        // SAFETY: eight bytes without padding
        unsafe { core::mem::transmute::<Self, u64>(self) }
    }

    /// The other way round.
    ///
    /// # Safety
    /// `bits` must come from [`Headers::bits`].
    #[inline(always)]
    pub unsafe fn from_bits(bits: u64) -> Self {
        // SAFETY: the caller's
        unsafe { core::mem::transmute::<u64, Self>(bits) }
    }

    /// Whether it is an ICMPv6 message of this type.
    #[inline(always)]
    pub fn is_icmpv6(self, kind: u8) -> bool {
        self.family == Family::V6 && self.protocol == protocol::ICMPV6 && self.transport != 0 && self.kind() == kind
    }

    /// Whether it is a fragment of a packet, the first or a later one.
    #[inline(always)]
    pub fn is_fragment(self) -> bool {
        self.transport == 0 || self.more_fragments != 0
    }

    /// Type of an ICMPv6 message.
    #[inline(always)]
    pub fn kind(self) -> u8 {
        self.port.to_ne_bytes()[0]
    }

    /// Whether it is a UDP datagram from this port.
    #[inline(always)]
    pub fn is_from_port(self, port: u16) -> bool {
        self.port == port && self.protocol == protocol::UDP
    }
}
