//! The first packet of a flow.

use std::net::SocketAddr;

use super::wish::Wish;
use super::{has_first, is_told_by_ports, judge_packet, none, routed};
use crate::packet::{FRAGMENT, PROTOCOL_GRE, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE};
use crate::sequence::datagram::{ETHERNET, Tuple, is_v4, tuple};
use crate::sequence::model::{Flow, Model};
use crate::sequence::scene::{CONTAINERS, PUBLICATIONS, Place, address, host};
use crate::sequence::sent::Sent;
use crate::sequence::wire::Arrival;

/// The first packet of a flow: what it leaves as is learnt, where it may be that.
pub(super) fn judge_first(
    model: &mut Model,
    sent: &Sent,
    wish: &Wish,
    arrivals: &[&Arrival],
) -> Result<Option<usize>, String> {
    let first = arrivals
        .iter()
        .find(|arrival| !is_told_by_ports(sent) || begins(&arrival.frame));
    let (place, from_gateway) = match wish {
        Wish::In { to, from_gateway, .. } => (Place::Container(*to), *from_gateway),
        _ => (Place::World, true),
    };
    // SCTP's peers may know each other by several addresses: its port stays where only the address has to change
    let may_move = match sent.tuple.protocol {
        PROTOCOL_SCTP => from_gateway && place != Place::World,
        protocol => protocol != PROTOCOL_GRE,
    };
    let plain = plainly(sent, wish, place);
    let Some(first) = first else {
        none(arrivals, "a flow does not begin so")?;
        let owner = if sent.place == Place::World { place } else { sent.place };
        let is_excused = !has_first(sent) || model.is_full(owner) || model.lacks_port(place, &plain, may_move);
        if !is_excused {
            return Err(format!("it is dropped; it could leave as {plain:?}"));
        }
        return Ok(None);
    };
    let outer = Tuple {
        protocol: sent.tuple.protocol,
        ..tuple(&first.frame[ETHERNET..])
    };
    let port = outer.from.port();
    let keeps = keeps_port(&plain, place) && port == plain.from.port();
    let is_ours = keeps || model.may_have_port(place, &plain, port);
    let is_free = may_move && is_ours && !is_published(&outer) && !model.is_claimed(&outer);
    let must_keep = keeps_port(&plain, place) && !is_published(&plain) && model.is_new_socket(&sent.tuple, &plain);
    if from_gateway && must_keep && !keeps {
        return Err(format!("its port is free, and it leaves as {outer:?}"));
    }
    let is_right_port = if may_move && from_gateway {
        is_free
    } else {
        port == plain.from.port() || is_free && model.lacks_port(place, &plain, false)
    };
    let expected = Tuple {
        from: SocketAddr::new(plain.from.ip(), port),
        ..plain
    };
    if first.place != place || outer != expected || !is_right_port {
        return Err(format!(
            "it leaves at {:?} as {outer:?}, and may leave at {place:?} as {plain:?} or with another port of {:?}",
            first.place, model.room.ports
        ));
    }
    judge_packet(sent, &routed(sent, place, &outer), place, arrivals)?;
    model.open(Flow::new(sent.place, place, sent.tuple, outer)).map(Some)
}

/// As what a first packet leaves if nothing is in its way; its port may be another one then.
fn plainly(sent: &Sent, wish: &Wish, place: Place) -> Tuple {
    let is_v4 = sent.tuple.from.is_ipv4();
    let mut outer = sent.tuple;
    match wish {
        Wish::In { to, port, from_gateway } => {
            outer.to = (address(CONTAINERS[*to], is_v4), *port).into();
            if *from_gateway {
                outer.from.set_ip(place.router(is_v4));
            }
        }
        _ => outer.from.set_ip(host(is_v4)),
    }
    outer
}

/// Whether what leaves as this keeps its port, if that is free.
fn keeps_port(plain: &Tuple, place: Place) -> bool {
    place == Place::World && matches!(plain.protocol, PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_UDPLITE)
}

/// Whether a client could mean a published port by what this flow shows to the world.
fn is_published(outer: &Tuple) -> bool {
    let (ip, is_v4) = (outer.from.ip(), outer.from.is_ipv4());
    ip == host(is_v4)
        && outer.protocol != PROTOCOL_SCTP
        && PUBLICATIONS
            .iter()
            .any(|published| published.leads(is_v4, outer.protocol, outer.from.port()).is_some())
}

/// Whether a packet, or a fragment, has its ports.
fn begins(frame: &[u8]) -> bool {
    let packet = &frame[ETHERNET..];
    if is_v4(packet) {
        return u16::from_be_bytes([packet[6], packet[7]]) << 3 == 0;
    }
    packet[6] != FRAGMENT || u16::from_be_bytes([packet[42], packet[43]]) >> 3 == 0
}
