//! What one frame cannot show: the rate of broadcasts.

use netswitch::{action::Entry, datapath::Hook};
use netswitch_common::{
    address::Mac,
    endpoint::Endpoint,
    verdict::{DropReason, Verdict},
};
use tests::{
    fixture::{A, B, Port, entries},
    loaded::{Loaded, in_the_world},
    packet::ethernet,
    switch::Counter,
};

/// More than the rate of a second, and less than a slow machine sends in three.
const RATE: u32 = 1_000;
const FRAMES: u32 = 3 * RATE;

fn broadcast(from: &Port) -> Vec<u8> {
    ethernet(from.mac(), Mac::BROADCAST, 0x88b5, b"hello")
}

#[test]
fn replication_has_a_rate_for_each_sender() {
    in_the_world(|loaded| {
        set_rate(loaded, &A, RATE);
        let passed_before = copied(loaded);
        loaded
            .datapath
            .run(Hook::Endpoint, A.index(), &broadcast(&A), FRAMES)
            .expect("it runs");
        let passed = copied(loaded) - passed_before;
        let stopped = loaded.counters()[&Counter::Drop(A.id, DropReason::ReplicationRate)].packets;
        assert_eq!(passed + stopped, u64::from(FRAMES));
        assert!(passed >= u64::from(RATE), "a burst of {RATE} passes, not of {passed}");

        // the neighbour has a bucket of its own
        loaded
            .datapath
            .run(Hook::Endpoint, B.index(), &broadcast(&B), 1)
            .expect("it runs");
        assert_eq!(copied(loaded), passed_before + passed + 1);
    });
}

#[test]
fn the_usual_rate_lets_a_burst_of_ten_thousand_pass() {
    in_the_world(|loaded| {
        loaded
            .datapath
            .run(Hook::Endpoint, A.index(), &broadcast(&A), 10_000)
            .expect("it runs");
        assert_eq!(copied(loaded), 10_000);
    });
}

/// Frames that were copied so far.
fn copied(loaded: &mut Loaded) -> u64 {
    let counters = loaded.counters();
    counters
        .get(&Counter::Path(Verdict::Replicate))
        .map_or(0, |count| count.packets)
}

fn set_rate(loaded: &mut Loaded, port: &Port, copies: u32) {
    for entry in entries::all() {
        if let Entry::Endpoint { device, value } = entry
            && value.id == port.id
        {
            let value = Endpoint { copies, ..value };
            loaded
                .datapath
                .tables()
                .write(&Entry::Endpoint { device, value })
                .expect("an endpoint");
        }
    }
}
