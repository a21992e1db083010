//! Faults of the switch that are known: a sequence does not fail on them. Whoever mends one takes it out here.

use super::datagram::Tuple;
use super::model::{Direction, Flow, Model};
use super::scene::{Place, host};
use super::sent::Sent;
use crate::packet::{PROTOCOL_SCTP, PROTOCOL_UDPLITE};

/// An answer between neighbours that came by the host's address, in fragments: one that comes before the first goes
/// straight to the neighbour as it is, and not from where was asked.
pub fn goes_straight(sent: &Sent, flow: &Flow, direction: Direction) -> bool {
    let is_between_neighbours = flow.opener != Place::World
        && flow.opener != flow.responder
        && flow.opener.zone() == flow.responder.zone();
    !sent.pieces.is_empty() && is_between_neighbours && direction == Direction::Reply
}

/// SCTP in fragments, at a port that changes: the sum in the first fragment is made as if the packet ended with it.
pub fn sums_by_its_fragment(tuple: &Tuple, translated: Option<&Tuple>) -> bool {
    let ports = |tuple: &Tuple| (tuple.from.port(), tuple.to.port());
    let changes = match translated {
        Some(translated) => ports(tuple) != ports(translated),
        None => tuple.to.ip() == host(tuple.to.is_ipv4()),
    };
    tuple.protocol == PROTOCOL_SCTP && changes
}

/// UDP-Lite whose sum comes to 0: it leaves as 0, which its receiver refuses, and not as all ones (RFC 3828, 3.1).
pub fn leaves_no_sum(tuple: &Tuple) -> bool {
    tuple.protocol == PROTOCOL_UDPLITE
}

/// A packet that ends before its sum is dropped, and yet its flow goes on with it, ends with it, or begins with it.
pub fn is_dropped_too_late(sent: &Sent) -> bool {
    sent.is_short
}

/// A flow that finds no port is not opened, and yet another one of its owner's has given way to it.
pub fn gives_way_for_nothing(model: &mut Model, owner: Place) {
    model.press(owner);
}
