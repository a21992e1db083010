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

/// Value of ADDRESSES: the MAC to answer with and the port behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    pub mac: Mac,
    pub _pad: [u8; 2],
    pub port: Port,
}
map_type!(Neighbour, 32);
