//! A packet cut into fragments (RFC 791, 3.2; RFC 8200, 4.5), for the order that a test wants.

use std::net::IpAddr;

use super::Ip;

impl Ip {
    /// Fragments of at most `size` bytes of payload (a multiple of 8), first one first, with
    /// [`Ip::identification`].
    pub fn fragments(&self, protocol: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
        assert_eq!(size % 8, 0, "offsets count in eight bytes");
        let count = payload.len().div_ceil(size);
        let pieces = payload.chunks(size).enumerate();
        pieces
            .map(|(number, piece)| {
                let offset = u16::try_from(number * size).expect("a packet is shorter than 64 KiB");
                let fragment = self.clone().fragment(offset, number + 1 < count);
                fragment.protocol(protocol, piece)
            })
            .collect()
    }

    /// The payload of a frame of this kind without options or extension headers.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.addresses.0 {
            IpAddr::V4(_) => &frame[34..],
            IpAddr::V6(_) => &frame[54..],
        }
    }
}

#[cfg(test)]
mod tests {
    use netswitch_common::address::Mac;
    use std::net::Ipv4Addr;

    use crate::packet::{PROTOCOL_UDP, ip};

    #[test]
    fn fragments_carry_every_byte_once() {
        let macs = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let packet = ip(macs, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).identification(7);
        let fragments = packet.fragments(PROTOCOL_UDP, &[5; 20], 16);
        let fields: Vec<_> = fragments.iter().map(|frame| (&frame[18..22], frame.len())).collect();
        assert_eq!(fields, [(&[0, 7, 0x20, 0][..], 50), (&[0, 7, 0, 2][..], 38)]);
    }
}
