//! What a packet will be on the wire, where the kernel holds many of them as one (GSO).

use super::{Family, Frame, Headers};
use crate::headers::{ETHERNET_LENGTH, protocol};

/// SCTP's mark for packets that it has cut to the path's MTU itself (the kernel's GSO_BY_FRAGS).
pub const CUT_ALREADY: u32 = 0xffff;
/// The hop-by-hop header that BIG TCP over IPv6 carries until it is cut into packets.
const JUMBO_LENGTH: u32 = 8;

/// Whether the packets that this one will be cut into pass; it is too long as it is.
#[inline(never)]
pub fn fits_when_cut(frame: Frame, headers: Headers, mtu: u16) -> bool {
    let segment = frame.segment();
    if segment == 0 {
        return false;
    }
    if segment == CUT_ALREADY || headers.transport == 0 {
        return true;
    }
    match segment_headers(frame, headers) {
        0 => false,
        length => length + segment <= u32::from(mtu),
    }
}

/// Bytes in front of the data of each packet that this will be cut into, from the IP header on; 0 if they
/// cannot be read.
#[inline(always)]
pub fn segment_headers(frame: Frame, headers: Headers) -> u32 {
    let mut length = u32::from(headers.transport) - ETHERNET_LENGTH;
    if headers.protocol == protocol::TCP {
        let mut offset_and_flags = [0_u8; 2];
        if frame
            .load(u32::from(headers.transport) + 12, &mut offset_and_flags)
            .is_err()
        {
            return 0;
        }
        length += u32::from(offset_and_flags[0] >> 4) * 4;
    } else {
        length += 8;
    }
    let mut payload_length = 1_u16;
    if headers.family == Family::V6
        && frame.load(ETHERNET_LENGTH + 4, &mut payload_length).is_ok()
        && payload_length == 0
    {
        length -= JUMBO_LENGTH;
    }
    length
}
