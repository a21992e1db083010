//! A neighbour: which MAC has an address of a network, for ARP, ND and routed frames.

use crate::{
    address::{Address, Mac},
    endpoint::Port,
    map_type,
};

/// Key of ADDRESSES.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NeighbourKey {
    pub network: u32,
    pub address: Address,
}
map_type!(NeighbourKey, 20);

impl NeighbourKey {
    /// In the place of a network's number: the rest is an endpoint's id.
    const HELD_BY: u32 = 1 << 31;

    /// What says that an endpoint may have an address that its network reserves (`--aux-address`), and that others may
    /// have, too. The network's own entry for such an address names no port: whoever has it at the moment answers.
    #[inline(always)]
    pub const fn held_by(endpoint: u32, address: Address) -> Self {
        Self {
            network: Self::HELD_BY | endpoint,
            address,
        }
    }
}

/// Value of ADDRESSES: the MAC to answer with and the port behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    pub mac: Mac,
    pub _pad: [u8; 2],
    pub port: Port,
}
map_type!(Neighbour, 32);

impl Neighbour {
    /// Whether the containers of the network are asked who has the address.
    #[inline(always)]
    pub const fn is_shared(&self) -> bool {
        self.port.id == 0
    }
}
