//! Published ports: which address, protocol and port of the host lead to which port of an endpoint.
//!
//! A publication is one record, however many ports it has. PUBLISHED finds it: one entry for each 256
//! ports of an address and a protocol, so that 10,000 ports cost 41 writes and a packet one look-up.

use crate::{
    address::{Address, Mac},
    map_type,
};

/// IP protocol numbers that have ports to publish.
pub mod protocol {
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const SCTP: u8 = 132;
}

/// Key of PUBLISHED.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PublishedKey {
    /// Of the host; `0.0.0.0` or `::` for every one of that family.
    pub address: Address,
    /// One of [`protocol`].
    pub protocol: u8,
    /// The upper eight bits of the port.
    pub port_high: u8,
    pub _pad: [u8; 2],
}
map_type!(PublishedKey, 20);

impl PublishedKey {
    /// `port` in host order.
    #[inline(always)]
    pub const fn new(address: Address, protocol: u8, port: u16) -> Self {
        Self {
            address,
            protocol,
            port_high: (port >> 8) as u8,
            _pad: [0; 2],
        }
    }
}

/// Index into INWARD, and the bit there, of a TCP or UDP port in host order; other protocols have none.
#[inline(always)]
pub const fn inward(protocol: u8, port: u16) -> Option<(u32, u64)> {
    let (word, bit) = ((port >> 6) as u32, 1 << (port & 63));
    match protocol {
        protocol::TCP => Some((word, bit)),
        protocol::UDP => Some((1_024 + word, bit)),
        _ => None,
    }
}

/// Stands in a [`PublishedKey`] for "on whatever address": such an entry says that a port is taken.
pub const ANYWHERE: Address = Address([u32::MAX; 4]);

/// Value of PUBLISHED: by the lower eight bits of the port, the publication's number; 0 for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedPorts(pub [u16; 256]);
map_type!(PublishedPorts, 512);

impl PublishedPorts {
    pub const NONE: Self = Self([0; 256]);
}

/// Key of OUTWARD: ports of an endpoint that are published.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutwardKey {
    /// Its id.
    pub endpoint: u32,
    /// One of [`protocol`].
    pub protocol: u8,
    /// The upper eight bits of the port in the container.
    pub port_high: u8,
    pub _pad: [u8; 2],
}
map_type!(OutwardKey, 8);

impl OutwardKey {
    /// `port` in host order.
    #[inline(always)]
    pub const fn new(endpoint: u32, protocol: u8, port: u16) -> Self {
        Self {
            endpoint,
            protocol,
            port_high: (port >> 8) as u8,
            _pad: [0; 2],
        }
    }
}

/// Value of OUTWARD: by the lower eight bits of the port in the container, a port of the host's that leads there, in
/// host order; 0 for none. On which addresses it is published stands in PUBLISHED.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutwardPorts(pub [u16; 256]);
map_type!(OutwardPorts, 512);

impl OutwardPorts {
    pub const NONE: Self = Self([0; 256]);
}

/// Bits of [`Publication::flags`].
pub mod flags {
    /// Only clients in SOURCES may come in (`from=`).
    pub const SOURCES: u32 = 1 << 0;
    /// Clients appear with the gateway's address: the container has no way back to others (`--internal`).
    pub const GATEWAY_SOURCE: u32 = 1 << 1;
}

/// Value of PUBLICATIONS, by the publication's number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Endpoint id and generation.
    pub endpoint: u32,
    pub generation: u32,
    pub network: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// First port on the host and in the container, host order; the others follow in step.
    pub host_first: u16,
    pub container_first: u16,
    /// Of the endpoint's interface.
    pub mtu: u16,
    pub mac: Mac,
    /// The endpoint's addresses; network order, 0 or none where it has no such family.
    pub v4: u32,
    pub v6: Address,
}
map_type!(Publication, 48);

impl Publication {
    /// The endpoint's address in the family of `address`.
    #[inline(always)]
    pub const fn target(&self, address: Address) -> Option<Address> {
        match address.as_v4() {
            Some(_) if self.v4 != 0 => Some(Address::v4(self.v4)),
            None if !self.v6.is_none() => Some(self.v6),
            _ => None,
        }
    }

    /// The container's port for one of the host's; both in host order.
    #[inline(always)]
    pub const fn port(&self, host_port: u16) -> u16 {
        self.container_first
            .wrapping_add(host_port.wrapping_sub(self.host_first))
    }
}

/// Number of no publication, in a flow that came to a container's own address without one: its network is open there.
pub const DIRECT: u32 = 1 << 16;

/// Data of SOURCES' LPM key: who may use a publication. Prefixes are 32 bits longer than the address's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceKey {
    pub publication: u32,
    pub address: Address,
}
map_type!(SourceKey, 20);

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn ports_of_a_range_keep_step() {
        let publication = Publication {
            host_first: 8000,
            container_first: 80,
            v4: address("10.0.0.2").as_v4().unwrap(),
            ..Publication::default()
        };
        assert_eq!((publication.port(8000), publication.port(8010)), (80, 90));
        assert_eq!(publication.target(address("192.0.2.1")), Some(address("10.0.0.2")));
        assert_eq!(publication.target(address("2001:db8::1")), None);
    }

    #[test]
    fn a_key_covers_256_ports() {
        let key = |port| PublishedKey::new(Address::NONE, protocol::TCP, port);
        assert_eq!(key(0x1f00), key(0x1fff));
        assert_ne!(key(0x1f00), key(0x2000));
    }
}
