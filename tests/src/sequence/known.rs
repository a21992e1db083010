//! Faults of the switch that are known: a sequence does not fail on them. Whoever mends one takes it out here.

use super::datagram::{self, ETHERNET, Tuple, headers};
use super::model::{Flow, Model};
use super::scene::Place;
use super::sent::Sent;
use super::step::Side;
use super::wire::Arrival;
use crate::packet::{PROTOCOL_SCTP, PROTOCOL_UDPLITE};

/// An answer between neighbours that came by the host's address, in fragments: one that comes before the first goes
/// straight to the neighbour as it is, and not from where was asked.
pub fn goes_straight(flow: &Flow, side: Side) -> bool {
    let is_between_neighbours =
        flow.opener != Place::World && flow.opener != flow.responder && flow.opener.zone() == flow.responder.zone();
    is_between_neighbours && side == Side::Responder
}

/// SCTP in fragments, at a port that changes: the sum in the first fragment is made as if the packet ended with it.
pub fn sums_by_its_fragment(tuple: &Tuple) -> bool {
    tuple.protocol == PROTOCOL_SCTP
}

/// UDP-Lite whose sum comes to 0: it leaves as 0, which its receiver refuses, and not as all ones (RFC 3828, 3.1).
pub fn has_no_sum(found: &[u8], expected: &[u8], at: usize) -> bool {
    let is_udplite = headers(&expected[ETHERNET..]).protocol == PROTOCOL_UDPLITE;
    is_udplite && expected[at..at + 2] == [0xff; 2] && found[at..at + 2] == [0; 2]
}

/// A packet that ends before its sum is dropped, and yet its flow goes on with it, ends with it, or begins with it.
pub fn is_dropped_too_late(sent: &Sent) -> bool {
    sent.is_short
}

/// A flow that finds no port is not opened, and yet another one of its owner's has given way to it.
pub fn gives_way_for_nothing(model: &mut Model, owner: Place) {
    model.press(owner);
}

/// A connection that has ended, and whose port another flow has by now, still speaks: as the other one. What follows in
/// the sequence cannot be told apart.
pub fn speaks_as_another(model: &Model, sent: &Sent, arrivals: &[Arrival]) -> bool {
    let tuple = sent.quoted.map_or(sent.tuple, Tuple::reversed);
    let replaced = model.flows.iter().filter(|flow| flow.replaced);
    let mut its = replaced.filter(|flow| flow.opener == sent.place && flow.inner == tuple);
    its.any(|flow| {
        let is_outer = |arrival: &Arrival| {
            let left = datagram::tuple(&arrival.frame[ETHERNET..]);
            arrival.place == flow.responder && (sent.quoted.is_some() || !sent.pieces.is_empty() || left == flow.outer)
        };
        !arrivals.is_empty() && arrivals.iter().all(is_outer)
    })
}
