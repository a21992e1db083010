//! Sockets of the host: what they dialled and where they were led instead.

use crate::{address::Address, map_type};

/// Connections of one unconnected UDP socket that are remembered.
pub const REMEMBERED: usize = 8;

/// One destination that was translated.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialled {
    /// As the program said it.
    pub address: Address,
    /// Where the packets go.
    pub target: Address,
    /// Both in network order.
    pub port: u16,
    pub target_port: u16,
}
map_type!(Dialled, 36);

/// Value of DIALLED, which every socket has for itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketState {
    pub dialled: [Dialled; REMEMBERED],
    /// Where the next one goes.
    pub next: u32,
}
map_type!(SocketState, 292);

/// Index into RELAYS: the agent's sockets for what cannot be led to a container.
pub mod relay {
    pub const TCP_V4: u32 = 0;
    pub const TCP_V6: u32 = 1;
    pub const UDP_V4: u32 = 2;
    pub const UDP_V6: u32 = 3;
    pub const COUNT: u32 = 4;
}
