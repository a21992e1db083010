//! Fragments: what is kept of a packet that comes in pieces, and the pieces that wait for the first.

use crate::{address::Address, map_type, progress::SECOND};

/// Key of FRAGMENTS: the packet that a fragment is of (RFC 791, RFC 8200).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    pub from: Address,
    pub to: Address,
    pub zone: u32,
    pub protocol: u32,
    /// Network order.
    pub identification: u32,
}
map_type!(FragmentKey, 44);

/// Fragments lie at multiples of 8 bytes, below 64 KiB (RFC 791, RFC 8200).
const UNIT: u32 = 8;
pub const UNITS: u32 = 8_192;

/// Value of FRAGMENTS: the ports that a packet's first fragment had, as in [`Tuple`](crate::flow::Tuple), and which of its fragments have
/// passed. CPUs share it: words are changed in one step each.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragments {
    pub from_port: u16,
    pub to_port: u16,
    /// Units that have passed.
    pub passed: u32,
    /// Units of the whole packet, once its last fragment has passed; else 0.
    pub whole: u32,
    pub _pad: u32,
    /// When the ports were noted (`bpf_ktime_get_coarse_ns`).
    pub noted: u64,
    /// A bit for each unit that has passed.
    pub seen: [u64; UNITS as usize / 64],
}
map_type!(Fragments, 1_048);

impl Fragments {
    pub const NONE: Self = Self {
        from_port: 0,
        to_port: 0,
        passed: 0,
        whole: 0,
        _pad: 0,
        noted: 0,
        seen: [0; UNITS as usize / 64],
    };

    /// How long a receiver waits for the rest of a packet (Linux's `ipfrag_time`; RFC 8200 says 60 s): after that its
    /// identification may be another's.
    const LASTS: u64 = 30 * SECOND;
    /// How long a first fragment may be on its way round, and copies of fragments behind a packet that is whole.
    const ROUND: u64 = SECOND / 4;

    #[inline(always)]
    pub const fn is_whole(&self) -> bool {
        self.whole != 0 && self.passed >= self.whole
    }

    /// Whether a fragment belongs to this packet, and not to another one with its identification: one that is whole
    /// needs no other.
    #[inline(always)]
    pub const fn is_alive(&self, now: u64) -> bool {
        let lasts = if self.is_whole() { Self::ROUND } else { Self::LASTS };
        now < self.noted + lasts
    }

    /// Whether a first fragment with other ports contradicts this packet.
    #[inline(always)]
    pub const fn excludes(&self, now: u64) -> bool {
        self.is_alive(now) && (self.passed != 0 || now < self.noted + Self::ROUND)
    }
}

/// Where a fragment lies in its packet, in units: from, and up to; whether nothing follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub start: u16,
    pub end: u16,
    pub is_last: u32,
}

impl Piece {
    /// Of so many bytes, from what a header says where it lies. Its end may be beyond 64 KiB.
    #[inline(always)]
    pub const fn new(start: u16, bytes: u32, is_last: bool) -> Self {
        Self {
            start,
            end: start + bytes.div_ceil(UNIT) as u16,
            is_last: is_last as u32,
        }
    }

    /// The bits of its units in a word of [`Fragments::seen`].
    #[inline(always)]
    pub const fn bits(self, word: u32) -> u64 {
        let first = word * 64;
        below(self.end as u32, first) & !below(self.start as u32, first)
    }
}

/// The bits of the units before one, in the word that starts with unit `first`.
#[inline(always)]
const fn below(unit: u32, first: u32) -> u64 {
    if unit <= first {
        return 0;
    }
    match unit - first {
        count @ 0..64 => (1 << count) - 1,
        _ => u64::MAX,
    }
}

/// Fragments of one packet that may wait, and bytes of the longest, Ethernet header included.
pub const PARKED_MOST: u32 = 48;
pub const PARKED_LONGEST: usize = 1_514;

/// Key of PARKED.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParkedKey {
    pub packet: FragmentKey,
    /// 0, 1, 2, … in the order of their arrival.
    pub place: u32,
}
map_type!(ParkedKey, 48);

/// Value of PARKED: a fragment that came before its packet's first one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub length: u32,
    pub bytes: [u8; PARKED_LONGEST],
    pub _pad: [u8; 2],
}
map_type!(Parked, 1_520);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_covers_its_units() {
        for (start, bytes, word, bits) in [
            (0, 8, 0, 0b1),
            (0, 9, 0, 0b11),
            (2, 16, 0, 0b1100),
            (0, 512, 0, u64::MAX),
            (0, 512, 1, 0),
            (63, 16, 0, 1 << 63),
            (63, 16, 1, 1),
            (64, 8, 0, 0),
        ] {
            assert_eq!(
                Piece::new(start, bytes, false).bits(word),
                bits,
                "{start} {bytes} {word}"
            );
        }
        assert_eq!(Piece::new(8_191, 8, true).end, 8_192);
    }

    #[test]
    fn an_identification_may_be_anothers_once_its_packet_is_whole_or_old() {
        const NOTED: u64 = 100 * SECOND;
        for (passed, whole, after, is_alive, excludes) in [
            // on its way round
            (0, 0, SECOND / 8, true, true),
            // nothing has passed, and it is no longer on its way
            (0, 0, SECOND, true, false),
            (3, 0, SECOND, true, true),
            (3, 5, SECOND, true, true),
            (5, 5, SECOND / 8, true, true),
            (5, 5, SECOND, false, false),
            (3, 0, 31 * SECOND, false, false),
        ] {
            let packet = Fragments {
                passed,
                whole,
                noted: NOTED,
                ..Fragments::NONE
            };
            let now = NOTED + after;
            let found = (packet.is_alive(now), packet.excludes(now));
            assert_eq!(found, (is_alive, excludes), "{passed} of {whole}, {after} ns later");
        }
    }
}
