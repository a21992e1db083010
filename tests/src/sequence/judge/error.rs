//! ICMP errors: about a flow, of the switch's own about a packet's last hop, and of the host's stack.

use super::wish::{Wish, wish};
use super::{Verdict, list, none, same};
use crate::packet::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, describe, ip};
use crate::sequence::datagram::{ETHERNET, Tuple, has_right_sum, headers, is_v4, set_tuple, tuple};
use crate::sequence::model::Model;
use crate::sequence::scene::{Place, host};
use crate::sequence::sent::{MTU, Sent};
use crate::sequence::wire::Arrival;

/// An error about a flow reaches who sent what it quotes, and quotes it as that was sent.
pub(super) fn judge_error(model: &Model, sent: &Sent, quoted: &Tuple, arrivals: &[&Arrival]) -> Verdict {
    let Some((number, direction)) = model.find(sent.place, &quoted.reversed()) else {
        return judge_stray_error(sent, arrivals);
    };
    let flow = &model.flows[number];
    let (place, translated) = flow.way(direction);
    if sent.place != flow.end(direction) {
        return none(arrivals, "its sender did not get what it quotes");
    }
    let packet = &sent.frame[ETHERNET..];
    let at = headers(packet).transport;
    let mut quote = packet[at + 8..].to_vec();
    set_tuple(&mut quote, &translated.reversed());
    // a router keeps its own address
    let from = if sent.tuple.from.ip() == quoted.to.ip() {
        translated.from.ip()
    } else {
        sent.tuple.from.ip()
    };
    let rest = [&packet[at + 4..at + 8], &quote].concat();
    let expected =
        ip(place.macs_out(), from, translated.to.ip())
            .hops(sent.hops - 1)
            .icmp(packet[at], packet[at + 1], &rest);
    match arrivals {
        [arrival] if flow.is_sure() => same(sent, arrival, &expected, place),
        [arrival] => same(sent, arrival, &expected, place).or_else(|_| judge_stray_error(sent, arrivals)),
        [] if !flow.is_sure() => Ok(()),
        _ => Err(format!(
            "{} packets leave, not {}{}\nof the flow {flow:?}",
            arrivals.len(),
            describe(&expected),
            list(arrivals)
        )),
    }
}

/// About no flow an error reaches nobody; but neighbours speak past the host, and need not hear what they have not sent.
fn judge_stray_error(sent: &Sent, arrivals: &[&Arrival]) -> Verdict {
    match (wish(sent), arrivals) {
        (Wish::Neighbour(to), [arrival]) => same(sent, arrival, &sent.frame, Place::Container(to)),
        _ => none(arrivals, "no flow is like what it quotes"),
    }
}

/// A packet that may go no further, or is too long to, is dropped; its sender may be told so.
pub(super) fn judge_refused(sent: &Sent, has_flow: bool, arrivals: &[&Arrival]) -> Verdict {
    let [arrival] = arrivals else {
        return none(arrivals, "it may go no further");
    };
    let packet = &sent.frame[ETHERNET..];
    let is_v4 = is_v4(packet);
    if let Wish::Neighbour(to) = wish(sent)
        && !has_flow
        && arrival.place == Place::Container(to)
    {
        return same(sent, arrival, &sent.frame, Place::Container(to));
    }
    let start = if is_v4 { 20 } else { 40 };
    let (kind, code, told) = match (sent.is_too_big, is_v4) {
        (true, true) => (3, 4, MTU.into()),
        (true, false) => (2, 0, MTU.into()),
        (false, true) => (11, 0, 0),
        (false, false) => (3, 0, 0),
    };
    let error = &arrival.frame[ETHERNET..];
    let quote = error.get(start + 8..).unwrap_or_default();
    let wire = &sent.frames()[0][ETHERNET..];
    let hops = if is_v4 { error[8] } else { error[7] };
    let rest = [&u32::to_be_bytes(told)[..], quote].concat();
    let macs = match sent.place {
        Place::World => {
            let (router, uplink) = sent.place.macs_to(sent.tuple.to.ip());
            (uplink, router)
        }
        Place::Container(_) => sent.place.macs_out(),
    };
    let expected = ip(macs, sent.place.router(is_v4), sent.tuple.from.ip())
        .hops(hops)
        .icmp(kind, code, &rest);
    // it has to tell the sender which of its packets it was
    let is_enough = quote.len() >= headers(packet).transport + 8;
    // what a router does not know about an IPv4 header is no matter of this: service and identification
    let is_same = arrival.frame.len() == expected.len()
        && arrival.frame[..14] == expected[..14]
        && tuple(error) == tuple(&expected[ETHERNET..])
        && has_right_sum(error)
        && arrival.frame[ETHERNET + start..] == expected[ETHERNET + start..];
    if arrival.place != sent.place || !is_same || !is_enough || !is_prefix(quote, wire) {
        return Err(format!(
            "at {:?} its sender is told {}\nnot {}",
            arrival.place,
            describe(&arrival.frame),
            describe(&expected)
        ));
    }
    Ok(())
}

/// Whether an error quotes the beginning of a packet; zeros may follow a short one.
fn is_prefix(quote: &[u8], packet: &[u8]) -> bool {
    let (said, rest) = quote.split_at(quote.len().min(packet.len()));
    packet.starts_with(said) && rest.iter().all(|byte| *byte == 0)
}

/// What the host's own stack says about what was left to it.
pub(super) fn is_hosts(sent: &Sent, arrival: &Arrival) -> bool {
    let to = sent.tuple.to.ip();
    let answers = tuple(&arrival.frame[ETHERNET..]);
    sent.place == Place::World
        && arrival.place == Place::World
        && to == host(to.is_ipv4())
        && answers.from.ip() == to
        && answers.to.ip() == sent.tuple.from.ip()
        && !(sent.hops <= 1 && is_time_exceeded(&arrival.frame[ETHERNET..]))
}

fn is_time_exceeded(packet: &[u8]) -> bool {
    let headers = headers(packet);
    matches!(
        (headers.protocol, packet[headers.transport]),
        (PROTOCOL_ICMP, 11) | (PROTOCOL_ICMPV6, 3)
    )
}
