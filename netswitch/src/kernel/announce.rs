//! Tells a segment that an address has another MAC now: gratuitous ARP, unsolicited neighbour
//! advertisement.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
};

use netswitch_common::{address::Mac, checksum};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

#[expect(clippy::cast_possible_truncation, reason = "it is 17")]
const PACKET_FAMILY: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "it is 20")]
const LINK_ADDRESS_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_V6: [u8; 2] = [0x86, 0xdd];
const NEXT_HEADER_ICMPV6: u8 = 58;
/// All nodes, `ff02::1`, and its Ethernet group (RFC 2464, 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
/// Neighbour advertisement of 24 bytes and one option of 8 (RFC 4861, 4.4).
const ADVERTISEMENT_LENGTH: u8 = 32;

/// A socket that sends whole frames and receives none, in the calling thread's namespace.
pub fn open() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

/// Sends one frame per address out of the device with this index.
pub fn send(socket: &OwnedFd, index: u32, mac: Mac, addresses: &[IpAddr]) -> io::Result<()> {
    for address in addresses {
        send_frame(socket, index, &frame(mac, *address))?;
    }
    Ok(())
}

fn frame(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => gratuitous_arp(mac, v4),
        IpAddr::V6(v6) => unsolicited_advertisement(mac, v6),
    }
}

/// An ARP announcement (RFC 5227, 3): a request whose sender and target are the same.
fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    const ETHERNET_V4_REQUEST: [u8; 8] = [0, 1, 0x08, 0x00, 6, 4, 0, 1];
    [
        &Mac::BROADCAST.0[..],
        &mac.0,
        &ETHERTYPE_ARP,
        &ETHERNET_V4_REQUEST,
        &mac.0,
        &address.octets(),
        &[0; 6],
        &address.octets(),
    ]
    .concat()
}

/// Override set, solicited not (RFC 4861, 7.2.6).
fn unsolicited_advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    const OVERRIDE: u8 = 0x20;
    let body = |check: [u8; 2]| {
        [
            &[136, 0][..],
            &check,
            &[OVERRIDE, 0, 0, 0],
            &address.octets(),
            &[2, 1], // target link-layer address, in units of 8 bytes
            &mac.0,
        ]
        .concat()
    };
    let pseudo_header = [
        &address.octets()[..],
        &ALL_NODES.octets(),
        &[0, 0, 0, ADVERTISEMENT_LENGTH, 0, 0, 0, NEXT_HEADER_ICMPV6],
    ]
    .concat();
    let check = checksum::fold(checksum::sum(&body([0; 2]), checksum::sum(&pseudo_header, 0)));
    [
        &ALL_NODES_MAC.0[..],
        &mac.0,
        &ETHERTYPE_V6,
        &[0x60, 0, 0, 0, 0, ADVERTISEMENT_LENGTH, NEXT_HEADER_ICMPV6, 255],
        &address.octets(),
        &ALL_NODES.octets(),
        &body(check.to_ne_bytes()),
    ]
    .concat()
}

fn send_frame(socket: &OwnedFd, index: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: all-zero is a valid `sockaddr_ll`
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = PACKET_FAMILY;
    to.sll_ifindex = index.cast_signed();
    // SAFETY: `frame` and `to` live through the call and their lengths are theirs
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            LINK_ADDRESS_LENGTH,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x02, 0x42, 0xac, 0x11, 0, 2]);

    #[test]
    fn an_arp_announcement_names_sender_and_target_alike() {
        let frame = frame(MAC, "172.17.0.2".parse().unwrap());
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[22..28], MAC.0);
        assert_eq!(frame[28..32], [172, 17, 0, 2]);
        assert_eq!(frame[38..42], [172, 17, 0, 2]);
    }

    #[test]
    fn an_advertisement_has_a_right_checksum() {
        let frame = frame(MAC, "fd00::2".parse().unwrap());
        assert_eq!(frame.len(), 14 + 40 + usize::from(ADVERTISEMENT_LENGTH));
        let pseudo_header = [&frame[22..54], &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
        assert_eq!(
            checksum::fold(checksum::sum(&frame[54..], checksum::sum(&pseudo_header, 0))),
            0
        );
    }
}
