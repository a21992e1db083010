//! A frame in words, for a test that fails on it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::address::Mac;

use super::{ETHERTYPE_ARP, ETHERTYPE_V4, ETHERTYPE_V6};

/// A frame in words, then its bytes: what a failing test prints.
pub fn describe(frame: &[u8]) -> String {
    let mut bytes = String::new();
    for (index, byte) in frame.iter().take(200).enumerate() {
        let space = if index % 16 == 0 { "\n   " } else { "" };
        write!(bytes, "{space} {byte:02x}").expect("a string takes all");
    }
    let more = if frame.len() > 200 { " …" } else { "" };
    format!("{} bytes: {}{bytes}{more}", frame.len(), summary(frame))
}

fn summary(frame: &[u8]) -> String {
    let Some((head, payload)) = frame.split_at_checked(14) else {
        return "no Ethernet header".to_owned();
    };
    let mac = |at: usize| Mac(std::array::from_fn(|i| head[at + i]));
    let ethertype = u16::from_be_bytes([head[12], head[13]]);
    let inner = match ethertype {
        ETHERTYPE_V4 if payload.len() >= 20 => summary_v4(payload),
        ETHERTYPE_V6 if payload.len() >= 40 => summary_v6(payload),
        ETHERTYPE_ARP if payload.len() >= 28 => format!(
            "ARP {} from {} {} to {} {}",
            payload[7],
            Mac(std::array::from_fn(|i| payload[8 + i])),
            address_v4(payload, 14),
            Mac(std::array::from_fn(|i| payload[18 + i])),
            address_v4(payload, 24),
        ),
        _ => format!("ethertype {ethertype:04x}"),
    };
    format!("{} > {}, {inner}", mac(6), mac(0))
}

fn summary_v4(packet: &[u8]) -> String {
    format!(
        "{} > {} protocol {} ttl {} length {} fragment {:04x}",
        address_v4(packet, 12),
        address_v4(packet, 16),
        packet[9],
        packet[8],
        u16::from_be_bytes([packet[2], packet[3]]),
        u16::from_be_bytes([packet[6], packet[7]]),
    )
}

fn summary_v6(packet: &[u8]) -> String {
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("16 bytes"));
    format!(
        "{} > {} next header {} hop limit {} payload {}",
        address(8),
        address(24),
        packet[6],
        packet[7],
        u16::from_be_bytes([packet[4], packet[5]]),
    )
}

fn address_v4(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::ip;

    const MACS: (Mac, Mac) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));

    #[test]
    fn a_frame_is_described_in_words() {
        let frame = ip(MACS, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)).ping();
        let words = "02:00:00:00:00:01 > 02:00:00:00:00:02, 10.0.0.1 > 10.0.0.2 protocol 1 ttl 64";
        assert!(describe(&frame).contains(words), "{}", describe(&frame));
    }
}
