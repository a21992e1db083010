//! Whether a packet has to stay whole.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    checksum,
    cut::{LONGEST, WHOLE},
};

use super::Frame;
use crate::headers::{ETHERNET_LENGTH, Ipv4, checksum_at, protocol};

const OFFSET: u16 = 0x1fff;
const MORE: u16 = netswitch_common::cut::MORE;

/// Whether a packet may be cut: its sender allows it, and nothing of it is left for a device to finish.
#[inline(always)]
pub fn may_be_cut(frame: Frame) -> bool {
    may_cut(frame.0) != 0
}

#[unsafe(no_mangle)]
extern "C" fn may_cut(skb: *mut __sk_buff) -> u32 {
    u32::from(look(Frame::new(skb)).unwrap_or(false))
}

#[inline(always)]
fn look(frame: Frame) -> Option<bool> {
    let header: Ipv4 = frame.read(ETHERNET_LENGTH)?;
    let length = u16::from_be(header.length);
    let field = u16::from_be(header.fragment);
    let data = u32::from(length).checked_sub(size_of::<Ipv4>() as u32)?;
    // options would have to be copied, or not (RFC 791, 3.1)
    if header.version_length != 0x45 || field & WHOLE != 0 || frame.segment() != 0 || data > LONGEST as u32 {
        return Some(false);
    }
    if field & (MORE | OFFSET) != 0 {
        return Some(true);
    }
    let transport = ETHERNET_LENGTH + size_of::<Ipv4>() as u32;
    let at = match header.protocol {
        protocol::TCP => checksum_at::TCP,
        protocol::UDP | protocol::UDP_LITE => checksum_at::UDP,
        // its CRC may be left to a device, which nothing shows
        protocol::SCTP => return Some(false),
        _ => return Some(true),
    };
    let sum: u16 = frame.read(transport + at)?;
    let (from, to) = (Address::v4(header.source), Address::v4(header.destination));
    let pseudo = checksum::pseudo_header(&from, &to, header.protocol, data as u16);
    Some(sum != !checksum::fold(pseudo))
}
