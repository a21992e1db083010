//! SCTP (RFC 9260), which this kernel does not speak: a common header and one chunk.

use super::{Ip, PROTOCOL_SCTP};

impl Ip {
    /// A packet with a correct checksum around one `chunk`.
    pub fn sctp(&self, source: u16, destination: u16, tag: u32, chunk: &[u8]) -> Vec<u8> {
        let ports = [source, destination].map(u16::to_be_bytes).concat();
        let mut packet = [&ports[..], &tag.to_be_bytes(), &[0; 4], chunk].concat();
        let sum = crc32c(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        self.protocol(PROTOCOL_SCTP, &packet)
    }
}

/// Ports, tag and chunk of an SCTP packet, if its checksum is correct.
pub fn read_sctp(packet: &[u8]) -> Option<(u16, u16, u32, &[u8])> {
    let (header, chunk) = packet.split_at_checked(12)?;
    let zeroed = [&header[..8], &[0; 4], chunk].concat();
    let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let tag = u32::from_be_bytes(header[4..8].try_into().ok()?);
    (crc32c(&zeroed).to_le_bytes() == header[8..12]).then_some((short(0), short(2), tag, chunk))
}

/// Castagnoli's (RFC 9260, appendix A), bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::ip;
    use netswitch_common::address::Mac;
    use std::net::Ipv4Addr;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_reads_as_it_was_written() {
        let macs = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let mut frame = ip(macs, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).sctp(1, 2, 3, &[9, 0, 0, 4]);
        assert_eq!(read_sctp(&frame[34..]), Some((1, 2, 3, &[9, 0, 0, 4][..])));
        frame[34] ^= 1;
        assert_eq!(read_sctp(&frame[34..]), None);
    }
}
