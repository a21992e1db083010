//! Names that the switch itself answers for: what the agent's server would say, without waking it.
//!
//! A sandbox sees the names of its networks in the order of VIEWS; the first network that has a name decides.

use crate::{address::Address, map_type};

/// Bytes of the longest name that a map holds, as on the wire (RFC 1035, 3.1), the root's zero included.
pub const LONGEST: usize = 64;

/// Of a name with several addresses of a family, which take turns: these are the first. They are the answer where
/// there is no agent to ask (gateway mode isolated).
pub const SEVERAL: u32 = 1 << 31;

/// Value of VIEWS, by sandbox: the networks whose names it sees, in their order, then zeros. All zero: the
/// agent answers everything that it asks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub networks: [u32; 4],
}
map_type!(View, 16);

/// Key of NAMES: a name in lower case as on the wire, filled up with zeros, and its network.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameKey {
    pub network: u32,
    pub _pad: u32,
    pub name: [u8; LONGEST],
}
map_type!(NameKey, 72);

/// Value of NAMES: the addresses behind a name, or the name behind an address. With neither, or with none of
/// the type that is asked for, the agent answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Bytes of the key's name: one that only looks like it because of the zeros behind it is another. With
    /// [`SEVERAL`] no question has this length, and the agent answers.
    pub length: u32,
    /// Of a PTR record's name in `pointer`; 0: this is a name with addresses.
    pub pointer_length: u32,
    /// Network order; 0: it has none.
    pub v4: u32,
    /// In seconds, host order.
    pub time_to_live: u32,
    pub v6: Address,
    /// As on the wire, filled up with zeros.
    pub pointer: [u8; LONGEST],
}
map_type!(Name, 96);

impl NameKey {
    /// Of a name on the wire in lower case. `None`: too long for the map.
    pub fn new(network: u32, wire: &[u8]) -> Option<Self> {
        Some(Self {
            network,
            _pad: 0,
            name: filled(wire)?,
        })
    }
}

/// Filled up with zeros. `None`: too long for the map.
pub fn filled(wire: &[u8]) -> Option<[u8; LONGEST]> {
    let mut name = [0; LONGEST];
    name.get_mut(..wire.len())?.copy_from_slice(wire);
    Some(name)
}

/// Eight bytes of a name in lower case, all at once. Lengths of labels stand before `A`.
#[inline(always)]
pub const fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = word & !HIGH;
    // the high bit of each byte: at least 'A'; more than 'Z'
    let at_least_a = low + (0x80 - b'A' as u64) * EACH;
    let above_z = low + (0x80 - b'Z' as u64 - 1) * EACH;
    let is_upper = at_least_a & !above_z & !word & HIGH;
    word | is_upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_capital_letters_change() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut bytes = [b'x'; 8];
                bytes[place] = byte;
                let mut expected = bytes;
                expected[place] = byte.to_ascii_lowercase();
                assert_eq!(lower(u64::from_ne_bytes(bytes)).to_ne_bytes(), expected, "{byte:#x}");
            }
        }
        assert_eq!(lower(u64::from_ne_bytes([b'Z'; 8])).to_ne_bytes(), [b'z'; 8]);
    }

    #[test]
    fn a_name_that_is_too_long_has_no_key() {
        assert!(NameKey::new(1, &[b'a'; LONGEST]).is_some());
        assert!(NameKey::new(1, &[b'a'; LONGEST + 1]).is_none());
    }
}
