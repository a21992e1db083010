//! Blocks of pcapng, the format of Wireshark and tcpdump (draft-ietf-opsawg-pcapng), in this machine's byte order.

use std::io::{self, Write};

use crate::kernel::capture::Frame;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// Tells a reader the byte order.
const MAGIC: u32 = 0x1a2b_3c4d;
const VERSION: [u16; 2] = [1, 0];
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

/// Options: a name, a negative power of ten, and flags of which the first two bits are the direction.
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
const NANOSECONDS: u8 = 9;
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// How a file begins.
pub fn section() -> Vec<u8> {
    let mut body = MAGIC.to_ne_bytes().to_vec();
    body.extend(VERSION.into_iter().flat_map(u16::to_ne_bytes));
    // its length is not known
    body.extend(u64::MAX.to_ne_bytes());
    option(
        &mut body,
        APPLICATION,
        concat!("netswitch ", env!("CARGO_PKG_VERSION")).as_bytes(),
    );
    block(SECTION, body)
}

/// An interface, which packets name by how many there were before it; `longest` is what is kept of a packet, in bytes.
pub fn interface(name: &str, longest: u32) -> Vec<u8> {
    let mut body = [ETHERNET, 0].map(u16::to_ne_bytes).concat();
    body.extend(longest.to_ne_bytes());
    option(&mut body, NAME, name.as_bytes());
    option(&mut body, RESOLUTION, &[NANOSECONDS]);
    block(INTERFACE, body)
}

/// A packet of such an interface; its bytes are not copied on the way.
#[expect(
    clippy::cast_possible_truncation,
    reason = "halves of a number, and lengths of frames"
)]
pub fn packet(out: &mut impl Write, interface: u32, frame: &Frame<'_>) -> io::Result<()> {
    let kept = frame.bytes.len();
    let padding = kept.next_multiple_of(4) - kept;
    // eleven words beside the frame
    let length = (44 + kept + padding) as u32;
    let head = [
        PACKET,
        length,
        interface,
        (frame.time >> 32) as u32,
        frame.time as u32,
        kept as u32,
        frame.length as u32,
    ];
    let direction = if frame.is_outgoing { OUTBOUND } else { INBOUND };
    out.write_all(head.map(u32::to_ne_bytes).as_flattened())?;
    out.write_all(frame.bytes)?;
    out.write_all(&[0; 3][..padding])?;
    out.write_all([FLAGS, 4].map(u16::to_ne_bytes).as_flattened())?;
    out.write_all([direction, 0, length].map(u32::to_ne_bytes).as_flattened())
}

/// Kind and length before the body, the length behind it again; an option of no kind ends the list.
#[expect(clippy::cast_possible_truncation, reason = "names and a few words")]
fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    body.extend([0; 4]);
    let length = (body.len() as u32 + 12).to_ne_bytes();
    [&kind.to_ne_bytes(), &length, &body[..], &length].concat()
}

#[expect(clippy::cast_possible_truncation, reason = "names")]
fn option(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend([kind, value.len() as u16].map(u16::to_ne_bytes).concat());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<u32> {
        let words = bytes.chunks(4).map(|word| word.try_into().unwrap());
        words.map(u32::from_ne_bytes).collect()
    }

    #[test]
    fn a_packet_has_time_direction_and_both_lengths() {
        let frame = Frame {
            interface: 77,
            is_outgoing: true,
            time: 5 << 32 | 6,
            length: 60,
            bytes: &[1, 2, 3, 4, 5],
        };
        let mut written = Vec::new();
        packet(&mut written, 3, &frame).unwrap();
        let length = 52;
        assert_eq!(written.len(), length);
        let length = u32::try_from(length).unwrap();
        assert_eq!(words(&written[..28]), [PACKET, length, 3, 5, 6, 5, 60]);
        assert_eq!(written[28..36], [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(words(&written[40..]), [OUTBOUND, 0, length]);
    }

    #[test]
    fn an_interface_has_its_name_and_counts_nanoseconds() {
        let written = interface("eth0", 96);
        assert_eq!(words(&written[..8]), [INTERFACE, u32::try_from(written.len()).unwrap()]);
        assert_eq!(words(&written[12..16]), [96]);
        assert_eq!(&written[20..24], b"eth0");
        assert_eq!(written[28], NANOSECONDS);
    }
}
