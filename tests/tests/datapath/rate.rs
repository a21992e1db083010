//! What one frame cannot show: the rate of broadcasts.

use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    verdict::{DropReason, Verdict},
};
use tests::{
    fixture::{A, B, Port},
    loaded::in_the_world,
    packet::ethernet,
    switch::Counter,
};

const FRAMES: u32 = 30_000;

fn broadcast(from: &Port) -> Vec<u8> {
    ethernet(from.mac(), Mac::BROADCAST, 0x88b5, b"hello")
}

#[test]
fn replication_has_a_rate_for_each_sender() {
    in_the_world(|loaded| {
        loaded
            .datapath
            .run(Hook::Endpoint, A.index(), &broadcast(&A), FRAMES)
            .expect("it runs");
        let counters = loaded.counters();
        let passed = counters[&Counter::Path(Verdict::Replicate)].packets;
        let stopped = counters[&Counter::Drop(A.id, DropReason::ReplicationRate)].packets;
        assert_eq!(passed + stopped, u64::from(FRAMES));
        assert!(passed >= 10_000, "a burst of 10,000 passes, not of {passed}");

        // the neighbour has a bucket of its own
        loaded
            .datapath
            .run(Hook::Endpoint, B.index(), &broadcast(&B), 1)
            .expect("it runs");
        let after = loaded.counters()[&Counter::Path(Verdict::Replicate)].packets;
        assert_eq!(after, passed + 1);
    });
}
