//! Entries of older map layouts, made into entries of this one.

use std::ops::RangeInclusive;

use netswitch_common::{
    capacity,
    flow::{Flow, Quota},
    progress::{self, timeout},
};

use super::flows::now;

/// Makes an entry of this version from one of an older version; `None` leaves it out.
pub(super) type Convert = fn(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)>;

/// How a map is filled that an older version does not have, or has with another layout.
pub(super) struct Rule {
    /// The older versions.
    pub(super) from: RangeInclusive<u32>,
    /// Their map, and this version's.
    pub(super) old: &'static str,
    pub(super) new: &'static str,
    pub(super) convert: Convert,
}

const fn rule(from: RangeInclusive<u32>, old: &'static str, new: &'static str, convert: Convert) -> Rule {
    Rule {
        from,
        old,
        new,
        convert,
    }
}

pub(super) const CONVERSIONS: &[Rule] = &[
    rule(1..=3, "PATHS", "PATHS", same),             // more verdicts
    rule(3..=3, "CONFIG", "CONFIG", longer::<8>),    // the policy's epoch
    rule(3..=3, "DECISION", "DECISION", left_out),   // a scratch pad
    rule(1..=4, "FRAGMENTS", "FRAGMENTS", left_out), // of packets that are on their way just now
    rule(1..=4, "PARKED", "PARKED", left_out),
    rule(1..=4, "RECORDS", "RECORDS", record),
    rule(1..=4, "QUOTAS", "EXTENTS", extent),
    rule(1..=4, "QUOTAS", "HAIRPINS", hairpin),
];

#[expect(clippy::unnecessary_wraps, reason = "a conversion may leave an entry out")]
fn same(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((key.to_vec(), value.to_vec()))
}

/// With `MORE` zeros behind the value.
#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn longer<const MORE: usize>(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((key.to_vec(), [value, &[0; MORE]].concat()))
}

const fn left_out(_key: &[u8], _value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    None
}

/// Version 5 has serial and progress in one word in front of the tuples; before it there were a state (new,
/// established, closing, closed) and the directions that had finished, behind the sums.
fn record(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const TIMES: usize = 16;
    const SERIAL: usize = 176;
    const SUMS_END: usize = 204;
    const STATE: usize = 204;
    const FINISHED: usize = 205;
    const PUBLICATION: usize = 208;
    let part = |from: usize, to: usize| value.get(from..to);
    let finished = u32::from(*value.get(FINISHED)?);
    let state = *value.get(STATE)?;
    let mut progress = finished * progress::FIN_ORIGINAL;
    if state != 0 {
        progress |= progress::ANSWERED | progress::ASSURED;
    }
    if state == 3 && finished != 3 {
        progress |= progress::RESET;
    }
    let new = [
        part(0, TIMES)?,
        part(SERIAL, SERIAL + 4)?,
        &progress.to_ne_bytes(),
        part(TIMES, SERIAL)?,
        part(SERIAL + 4, SUMS_END)?,
        part(PUBLICATION, PUBLICATION + 8)?,
        &[0; 8],
    ]
    .concat();
    (new.len() == size_of::<Flow>()).then(|| (key.to_vec(), new))
}

/// Flows of an older version are anywhere among the slots of a whole quota. The agent lowers the extent when they
/// have ended.
fn extent(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let is_used = value.iter().any(|byte| *byte != 0);
    is_used.then(|| (key.to_vec(), capacity::FLOW_QUOTA.to_ne_bytes().to_vec()))
}

/// An older version counted the flows and did not know when they end.
fn hairpin(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const TCP: u32 = 6;
    let count = value.get(size_of::<Quota>() / 2..)?;
    let until = now() + timeout(TCP, progress::ANSWERED | progress::ASSURED);
    count
        .iter()
        .any(|byte| *byte != 0)
        .then(|| (key.to_vec(), until.to_ne_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use netswitch_common::flow::direction;
    use netswitch_common::progress::FlowState;

    use super::*;

    /// A record of version 4 whose bytes are all different, but for state and finished.
    fn old_record(state: u8, finished: u8) -> Vec<u8> {
        let mut value: Vec<u8> = (0..216).collect();
        value[204..208].copy_from_slice(&[state, finished, 0, 0]);
        value
    }

    fn converted(state: u8, finished: u8) -> Flow {
        let (key, value) = record(&[1; 8], &old_record(state, finished)).expect("an entry");
        assert_eq!(key, [1; 8]);
        assert_eq!(value.len(), size_of::<Flow>());
        // SAFETY: as many bytes as a Flow has, and any are valid
        unsafe { value.as_ptr().cast::<Flow>().read_unaligned() }
    }

    #[test]
    fn a_record_keeps_every_field() {
        let flow = converted(1, 0);
        let number = |at: u8| u32::from_ne_bytes([at, at + 1, at + 2, at + 3]);
        assert_eq!(flow.deadline.to_ne_bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(flow.routed.to_ne_bytes(), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(flow.tuples[0].from.0[0], number(16));
        assert_eq!(flow.tuples[1].protocol, number(100));
        assert_eq!(flow.ends[0].endpoint, number(104));
        assert_eq!(flow.ends[1].next_hop.0[3], number(172));
        assert_eq!(flow.serial, number(176));
        assert_eq!(flow.generation, number(180));
        assert_eq!(flow.policy_epoch, number(184));
        assert_eq!(flow.address_sums, [number(188), number(192)]);
        assert_eq!(flow.port_sums, [number(196), number(200)]);
        assert_eq!((flow.publication, flow.rule), (number(208), number(212)));
    }

    #[test]
    fn a_record_keeps_its_state() {
        for (state, finished, now) in [
            (0, 0, FlowState::New),
            (1, 0, FlowState::Established),
            (2, 1, FlowState::Closing),
            (2, 2, FlowState::Closing),
            (3, 3, FlowState::Closed),
            (3, 0, FlowState::Closed),
        ] {
            let flow = converted(state, finished);
            assert_eq!(flow.state(), now, "{state} {finished}");
            let fin = flow.progress & progress::fin(direction::ORIGINAL) != 0;
            assert_eq!(fin, finished & 1 != 0);
        }
    }

    #[test]
    fn a_used_quota_keeps_all_its_slots_and_its_hairpins() {
        let quota = |hand: u32, hairpins: u32| [hand.to_ne_bytes(), hairpins.to_ne_bytes()].concat();
        assert!(extent(&[0; 4], &quota(0, 0)).is_none());
        let (_, grown) = extent(&[0; 4], &quota(9, 0)).expect("an entry");
        assert_eq!(grown, capacity::FLOW_QUOTA.to_ne_bytes());
        assert!(hairpin(&[0; 4], &quota(9, 0)).is_none());
        assert!(hairpin(&[0; 4], &quota(9, 1)).is_some());
    }
}
