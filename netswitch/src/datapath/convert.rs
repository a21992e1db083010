//! Entries of older map layouts, made into entries of this one.

use std::ops::RangeInclusive;

use netswitch_common::{
    capacity,
    endpoint::{Endpoint, Kind},
    flow::{Flow, Quota},
    progress::{self, timeout},
    way::Way,
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
    rule(1..=3, "PATHS", "PATHS", same),           // more verdicts
    rule(3..=3, "CONFIG", "CONFIG", longer::<8>),  // the policy's epoch
    rule(1..=4, "DECISION", "DECISION", left_out), // a scratch pad
    rule(1..=4, "ENDPOINTS", "ENDPOINTS", endpoint),
    rule(1..=4, "PORTS", "PORTS", port),
    rule(1..=4, "ADDRESSES", "ADDRESSES", port), // a port stands at the end of its values
    rule(1..=4, "SLOTS", "SLOTS", slot),
    rule(1..=4, "MEMBERS", "MEMBERS", member),
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

/// Before version 5 an endpoint had an identity, which was always 0, and no gateway's MAC. Without that the programs
/// take the longer way until the agent has written the endpoint again.
fn endpoint(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const KIND: usize = 26;
    const MAC: usize = 28;
    const V4: usize = 36;
    let way = way_of(*value.get(KIND)?)?;
    let new = [
        value.get(..KIND + 1)?,
        &[way],
        value.get(MAC..MAC + 6)?,
        &[0; 6],
        value.get(V4..)?,
        &[0; 4], // the usual rate of copies
    ]
    .concat();
    (new.len() == size_of::<Endpoint>()).then(|| (key.to_vec(), new))
}

/// Before version 5 the last byte was not used.
fn port(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let [head @ .., kind, _] = value else { return None };
    Some((key.to_vec(), [head, &[*kind, way_of(*kind)?]].concat()))
}

/// Only of containers' slots the programs read the way. An empty slot stays empty.
fn slot(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let is_used = value.iter().any(|byte| *byte != 0);
    let new = [value, &[0; 4], &[Way::Peer as u8, 0, 0, 0]].concat();
    is_used.then(|| (key.to_vec(), new))
}

#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn member(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((key.to_vec(), [value, &[0; 4], &[Way::Device as u8, 0, 0, 0]].concat()))
}

fn way_of(kind: u8) -> Option<u8> {
    let kinds = [Kind::Container, Kind::Host];
    let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
    Some(kind.way() as u8)
}

/// An end in the world asks for its route at its next packet, as the record says that it has never done so.
fn end(value: &[u8]) -> Option<Vec<u8>> {
    const IFINDEX_END: usize = 12;
    const MAC_END: usize = 20;
    let (endpoint, next_hop) = (value.get(..4)?, value.get(MAC_END..)?);
    let is_none = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let way = match (is_none(endpoint), is_none(next_hop)) {
        (false, _) => 0,
        (true, false) => Way::NextHop as u8,
        (true, true) => Way::Device as u8,
    };
    Some(
        [
            value.get(..IFINDEX_END)?,
            &[0; 4],
            value.get(IFINDEX_END..MAC_END)?,
            &[0; 6],
            &[way, 0],
            next_hop,
        ]
        .concat(),
    )
}

/// Version 5 has serial and progress in one word in front of the tuples; before it there were a state (new,
/// established, closing, closed) and the directions that had finished, behind the sums.
fn record(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const DEADLINE: usize = 8;
    const TUPLES: usize = 16;
    const ENDS: usize = 104;
    const SERIAL: usize = 176;
    const SUMS_END: usize = 204;
    const STATE: usize = 204;
    const FINISHED: usize = 205;
    const PUBLICATION: usize = 208;
    const OLD_END: usize = 36;
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
        part(0, DEADLINE)?,
        &[0; 8],
        part(SERIAL, SERIAL + 4)?,
        &progress.to_ne_bytes(),
        part(TUPLES, ENDS)?,
        &end(part(ENDS, ENDS + OLD_END)?)?,
        &end(part(ENDS + OLD_END, SERIAL)?)?,
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
    use netswitch_common::address::Mac;
    use netswitch_common::endpoint::{Port, Slot};
    use netswitch_common::flow::{FlowEnd, direction};
    use netswitch_common::network::Member;
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
        assert_eq!(flow.routed, 0);
        assert_eq!(flow.tuples[0].from.0[0], number(16));
        assert_eq!(flow.tuples[1].protocol, number(100));
        assert_eq!(flow.ends[0].endpoint, number(104));
        assert_eq!(flow.ends[0].mac.0, [118, 119, 120, 121, 122, 123]);
        assert_eq!((flow.ends[1].ifindex, flow.ends[1].remote), (number(148), 0));
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
    fn an_end_leaves_as_it_did() {
        let world = |next_hop: u8| [vec![0; 8], vec![7, 0, 0, 0], vec![1; 8], vec![next_hop; 16]].concat();
        let endpoint = [vec![9, 0, 0, 0], vec![0; 32]].concat();
        for (old, way) in [
            (world(0), Way::Device as u8),
            (world(1), Way::NextHop as u8),
            (endpoint, 0),
        ] {
            let new = end(&old).expect("an end");
            assert_eq!(new.len(), size_of::<FlowEnd>());
            // SAFETY: as many bytes as a FlowEnd has, and any are valid
            let new = unsafe { new.as_ptr().cast::<FlowEnd>().read_unaligned() };
            assert_eq!((new.way, new.source), (way, Mac::default()));
        }
    }

    #[test]
    fn entries_learn_how_frames_leave() {
        // SAFETY: as many bytes as each has, and any are valid
        let endpoint_of = |bytes: &[u8]| unsafe { bytes.as_ptr().cast::<Endpoint>().read_unaligned() };
        let mut old: Vec<u8> = (0..72).collect();
        for (kind, way) in [(Kind::Container, Way::Peer), (Kind::Host, Way::HostEnd)] {
            old[26] = kind as u8;
            let (_, new) = endpoint(&[], &old).expect("an entry");
            assert_eq!(new.len(), size_of::<Endpoint>());
            let new = endpoint_of(&new);
            assert_eq!((new.way, new.gateway), (way as u8, Mac::default()));
            assert_eq!(new.mac.0, [28, 29, 30, 31, 32, 33]);
            assert_eq!(new.v4, u32::from_ne_bytes([36, 37, 38, 39]));
            let mut value = vec![5; 24];
            value[22] = kind as u8;
            let (_, new) = port(&[], &value).expect("an entry");
            assert_eq!((new.len(), new[23]), (size_of::<Port>(), way as u8));
        }
        assert!(slot(&[], &[0; 16]).is_none());
        let (_, new) = slot(&[], &[1; 16]).expect("an entry");
        assert_eq!((new.len(), new[20]), (size_of::<Slot>(), Way::Peer as u8));
        let (_, new) = member(&[], &[1; 8]).expect("an entry");
        assert_eq!((new.len(), new[12]), (size_of::<Member>(), Way::Device as u8));
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
