//! What a router says to whose packet goes no further.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::address::Mac;

use crate::{fixture::Port, packet::ip, switch::answer::INTERNETWORK_CONTROL};

/// An ICMP error with its type and code, the second word of its header, and as much of the packet as is quoted. It comes
/// from the gateway; the host, which would believe nothing that comes from itself, hears it from where its packet was to go.
pub fn says(gateway: &Port, to_the_host: bool, kind: (u8, u8), word: [u8; 4], packet: &[u8]) -> Vec<u8> {
    let is_v4 = packet[12..14] == [8, 0];
    let address = |at: usize| -> IpAddr {
        if is_v4 {
            Ipv4Addr::from(bytes::<4>(packet, at)).into()
        } else {
            Ipv6Addr::from(bytes::<16>(packet, at)).into()
        }
    };
    let (sender, goal, quoted) = if is_v4 {
        (address(26), address(30), 68)
    } else {
        (address(22), address(38), 96)
    };
    let router: IpAddr = match sender {
        _ if to_the_host => goal,
        IpAddr::V4(_) => gateway.v4().into(),
        IpAddr::V6(sender) if sender.is_unicast_link_local() => gateway.link_local().into(),
        IpAddr::V6(_) => gateway.v6().into(),
    };
    // what is shorter is filled up
    let mut rest = [&word[..], &packet[14..packet.len().min(14 + quoted)]].concat();
    rest.resize(word.len() + quoted, 0);
    let sender_mac = Mac(bytes(packet, 6));
    let answer = ip((gateway.mac(), sender_mac), router, sender);
    if is_v4 {
        answer
            .service(INTERNETWORK_CONTROL)
            .dont_fragment()
            .icmp(kind.0, kind.1, &rest)
    } else {
        answer.icmp(kind.0, kind.1, &rest)
    }
}

fn bytes<const N: usize>(packet: &[u8], at: usize) -> [u8; N] {
    packet[at..at + N].try_into().expect("a whole header")
}
