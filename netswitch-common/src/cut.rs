//! Cut: IPv4 packets that are longer than the next link takes become fragments (RFC 791, 3.2), where their sender allows it.

use crate::map_type;

/// Bytes behind an IPv4 header at most: those of a jumbo frame.
pub const LONGEST: usize = 9_216;
/// Ethernet's header and the shortest of IPv4.
pub const HEADERS: usize = 14 + 20;

/// Value of CUTTING: a frame that is cut. Behind its bytes as many again, so that any piece is inside.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutting {
    pub headers: [u8; HEADERS],
    pub _pad: [u8; 2],
    pub data: [u8; 2 * LONGEST],
}
map_type!(Cutting, 18_468);

/// A fragment of a packet: which of the bytes behind its header, and what its own header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub start: u32,
    pub length: u32,
    /// Flags and offset, host order.
    pub field: u16,
}

/// More fragments follow; the packet must stay whole.
pub const MORE: u16 = 0x2000;
pub const WHOLE: u16 = 0x4000;

/// Bytes behind the headers of every fragment but the last.
#[inline(always)]
pub const fn step(mtu: u16) -> u32 {
    (mtu as u32).saturating_sub(20) & !7
}

/// The fragment of that number of a packet with so many bytes behind its header and this field. `None`: there are fewer.
#[inline(always)]
pub const fn fragment(number: u32, step: u32, bytes: u32, field: u16) -> Option<Fragment> {
    let start = number * step;
    if start >= bytes {
        return None;
    }
    let left = bytes - start;
    let (length, more) = if left > step { (step, MORE) } else { (left, 0) };
    Some(Fragment {
        start,
        length,
        field: field.wrapping_add((start / 8) as u16) | more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_cover_a_packet_and_keep_its_place() {
        let all = |bytes, field| {
            let fragments = (0..).map_while(|number| fragment(number, step(1400), bytes, field));
            fragments
                .map(|fragment| (fragment.start, fragment.length, fragment.field))
                .collect::<Vec<_>>()
        };
        assert_eq!(step(1400), 1376);
        assert_eq!(all(1480, 0), [(0, 1376, MORE), (1376, 104, 172)]);
        // one that is in the middle of a packet, and one that is its end
        assert_eq!(all(1480, MORE + 185), [(0, 1376, MORE + 185), (1376, 104, MORE + 357)]);
        assert_eq!(all(1376, 185), [(0, 1376, 185)]);
        assert_eq!(all(2753, 0).len(), 3);
    }
}
