//! Frame: the first packet of a conversation, as a sender would put it on the wire.

use std::net::IpAddr;

use netswitch_common::{
    address::{Address, Mac},
    checksum,
};

use super::Protocol;

/// The sender's port, and the identifier of its echo request.
pub const PORT: u16 = 61_001;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Both addresses are of one family.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub macs: [Mac; 2],
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

impl Packet {
    /// A SYN, an empty datagram or an echo request, with its checksums.
    pub fn frame(&self) -> Vec<u8> {
        let (number, mut payload, at) = self.payload();
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let pseudo = match number {
            ICMP => 0,
            _ => checksum::pseudo_header(&Address::from(self.from), &Address::from(self.to), number, length),
        };
        let check = checksum::fold(checksum::sum(&payload, pseudo));
        payload[at..at + 2].copy_from_slice(&check.to_ne_bytes());
        let [from, to] = self.macs;
        let mut frame = [to.0, from.0].concat();
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = vec![0x45, 0];
                header.extend((20 + length).to_be_bytes());
                header.extend([0, 0, 0x40, 0, 64, number, 0, 0]); // do not fragment, 64 hops
                header.extend(from.octets());
                header.extend(to.octets());
                let check = checksum::fold(checksum::sum(&header, 0));
                header[10..12].copy_from_slice(&check.to_ne_bytes());
                frame.extend([0x08, 0x00]);
                frame.extend(header);
            }
            (from, to) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([number, 64]);
                for address in [from, to] {
                    frame.extend(Address::from(address).0.into_iter().flat_map(u32::to_ne_bytes));
                }
            }
        }
        frame.extend(payload);
        frame
    }

    /// What follows the IP header, with its protocol and where its checksum belongs.
    fn payload(&self) -> (u8, Vec<u8>, usize) {
        let [from, to] = [PORT, self.port].map(u16::to_be_bytes);
        let ports = [from, to].concat();
        match self.protocol {
            Protocol::Tcp => {
                let rest = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
                (TCP, [&ports[..], &rest].concat(), 16)
            }
            Protocol::Udp => (UDP, [&ports[..], &[0, 8, 0, 0]].concat(), 6),
            Protocol::Icmp => {
                let (number, request) = if self.from.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
                (number, [&[request, 0, 0, 0][..], &from, &[0, 1]].concat(), 2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_its_checksums() {
        for (from, to) in [("10.0.0.2", "10.0.0.3"), ("fd00::2", "fd00::3")] {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
                let [from, to] = [from, to].map(|text| text.parse::<IpAddr>().unwrap());
                let packet = Packet {
                    macs: [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])],
                    from,
                    to,
                    protocol,
                    port: 80,
                };
                let frame = packet.frame();
                let (header, number) = if from.is_ipv4() {
                    (20, frame[23])
                } else {
                    (40, frame[20])
                };
                let (ip, payload) = frame[14..].split_at(header);
                if from.is_ipv4() {
                    assert_eq!(checksum::fold(checksum::sum(ip, 0)), 0);
                }
                let length = u16::try_from(payload.len()).unwrap();
                let pseudo = match number {
                    ICMP => 0,
                    _ => checksum::pseudo_header(&from.into(), &to.into(), number, length),
                };
                assert_eq!(checksum::fold(checksum::sum(payload, pseudo)), 0, "{packet:?}");
            }
        }
    }
}
