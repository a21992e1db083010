//! Headers as they lie on the wire, and their numbers.
//!
//! Plain `repr(C)` words in network order: byte arrays would cost three times the instructions.

pub mod dns;

use netswitch_common::address::Address;

pub const ETHERNET_LENGTH: u32 = 14;
/// Of UDP's header, and of the least ICMPv6 message.
pub const UDP_LENGTH: u32 = 8;
/// Of TCP's header without options.
pub const TCP_LENGTH: u32 = 20;
/// Of SCTP's common header.
pub const SCTP_LENGTH: u32 = 12;

/// UDP ports of DHCP and of DHCPv6, network order.
pub mod dhcp {
    pub const SERVER: u16 = 67_u16.to_be();
    pub const CLIENT: u16 = 68_u16.to_be();
    pub const CLIENT_V6: u16 = 546_u16.to_be();
    pub const SERVER_V6: u16 = 547_u16.to_be();
}

/// EtherTypes, network order.
pub mod ethertype {
    pub const IPV4: u16 = 0x0800_u16.to_be();
    pub const ARP: u16 = 0x0806_u16.to_be();
    pub const VLAN: u16 = 0x8100_u16.to_be();
    pub const VLAN_SERVICE: u16 = 0x88a8_u16.to_be();
    pub const IPV6: u16 = 0x86dd_u16.to_be();
}

/// IP protocol numbers.
pub mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
    pub const UDP_LITE: u8 = 136;
}

/// Where the checksum stands behind the start of a transport header.
pub mod checksum_at {
    pub const TCP: u32 = 16;
    pub const UDP: u32 = 6;
    pub const ICMP: u32 = 2;
}

/// Where the checksum of a protocol stands that covers its ports.
#[inline(always)]
pub fn checksum_of(protocol: u8) -> Option<u32> {
    match protocol {
        protocol::TCP => Some(checksum_at::TCP),
        protocol::UDP | protocol::UDP_LITE => Some(checksum_at::UDP),
        protocol::ICMP | protocol::ICMPV6 => Some(checksum_at::ICMP),
        _ => None,
    }
}

/// Of packets that start here.
pub const TIME_TO_LIVE: u8 = 64;

/// Families of addresses, as the kernel numbers them.
pub mod family {
    pub const INET: u8 = 2;
    pub const INET6: u8 = 10;
}

/// ICMP types (RFC 792).
pub mod icmp {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    /// A code of the one before.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
}

/// Flags of a TCP segment (RFC 9293, 3.1).
pub mod tcp {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

/// ICMPv6 types: RFC 4443, neighbour discovery (RFC 4861), multicast listeners (RFC 2710, 3810).
pub mod icmpv6 {
    pub const UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    /// Of those that receivers know.
    pub const LAST_ERROR: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const LISTENER_REPORT: u8 = 131;
    pub const LISTENER_DONE: u8 = 132;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const LISTENER_REPORT_2: u8 = 143;
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arp {
    pub hardware: u16,
    pub protocol: u16,
    pub lengths: u16,
    pub operation: u16,
    pub sender_mac: [u16; 3],
    pub sender: [u16; 2],
    pub target_mac: [u16; 3],
    pub target: [u16; 2],
}

impl Arp {
    pub const REQUEST: u16 = 1_u16.to_be();
    pub const REPLY: u16 = 2_u16.to_be();

    #[inline(always)]
    pub fn is_ethernet_and_ipv4(&self) -> bool {
        self.hardware == 1_u16.to_be() && self.protocol == ethertype::IPV4 && self.lengths == 0x0604_u16.to_be()
    }

    pub fn sender(&self) -> Address {
        Address::v4(word(self.sender))
    }

    pub fn target(&self) -> Address {
        Address::v4(word(self.target))
    }
}

/// Two halves in memory order as one word.
#[inline(always)]
fn word([first, second]: [u16; 2]) -> u32 {
    u32::from(first) | u32::from(second) << 16
}

/// The addresses of an Ethernet header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Macs {
    pub destination: [u16; 3],
    pub source: [u16; 3],
}

impl Macs {
    pub const NONE: Self = Self {
        destination: [0; 3],
        source: [0; 3],
    };
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ethernet {
    pub destination: [u16; 3],
    pub source: [u16; 3],
    pub ethertype: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4 {
    pub version_length: u8,
    pub service: u8,
    pub length: u16,
    pub identification: u16,
    pub fragment: u16,
    pub time_to_live: u8,
    pub protocol: u8,
    pub checksum: u16,
    pub source: u32,
    pub destination: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6 {
    pub version_flow: u32,
    pub payload_length: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: Address,
    pub destination: Address,
}
