//! A network: its gateway, its host port, its members and its subnets.

use crate::{
    address::{Address, Mac},
    map_type,
};

/// Value of NETWORKS, by network id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Ifindex of the device that carries the gateway's addresses.
    pub host_end: u32,
    /// Ifindex of its peer, where `from_endpoint` sees the host's frames.
    pub switch_end: u32,
    /// Bits of [`crate::endpoint::flags`].
    pub flags: u32,
    /// How many slots of MEMBERS are filled, from 0, without holes.
    pub members: u32,
    /// MAC of the host end.
    pub mac: Mac,
    pub mtu: u16,
    pub gateway_v4: Address,
    pub gateway_v6: Address,
    /// Link-local address of the host end.
    pub link_local: Address,
    /// Sources for traffic that leaves the host; none: the route's.
    pub source_v4: Address,
    pub source_v6: Address,
}
map_type!(Network, 104);

impl Network {
    /// Whether the host end carries the address.
    #[inline(always)]
    pub fn is_gateway(&self, address: Address) -> bool {
        !address.is_none() && (address == self.gateway_v4 || address == self.gateway_v6 || address == self.link_local)
    }

    /// Whether the host is on the network in a family.
    #[inline(always)]
    pub fn has_gateway(&self, is_v4: bool) -> bool {
        let gateway = if is_v4 { self.gateway_v4 } else { self.gateway_v6 };
        !gateway.is_none()
    }

    /// Whether the agent listens at the address: at a gateway's, its link-local one left out.
    #[inline(always)]
    pub fn is_resolver(&self, address: Address) -> bool {
        !address.is_none() && (address == self.gateway_v4 || address == self.gateway_v6)
    }
}

/// Key of TRUSTED: a device of the host from which a network's containers are reached at their own addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrustedKey {
    pub network: u32,
    pub ifindex: u32,
}
map_type!(TrustedKey, 8);

/// Key of MEMBERS: the dense array of a network's ports, host port included.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberKey {
    pub network: u32,
    pub slot: u32,
}
map_type!(MemberKey, 8);

/// Value of MEMBERS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Host-side veth or switch end: a frame sent out of it arrives at the member.
    pub ifindex: u32,
    /// Endpoint id.
    pub id: u32,
    /// The host that it is on; 0: this one.
    pub remote: u32,
    /// A [`Way`](crate::way::Way): a copy goes out of the device, [`Device`](crate::way::Way::Device).
    pub way: u8,
    pub _pad: [u8; 3],
}
map_type!(Member, 16);

/// What a subnet is to the switch.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnetKind {
    /// The subnet of one of our networks.
    Network = 1,
    /// The same of one that the host is not on (gateway mode isolated).
    Isolated = 2,
}

/// Value of SUBNETS; the key is an LPM key over [`Address`] (v4 prefixes are 96 bits longer).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subnet {
    pub network: u32,
    /// A [`SubnetKind`].
    pub kind: u32,
}
map_type!(Subnet, 8);

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_network_knows_its_gateways_and_its_resolvers() {
        let dual = Network {
            gateway_v4: address("10.0.0.1"),
            gateway_v6: address("fd00::1"),
            link_local: address("fe80::1"),
            ..Network::default()
        };
        // an address, whether it is a gateway's, whether the agent listens there
        for (text, is_gateway, is_resolver) in [
            ("10.0.0.1", true, true),
            ("fd00::1", true, true),
            ("fe80::1", true, false),
            ("10.0.0.2", false, false),
            ("::", false, false),
            ("0.0.0.0", false, false),
        ] {
            assert_eq!(dual.is_gateway(address(text)), is_gateway, "{text}");
            assert_eq!(dual.is_resolver(address(text)), is_resolver, "{text}");
        }
        // what a network does not have is nobody's address
        let none = Network::default();
        assert!(!none.is_gateway(Address::NONE) && !none.is_resolver(Address::NONE));
    }
}
