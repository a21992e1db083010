//! Rows of the guard over ICMP errors: they are about packets that their sender got.

use std::net::IpAddr;

use netswitch_common::verdict::DropReason;

use super::{Row, sends, v4, v6, via_gateway};
use crate::{
    fixture::{A, ALPHA_HOST, B, EXTRA_V4, EXTRA_V6, FREE, MORE, Port, SMALL, WORLD_V4, WORLD_V6},
    packet::{DESTINATION_OPTIONS, HOP_BY_HOP, Ip, ip},
};

pub fn rows() -> Vec<Row> {
    let (spoofed, malformed) = (DropReason::SpoofedError, DropReason::Malformed);
    let (b_v4, b_v6) = (IpAddr::from(B.v4()), IpAddr::from(B.v6()));
    let (a_v4, a_v6) = (IpAddr::from(A.v4()), IpAddr::from(A.v6()));
    vec![
        sends(&A, "no such port, of its own", unreachable(&v4(&A, &B), b_v4, a_v4)).reaches(&B),
        sends(
            &A,
            "no such port, of its own, over v6",
            unreachable(&v6(&A, &B), b_v6, a_v6),
        )
        .reaches(&B),
        sends(&A, "no such port, of a neighbour's", {
            unreachable(&v4(&A, &B), b_v4, SMALL.v4().into())
        })
        .is_dropped(spoofed),
        sends(&A, "no such port, of a neighbour's, over v6", {
            unreachable(&v6(&A, &B), b_v6, SMALL.v6().into())
        })
        .is_dropped(spoofed),
        sends(&A, "too big for the world", too_big(&v4(&A, &B), b_v4, WORLD_V4.into())).is_dropped(spoofed),
        sends(
            &A,
            "too big for the world over v6",
            too_big(&v6(&A, &B), b_v6, WORLD_V6.into()),
        )
        .is_dropped(spoofed),
        sends(&A, "no such port, to the host", {
            unreachable(&v4(&A, &ALPHA_HOST), ALPHA_HOST.v4().into(), b_v4)
        })
        .is_dropped(spoofed),
        sends(&A, "no such port, to the world, of a neighbour's", {
            unreachable(&via_gateway(&A, WORLD_V4), WORLD_V4.into(), b_v4)
        })
        .is_dropped(spoofed),
        sends(&A, "no such port, behind options", {
            unreachable(&v4(&A, &B).options(&[1; 8]), b_v4, SMALL.v4().into())
        })
        .is_dropped(spoofed),
        sends(&A, "no such port, behind extension headers", {
            let packet = v6(&A, &B)
                .extension(HOP_BY_HOP, &[1, 4, 0, 0, 0, 0])
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]);
            unreachable(&packet, b_v6, SMALL.v6().into())
        })
        .is_dropped(spoofed),
        sends(&A, "no such port, of its v4 mapped into v6", {
            unreachable(&v6(&A, &B), b_v6, A.v4().to_ipv6_mapped().into())
        })
        .is_dropped(spoofed),
        sends(&A, "an error that quotes nothing", v4(&A, &B).icmp(3, 3, &[0; 4])).is_dropped(malformed),
        sends(
            &A,
            "an error that quotes nothing over v6",
            v6(&A, &B).icmp(1, 4, &[0; 4]),
        )
        .is_dropped(malformed),
        sends(&MORE, "no such port, of a further address", {
            unreachable(&v4(&MORE, &B), b_v4, EXTRA_V4.into())
        })
        .reaches(&B),
        sends(&MORE, "no such port, of a further address over v6", {
            unreachable(&v6(&MORE, &B), b_v6, EXTRA_V6.into())
        })
        .reaches(&B),
        sends(&FREE, "no such port, of a neighbour's, without guard", {
            unreachable(&v4(&FREE, &B), b_v4, SMALL.v4().into())
        })
        .reaches(&B),
        sends(&ALPHA_HOST, "too big for the world, from the host", {
            too_big(&v4(&ALPHA_HOST, &B), b_v4, WORLD_V4.into())
        })
        .reaches(&B),
    ]
}

/// "No such port" about a datagram between two addresses.
fn unreachable(packet: &Ip, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (kind, code) = if from.is_ipv4() { (3, 3) } else { (1, 4) };
    packet.icmp(kind, code, &[&[0; 4][..], &quoted(from, to)].concat())
}

/// "Fragmentation needed" or "packet too big": 1280 bytes.
fn too_big(packet: &Ip, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (kind, code) = if from.is_ipv4() { (3, 4) } else { (2, 0) };
    packet.icmp(kind, code, &[&[0, 0, 5, 0][..], &quoted(from, to)].concat())
}

fn quoted(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let nobody: &Port = &A; // the Ethernet header is cut off
    ip((nobody.mac(), nobody.mac()), from, to).udp(40_000, 53, b"x")[14..].to_vec()
}
