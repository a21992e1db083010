//! Who sends: an endpoint is found by its device, whatever index that has, and is nobody else in an open flow either.

use std::net::Ipv4Addr;

use netswitch::action::{Device, Entry};
use netswitch::datapath::Hook;
use netswitch_common::{address::Mac, verdict::DropReason};
use tests::{
    fixture::{A, B, WORLD_V4, entries, uplink::out},
    loaded::{in_the_world, ip as set_up},
    packet::{describe, ip},
};

use super::nat::{RANGE, REDIRECT, SHOT, drops, send, with_uplink};

#[test]
fn an_endpoint_is_found_by_any_index_until_it_goes() {
    in_the_world(|loaded| {
        let frame = ip((A.mac(), B.mac()), A.v4(), B.v4()).udp(1, 2, b"hello");
        // some indexes that an array has, and some beyond
        for index in [60_000, 65_535, 65_536, 70_001] {
            set_up(&format!(
                "link add s{index} index {index} type veth peer name t{index}\n"
            ));
            let value = entries::all().into_iter().find_map(|entry| match entry {
                Entry::Endpoint { value, .. } if value.id == A.id => Some(value),
                _ => None,
            });
            let entry = Entry::Endpoint {
                device: Device {
                    name: String::new(),
                    index: Some(index),
                },
                value: value.expect("an endpoint"),
            };
            let verdict = |loaded: &tests::loaded::Loaded| {
                let ran = loaded.datapath.run(Hook::Endpoint, index, &frame, 1);
                ran.expect("it runs").verdict
            };
            assert_eq!(verdict(loaded), SHOT, "{index}");
            loaded.datapath.tables().write(&entry).expect("an endpoint");
            assert_eq!(verdict(loaded), REDIRECT, "{index}");
            loaded.datapath.tables().remove(&entry).expect("no endpoint");
            assert_eq!(verdict(loaded), SHOT, "{index}");
        }
    });
}

#[test]
fn a_flow_does_not_hide_who_sends() {
    with_uplink(RANGE, |loaded| {
        let packet = |source: Mac, from: Ipv4Addr| ip((source, out(&A).1), from, WORLD_V4).udp(4000, 53_000, b"x");
        let own = packet(A.mac(), A.v4());
        set_up("neigh replace 192.0.2.254 lladdr 02:00:00:00:09:01 dev up0 nud permanent\n");
        // the first packet opens the flow, the later ones take the short way
        for _ in 0..3 {
            assert_eq!(send(loaded, &A, &own).0, REDIRECT);
        }
        for (forged, reason) in [
            (packet(B.mac(), A.v4()), DropReason::SpoofedMac),
            (packet(Mac([3; 6]), A.v4()), DropReason::SpoofedMac),
            (packet(A.mac(), B.v4()), DropReason::SpoofedAddress),
        ] {
            let before = drops(loaded, &A, reason);
            assert_eq!(send(loaded, &A, &forged).0, SHOT, "{}", describe(&forged));
            assert_eq!(drops(loaded, &A, reason), before + 1, "{}", describe(&forged));
        }
    });
}
