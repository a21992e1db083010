//! A slice of `cargo xtask fuzz packets`: always the same sequences.

use tests::sequence::run;

const SEED: u64 = 1;
const PACKETS: u64 = 20_000;

#[test]
fn whatever_came_before_packets_leave_as_they_should() {
    let tally = run(SEED, PACKETS).unwrap_or_else(|failure| panic!("{failure}"));
    // a sequence that stops opening flows, or a kernel that takes no such packets, would prove nothing
    let kinds = [tally.left, tally.flows, tally.fragments, tally.segments, tally.errors];
    assert!(kinds.iter().all(|count| *count > PACKETS / 200), "{tally}");
}
