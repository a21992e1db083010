//! How flows begin, give way and end.

use std::net::Ipv4Addr;

use netswitch::action::Entry;
use netswitch::datapath::Hook;
use netswitch_common::verdict::DropReason;
use tests::fixture::{
    A, B, HOST_V4, UPLINK_INDEX, WORLD_V4, entries,
    uplink::{FROM_WORLD, into, out},
};
use tests::maps;
use tests::packet::{Ip, ip};
use tests::world::eventually;

use super::{NEXT, RANGE, REDIRECT, drops, publish, receive, same_frame, same_packet, send, source_port, with_uplink};

#[test]
fn case_14_a_flood_takes_only_its_own_unanswered_flows() {
    with_uplink(RANGE, |loaded| {
        let kept = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(3999, 5353, b"x"));
        let others = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(3999, 5353, b"x"));
        let answer = |port| ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(5353, port, b"y");
        assert_eq!(receive(loaded, &answer(source_port(&kept.1))).0, REDIRECT);
        send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(3999, 5353, b"x"));
        // the quota is 64
        for port in 4000..4640 {
            assert_eq!(
                send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(port, 5353, b"x")).0,
                REDIRECT,
                "{port}"
            );
        }
        for port in [source_port(&kept.1), source_port(&others.1)] {
            assert_eq!(receive(loaded, &answer(port)).0, REDIRECT);
        }
        assert_eq!(drops(loaded, &A, DropReason::FlowQuota), 0);
    });
}

/// A segment of an open connection, but for what it says with its flags.
fn segment(ip: &Ip, ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut frame = ip.tcp(ports.0, ports.1, b"");
    let was = u16::from_be_bytes([frame[46], frame[47]]);
    frame[47] = flags;
    let sum = u16::from_be_bytes([frame[50], frame[51]]);
    // RFC 1624, equation 3
    let mut sum = u32::from(!sum) + u32::from(!was) + u32::from(u16::from_be_bytes([frame[46], flags]));
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from(sum).expect("folded");
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn case_15_data_of_a_connection_whose_flow_expired_is_carried_again() {
    const RST: u8 = 0x04;
    with_uplink(RANGE, |loaded| {
        publish(loaded, Ipv4Addr::UNSPECIFIED, (8000, 8000), &B, 80, 0);
        let outward = ip(out(&A), A.v4(), WORLD_V4);
        let inward = ip(FROM_WORLD, WORLD_V4, HOST_V4);
        assert_eq!(send(loaded, &A, &outward.tcp(4000, 80, b"x")).0, REDIRECT);
        assert_eq!(receive(loaded, &inward.tcp(5000, 8000, b"x")).0, REDIRECT);
        // a reset brings the end of a flow near: no test waits two hours
        send(loaded, &A, &segment(&outward, (4000, 80), RST));
        receive(loaded, &segment(&inward, (5000, 8000), RST));
        eventually("the flows have expired", || {
            let flows = loaded.datapath.flows().and_then(|flows| flows.list());
            match flows.expect("a list").0.len() {
                0 => Ok(()),
                count => Err(format!("{count} are alive")),
            }
        });
        assert_eq!(send(loaded, &A, &outward.tcp(4000, 80, b"more")).0, REDIRECT);
        let came = receive(loaded, &inward.tcp(5000, 8000, b"more"));
        same_frame(&came, &ip(into(&B), WORLD_V4, B.v4()).hops(63).tcp(5000, 80, b"more"));
        let answer = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).tcp(80, 5000, b"answer"));
        same_packet(
            &answer,
            &ip(out(&B), HOST_V4, WORLD_V4).hops(63).tcp(8000, 5000, b"answer"),
        );
    });
}

#[test]
fn case_18_a_flow_ends_with_its_endpoint() {
    with_uplink(RANGE, |loaded| {
        let sent = send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x"));
        let port = source_port(&sent.1);
        // the id is another endpoint's now
        let reborn: Vec<Entry> = entries::all()
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Slot { id, device, mut value } if id == A.id => {
                    value.generation = 2;
                    Some(Entry::Slot { id, device, value })
                }
                Entry::Endpoint { device, mut value } if value.id == A.id => {
                    value.generation = 2;
                    Some(Entry::Endpoint { device, value })
                }
                _ => None,
            })
            .collect();
        for entry in &reborn {
            loaded.datapath.tables().write(entry).expect("an entry");
        }
        assert_eq!(
            receive(loaded, &ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, port, b"late")).0,
            NEXT
        );
        // and may use the same port at once
        assert_eq!(
            send(loaded, &A, &ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x")).0,
            REDIRECT
        );
    });
}

/// That explaining a packet leaves no flow behind.
#[test]
fn explaining_opens_nothing() {
    with_uplink(RANGE, |loaded| {
        let frame = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, b"x");
        let decision = loaded
            .datapath
            .explain(Hook::Endpoint, A.index(), &frame)
            .expect("it runs")
            .decision;
        assert_eq!(decision.ifindex, UPLINK_INDEX);
        let records = maps::dump_all(&loaded.maps());
        assert!(records["FLOWS"].is_empty() && records["RECORDS"].is_empty());
    });
}
