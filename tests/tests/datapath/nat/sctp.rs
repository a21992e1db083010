//! SCTP whose sum its sender left to the device: the field is 0 until somebody fills it in, whatever ports the packet
//! has by then.

use std::net::IpAddr;

use tests::fixture::{
    B, HOST_V4, HOST_V6, WORLD_V4, WORLD_V6,
    uplink::{FROM_WORLD, into, out},
};
use tests::packet::{Ip, PROTOCOL_SCTP, ip};

use super::{RANGE, publish, receive, same_frame, same_packet, send, with_uplink};

/// A packet without a sum.
fn unsummed(packet: &Ip, source: u16, destination: u16) -> Vec<u8> {
    let ports = [source, destination].map(u16::to_be_bytes).concat();
    let body = [&ports[..], &7_u32.to_be_bytes(), &[0; 4], b"a chunk that is no chunk"].concat();
    packet.protocol(PROTOCOL_SCTP, &body)
}

#[test]
fn a_sum_that_a_device_will_fill_in_is_left_alone() {
    with_uplink(RANGE, |loaded| {
        let families: [(IpAddr, IpAddr, IpAddr); 2] = [
            (WORLD_V4.into(), HOST_V4.into(), B.v4().into()),
            (WORLD_V6.into(), HOST_V6.into(), B.v6().into()),
        ];
        for (world, host, own) in families {
            publish(loaded, host, (8000, 8000), &B, 80, 0);
            let came = receive(loaded, &unsummed(&ip(FROM_WORLD, world, host), 5000, 8000));
            same_frame(&came, &unsummed(&ip(into(&B), world, own).hops(63), 5000, 80));
            let answer = send(loaded, &B, &unsummed(&ip(out(&B), own, world), 80, 5000));
            same_packet(&answer, &unsummed(&ip(out(&B), host, world).hops(63), 8000, 5000));
        }
    });
}
