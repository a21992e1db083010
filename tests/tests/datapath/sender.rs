//! Who sends: an endpoint is found by its device, whatever index that has.

use netswitch::action::{Device, Entry};
use netswitch::datapath::Hook;
use tests::{
    fixture::{A, B, entries},
    loaded::{in_the_world, ip as set_up},
    packet::ip,
};

use super::nat::{REDIRECT, SHOT};

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
