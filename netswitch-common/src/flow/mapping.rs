//! Mappings: which port of the host's stands for a container's socket (RFC 4787, 4.1).
//!
//! A socket of a container has one address and port outside, whoever it speaks with. MAPPINGS says which, by two
//! entries that both name a flow of the socket's: one is found from the socket, the other one from the port outside.
//! An entry counts as long as its flow lives; the next packets of other flows of the socket's then write it anew.

use super::{FlowKey, Tuple};
use crate::{address::Address, map_type, publish::protocol};

/// Key of MAPPINGS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MappingKey {
    /// The container's; none for the entry that is found from outside.
    pub inside: Address,
    /// The host's.
    pub outside: Address,
    /// Network of the container; 0 for the entry that is found from outside.
    pub network: u32,
    /// Network order: the socket's, or the one outside.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    pub _pad: u8,
}
map_type!(MappingKey, 40);

impl MappingKey {
    /// The socket that sends packets with this tuple, as seen behind `outside`.
    #[inline(always)]
    pub const fn of_socket(original: &Tuple, outside: Address) -> Self {
        Self {
            inside: original.from,
            outside,
            network: original.zone,
            port: original.from_port,
            protocol: original.protocol as u8,
            _pad: 0,
        }
    }

    /// The port that answers with this tuple are for.
    #[inline(always)]
    pub const fn of_port(reply: &Tuple) -> Self {
        Self {
            inside: Address::NONE,
            outside: reply.to,
            network: 0,
            port: reply.to_port,
            protocol: reply.protocol as u8,
            _pad: 0,
        }
    }
}

/// Value of MAPPINGS: the flow that the mapping was last used by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    pub key: FlowKey,
    pub serial: u32,
}
map_type!(Mapping, 12);

/// The ports among which a socket's is chosen where it cannot keep its own: a privileged port stays one, as for the
/// kernel's masquerade (`nf_nat_l4proto_unique_tuple`). First port and count, in host order; `None`: those that are
/// configured.
#[inline(always)]
pub const fn class(protocol: u8, port: u16) -> Option<(u16, u16)> {
    match port {
        1..=511 if keeps(protocol) => Some((1, 511)),
        512..=1_023 if keeps(protocol) => Some((512, 512)),
        _ => None,
    }
}

/// Whether a socket's own port is a good one outside, too. The identifier of a ping is not: the host's own pings
/// have small numbers as well.
#[inline(always)]
pub const fn keeps(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | UDP_LITE)
}

const UDP_LITE: u8 = 136;

/// Key of CLAIMABLE: what a socket of the host may take, as flows have kept their ports there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClaimableKey {
    /// Of a peer, whom a socket of the host may dial; none for a port of the host's own.
    pub peer: Address,
    /// Network order.
    pub port: u16,
    pub protocol: u8,
    pub _pad: u8,
}
map_type!(ClaimableKey, 20);

impl ClaimableKey {
    #[inline(always)]
    pub const fn new(peer: Address, port: u16, protocol: u8) -> Self {
        Self {
            peer,
            port,
            protocol,
            _pad: 0,
        }
    }
}

/// KEPT: one bit a port of the host's that flows have kept, laid out as INWARD, in two halves. Programs set bits in one
/// half, and test both; the agent writes the other half anew from the flows that live.
pub mod kept {
    /// Words of one half.
    pub const HALF: u32 = crate::capacity::INWARD;
    /// The word that says where the half begins in which programs set bits.
    pub const CURRENT: u32 = 2 * HALF;
    pub const WORDS: u32 = CURRENT + 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privileged_port_stays_one() {
        for (port, expected) in [
            (0, None),
            (1, Some((1, 511))),
            (511, Some((1, 511))),
            (512, Some((512, 512))),
            (1_023, Some((512, 512))),
            (1_024, None),
            (u16::MAX, None),
        ] {
            assert_eq!(class(protocol::UDP, port), expected, "{port}");
        }
        assert_eq!(class(1, 7), None, "an identifier has no class");
    }

    #[test]
    fn a_socket_and_its_port_have_keys_of_their_own() {
        let inside: Address = "10.0.0.2".parse::<core::net::IpAddr>().unwrap().into();
        let outside: Address = "192.0.2.1".parse::<core::net::IpAddr>().unwrap().into();
        let original = Tuple {
            from: inside,
            from_port: 5_000_u16.to_be(),
            zone: 3,
            protocol: 17,
            ..Tuple::default()
        };
        let reply = Tuple {
            to: outside,
            to_port: 5_000_u16.to_be(),
            protocol: 17,
            ..Tuple::default()
        };
        let (socket, port) = (MappingKey::of_socket(&original, outside), MappingKey::of_port(&reply));
        assert_ne!(socket, port);
        // whoever they speak with
        let elsewhere = Tuple {
            to: inside,
            to_port: 9,
            ..original
        };
        assert_eq!(MappingKey::of_socket(&elsewhere, outside), socket);
    }
}
