//! What may become of a packet, by the flows that are known; everything else is a fault.

mod error;
mod first;
mod wish;

use std::net::IpAddr;
use std::ops::Range;

use self::error::{is_hosts, judge_error, judge_refused};
use self::first::judge_first;
use self::wish::{Wish, wish};
use super::datagram::{ETHERNET, Tuple, rewrite, sum_at};
use super::model::Model;
use super::scene::{Place, address, is_worlds};
use super::sent::Sent;
use super::step::tcp;
use super::wire::Arrival;
use crate::packet::{PROTOCOL_GRE, PROTOCOL_TCP, describe};

type Verdict = Result<(), String>;

/// Judges what left the switch after a packet had entered it. The flow that began with it is returned.
pub fn judge(model: &mut Model, sent: &Sent, arrivals: &[Arrival]) -> Result<Option<usize>, String> {
    let arrivals: Vec<&Arrival> = arrivals.iter().filter(|arrival| !is_hosts(sent, arrival)).collect();
    if !is_own(sent.place, sent.tuple.from.ip()) {
        return none(&arrivals, "its source is another's").map(|()| None);
    }
    if sent.is_short {
        // neighbours may tell each other what they like
        if let (Wish::Neighbour(to), [arrival]) = (wish(sent), &arrivals[..]) {
            return same(sent, arrival, &sent.frame, Place::Container(to)).map(|()| None);
        }
        return none(&arrivals, "something is missing in it").map(|()| None);
    }
    if let Some(quoted) = sent.quoted {
        return judge_error(model, sent, &quoted, &arrivals).map(|()| None);
    }
    let found = model.find(sent.place, &sent.tuple);
    if sent.hops <= 1 || sent.is_too_big {
        let has_flow = found.is_some_and(|(number, _)| model.flows[number].is_sure());
        return judge_refused(sent, has_flow, &arrivals).map(|()| None);
    }
    if let Some((number, direction)) = found {
        let flow = &model.flows[number];
        let (place, translated) = flow.way(direction);
        let verdict = judge_packet(sent, &routed(sent, place, &translated), place, &arrivals);
        match verdict {
            Ok(true) => {
                model.passed(number, direction, sent.flags);
                return Ok(None);
            }
            Ok(false) if flow.is_sure() || !has_first(sent) || !arrivals.is_empty() => return Ok(None),
            Ok(false) => {}
            // the first fragment of a connection that has ended may begin another one, and the others know nothing of it
            Err(_) if !flow.is_sure() && are_pieces(sent, &routed(sent, place, &translated), place, &arrivals) => {
                return Ok(None);
            }
            Err(fault) if flow.is_sure() => return Err(format!("{fault}\nof the flow {flow:?}")),
            // one that has ended says nothing to a SYN, but goes on with what else comes
            Err(_) if is_syn(sent) => {}
            Err(_) => model.flows[number].ended = true,
        }
    }
    match wish(sent) {
        Wish::Nothing => none(&arrivals, "it belongs to no flow").map(|()| None),
        Wish::Neighbour(to) => judge_packet(sent, &sent.frame, Place::Container(to), &arrivals).map(|_| None),
        wish => judge_first(model, sent, &wish, &arrivals),
    }
}

/// Whether it may begin a TCP connection.
fn is_syn(sent: &Sent) -> bool {
    sent.tuple.protocol == PROTOCOL_TCP && sent.flags & (tcp::SYN | tcp::ACK) == tcp::SYN
}

/// Whether somebody there has this address.
fn is_own(place: Place, from: IpAddr) -> bool {
    match place.port() {
        Some(port) => from == address(port, from.is_ipv4()),
        None => is_worlds(from),
    }
}

/// Whether what is sent says its flow: only the first fragment has ports.
fn has_first(sent: &Sent) -> bool {
    sent.pieces.is_empty() || !is_told_by_ports(sent) || sent.pieces.iter().any(|piece| piece.start == 0)
}

fn is_told_by_ports(sent: &Sent) -> bool {
    sent.tuple.protocol != PROTOCOL_GRE
}

/// The packet as it leaves there.
fn routed(sent: &Sent, place: Place, tuple: &Tuple) -> Vec<u8> {
    rewrite(&sent.frame, tuple, place.macs_out(), sent.hops - 1)
}

/// Whether `expected` is what has left, in fragments if it was sent so. `false`: nothing had to leave, nor did it.
fn judge_packet(sent: &Sent, expected: &[u8], place: Place, arrivals: &[&Arrival]) -> Result<bool, String> {
    if !sent.pieces.is_empty() {
        return judge_pieces(sent, expected, place, arrivals);
    }
    let [arrival] = arrivals else {
        return Err(format!("{} packets leave, not one{}", arrivals.len(), list(arrivals)));
    };
    same(sent, arrival, expected, place)?;
    Ok(true)
}

fn same(sent: &Sent, arrival: &Arrival, expected: &[u8], place: Place) -> Verdict {
    let mut found = arrival.frame.clone();
    let sum = sum_at(&expected[ETHERNET..]).map(|at| at + ETHERNET..at + ETHERNET + 2);
    if let Some(sum) = sum.filter(|sum| found.len() == expected.len() && sum.end <= expected.len()) {
        if sent.is_wrong && found[sum.clone()] == expected[sum.clone()] {
            return Err(format!("a wrong sum becomes a right one: {}", describe(&found)));
        }
        if sent.is_wrong {
            found[sum.clone()].copy_from_slice(&expected[sum]);
        }
    }
    if arrival.place != place || found != expected {
        return Err(format!(
            "at {:?} leaves {}\nand at {place:?} should {}",
            arrival.place,
            describe(&found),
            describe(expected)
        ));
    }
    if arrival.offload != sent.offload {
        return Err(format!(
            "left to the device is {:?}, and was {:?}",
            arrival.offload, sent.offload
        ));
    }
    Ok(())
}

/// Whether fragments of what was sent have left, and nothing else.
fn are_pieces(sent: &Sent, expected: &[u8], place: Place, arrivals: &[&Arrival]) -> bool {
    let is_piece = |arrival: &&Arrival| {
        let mut pieces = sent.pieces.iter();
        pieces.any(|piece| same(sent, arrival, &sent.piece(expected, piece), place).is_ok())
    };
    !sent.pieces.is_empty() && !arrivals.is_empty() && arrivals.iter().all(is_piece)
}

/// Fragments leave once each, none over another, and all of them if they do not contradict each other.
fn judge_pieces(sent: &Sent, expected: &[u8], place: Place, arrivals: &[&Arrival]) -> Result<bool, String> {
    let mut left: Vec<&Range<usize>> = Vec::new();
    for arrival in arrivals {
        let piece = sent
            .pieces
            .iter()
            .find(|piece| same(sent, arrival, &sent.piece(expected, piece), place).is_ok());
        let Some(piece) = piece else {
            let wanted: Vec<_> = sent
                .pieces
                .iter()
                .map(|piece| describe(&sent.piece(expected, piece)))
                .collect();
            return Err(format!(
                "at {:?} leaves {}\nwhich is none of, at {place:?}, {}",
                arrival.place,
                describe(&arrival.frame),
                wanted.join("\n")
            ));
        };
        left.push(piece);
    }
    let overlap = |one: &Range<usize>, two: &Range<usize>| one.start < two.end && two.start < one.end;
    let any_overlap =
        |pieces: &[&Range<usize>]| (0..pieces.len()).any(|one| (0..one).any(|two| overlap(pieces[one], pieces[two])));
    // whoever sends a packet to a neighbour as it is asks nobody how
    let is_straight = expected == sent.frame;
    if !is_straight && any_overlap(&left) {
        return Err(format!("fragments leave that overlap: {left:?}"));
    }
    let all: Vec<_> = sent.pieces.iter().collect();
    if !any_overlap(&all) && (has_first(sent) || is_straight) && left.len() != all.len() {
        return Err(format!("{left:?} leave, and {all:?} came"));
    }
    Ok(left.iter().any(|piece| piece.start == 0 || !is_told_by_ports(sent)))
}

fn none(arrivals: &[&Arrival], why: &str) -> Verdict {
    match arrivals {
        [] => Ok(()),
        _ => Err(format!("{why}, and yet{}", list(arrivals))),
    }
}

fn list(arrivals: &[&Arrival]) -> String {
    let line = |arrival: &&Arrival| format!("\nat {:?} leaves {}", arrival.place, describe(&arrival.frame));
    arrivals.iter().map(line).collect()
}
