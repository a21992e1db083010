//! What may become of a packet, by the flows that are known; everything else is a fault.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::known;
use super::datagram::{ETHERNET, Tuple, headers, is_v4, rewrite, set_tuple, sum_at, tuple};
use super::model::{Flow, Model};
use super::scene::{CONTAINERS, PUBLICATIONS, Place, address, container, host, is_worlds};
use super::sent::Sent;
use super::wire::Arrival;
use crate::packet::{
    PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE, describe, ip,
};

type Verdict = Result<(), String>;

/// What a packet wants that belongs to no flow.
enum Wish {
    /// Out to the world.
    Out,
    /// In at a published port: the container, its port, and whether it sees the gateway as its client.
    In {
        to: usize,
        port: u16,
        from_gateway: bool,
    },
    /// To a neighbour, as it is.
    Neighbour(usize),
    /// Nothing that the switch lets it have. The host's own stack may get it.
    Nothing,
}

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
    if sent.hops <= 1 {
        return judge_last_hop(sent, &arrivals).map(|()| None);
    }
    if let Some((number, direction)) = found {
        let flow = &model.flows[number];
        if known::goes_straight(sent, flow, direction) {
            return Ok(None);
        }
        let (place, translated) = flow.way(direction);
        let verdict = judge_packet(sent, &routed(sent, place, &translated), place, &arrivals);
        match verdict {
            Ok(has_passed) => {
                if has_passed {
                    model.passed(number, direction, sent.flags);
                }
                return Ok(None);
            }
            // the first fragment of a connection that has ended may begin another one, and the others know nothing of it
            Err(_) if !flow.is_sure() && are_pieces(sent, &routed(sent, place, &translated), place, &arrivals) => {
                return Ok(None);
            }
            Err(fault) if flow.is_sure() => return Err(format!("{fault}\nof the flow {flow:?}")),
            Err(_) => model.flows[number].ended = true,
        }
    }
    match wish(sent) {
        Wish::Nothing => none(&arrivals, "it belongs to no flow").map(|()| None),
        Wish::Neighbour(to) => judge_packet(sent, &sent.frame, Place::Container(to), &arrivals).map(|_| None),
        wish => judge_first(model, sent, &wish, &arrivals),
    }
}

/// Whether somebody there has this address.
fn is_own(place: Place, from: IpAddr) -> bool {
    match place.port() {
        Some(port) => from == address(port, from.is_ipv4()),
        None => is_worlds(from),
    }
}

fn wish(sent: &Sent) -> Wish {
    let (from, to) = (sent.tuple.from.ip(), sent.tuple.to.ip());
    let is_v4 = from.is_ipv4();
    if let Place::Container(number) = sent.place {
        let port = CONTAINERS[number];
        if is_worlds(to) {
            let is_internal = port.network.flags & netswitch_common::endpoint::flags::INTERNAL != 0;
            let is_answer = sent.tuple.from.port() == 0
                && matches!(sent.tuple.protocol, PROTOCOL_ICMP | PROTOCOL_ICMPV6);
            return if is_internal || is_answer { Wish::Nothing } else { Wish::Out };
        }
        let neighbour = container(to).filter(|other| CONTAINERS[*other].network.number == port.network.number);
        if let Some(neighbour) = neighbour {
            return Wish::Neighbour(neighbour);
        }
    }
    if to != host(is_v4) {
        return Wish::Nothing;
    }
    // a fragment alone says no port
    let published = PUBLICATIONS.iter().filter(|_| has_first(sent)).find_map(|published| {
        let port = published.leads(is_v4, sent.tuple.protocol, sent.tuple.to.port())?;
        Some(Wish::In {
            to: published.container,
            port,
            from_gateway: published.from_gateway || sent.place == Place::Container(published.container),
        })
    });
    published.unwrap_or(Wish::Nothing)
}

/// The first packet of a flow: what it leaves as is learnt, where it may be that.
fn judge_first(model: &mut Model, sent: &Sent, wish: &Wish, arrivals: &[&Arrival]) -> Result<Option<usize>, String> {
    let first = arrivals.iter().find(|arrival| begins(&arrival.frame));
    let has_ports = match wish {
        Wish::In { .. } => true,
        _ => sent.tuple.protocol == PROTOCOL_UDPLITE || matches!(sent.tuple.protocol, PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_ICMP | PROTOCOL_ICMPV6),
    };
    let place = match wish {
        Wish::In { to, .. } => Place::Container(*to),
        _ => Place::World,
    };
    let plain = plainly(sent, wish, place);
    let Some(first) = first else {
        none(arrivals, "a flow does not begin so")?;
        let owner = if sent.place == Place::World { place } else { sent.place };
        let may_move = has_ports && (sent.tuple.protocol != PROTOCOL_SCTP || is_from_gateway(wish));
        let is_excused = !has_first(sent) || model.is_full(owner) || model.lacks_port(place, &plain, may_move);
        known::gives_way_for_nothing(model, owner);
        return match is_excused {
            true => Ok(None),
            false => Err(format!("it is dropped; it could leave as {plain:?}")),
        };
    };
    let outer = tuple_of(&first.frame, sent);
    let port = outer.from.port();
    let keeps_port = match wish {
        Wish::In { from_gateway, .. } => !from_gateway,
        _ => !has_ports,
    };
    let is_right_port = match keeps_port {
        true => port == plain.from.port() || has_ports && model.lacks_port(place, &plain, false) && model.is_masquerade_port(port),
        false => model.is_masquerade_port(port) && !is_published(&outer),
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

fn is_from_gateway(wish: &Wish) -> bool {
    matches!(wish, Wish::In { from_gateway: true, .. })
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

/// Whether what is sent has the beginning of its packet.
fn has_first(sent: &Sent) -> bool {
    sent.pieces.is_empty() || sent.pieces.iter().any(|piece| piece.start == 0)
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
    if sent.is_wrong
        && let Some(at) = sum_at(&expected[ETHERNET..])
        && found.len() == expected.len()
    {
        // what was damaged on the way must not look sound
        let at = at + ETHERNET;
        if found[at..at + 2] == expected[at..at + 2] {
            return Err(format!("a wrong sum becomes a right one: {}", describe(&found)));
        }
        found[at..at + 2].copy_from_slice(&expected[at..at + 2]);
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
            let wanted: Vec<_> = sent.pieces.iter().map(|piece| describe(&sent.piece(expected, piece))).collect();
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
    let any_overlap = |pieces: &[&Range<usize>]| {
        (0..pieces.len()).any(|one| (0..one).any(|two| overlap(pieces[one], pieces[two])))
    };
    // whoever sends a packet to a neighbour as it is asks nobody how
    let is_straight = expected == sent.frame;
    if !is_straight && any_overlap(&left) {
        return Err(format!("fragments leave that overlap: {left:?}"));
    }
    let all: Vec<_> = sent.pieces.iter().collect();
    if !any_overlap(&all) && (has_first(sent) || is_straight) && left.len() != all.len() {
        return Err(format!("{left:?} leave, and {all:?} came"));
    }
    Ok(left.iter().any(|piece| piece.start == 0))
}

/// An error about a flow reaches who sent what it quotes, and quotes it as that was sent.
fn judge_error(model: &Model, sent: &Sent, quoted: &Tuple, arrivals: &[&Arrival]) -> Verdict {
    let found = model.find(sent.place, &quoted.reversed());
    let Some((number, direction)) = found else {
        return match (sent.place, wish(sent)) {
            (Place::Container(_), Wish::Neighbour(to)) => {
                judge_packet(sent, &sent.frame, Place::Container(to), arrivals).map(|_| ())
            }
            _ => none(arrivals, "no flow is like what it quotes"),
        };
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
    let from = match sent.tuple.from.ip() == quoted.to.ip() {
        true => translated.from.ip(),
        false => sent.tuple.from.ip(),
    };
    let rest = [&packet[at + 4..at + 8], &quote].concat();
    let expected = ip(place.macs_out(), from, translated.to.ip())
        .hops(sent.hops - 1)
        .icmp(packet[at], packet[at + 1], &rest);
    match arrivals {
        [arrival] => same(sent, arrival, &expected, place),
        [] if !flow.is_sure() => Ok(()),
        _ => Err(format!(
            "{} packets leave, not {}{}\nof the flow {flow:?}",
            arrivals.len(),
            describe(&expected),
            list(arrivals)
        )),
    }
}

/// A packet that may go no further is dropped; its sender may be told so.
fn judge_last_hop(sent: &Sent, arrivals: &[&Arrival]) -> Verdict {
    let [arrival] = arrivals else {
        return none(arrivals, "it may go no further");
    };
    let packet = &sent.frame[ETHERNET..];
    let is_v4 = is_v4(packet);
    if let Wish::Neighbour(to) = wish(sent) {
        return same(sent, arrival, &sent.frame, Place::Container(to));
    }
    let (kind, start) = if is_v4 { (11, 20) } else { (3, 40) };
    let error = &arrival.frame[ETHERNET..];
    let quote = error.get(start + 8..).unwrap_or_default();
    let wire = &sent.frames()[0][ETHERNET..];
    let hops = if is_v4 { error[8] } else { error[7] };
    let rest = [&[0; 4][..], quote].concat();
    let macs = match sent.place {
        Place::World => {
            let (router, uplink) = sent.place.macs_to(sent.tuple.to.ip());
            (uplink, router)
        }
        Place::Container(_) => sent.place.macs_out(),
    };
    let expected = ip(macs, sent.place.router(is_v4), sent.tuple.from.ip())
        .hops(hops)
        .icmp(kind, 0, &rest);
    // it has to tell the sender which of its packets it was
    let is_enough = quote.len() >= headers(packet).transport + 8;
    // what a router does not know about an IPv4 header is no matter of this: service and identification
    let is_same = arrival.frame.len() == expected.len()
        && arrival.frame[..14] == expected[..14]
        && tuple(error) == tuple(&expected[ETHERNET..])
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
fn is_hosts(sent: &Sent, arrival: &Arrival) -> bool {
    let to = sent.tuple.to.ip();
    let answers = tuple(&arrival.frame[ETHERNET..]);
    sent.place == Place::World
        && arrival.place == Place::World
        && to == host(to.is_ipv4())
        && answers.from.ip() == to
        && answers.to.ip() == sent.tuple.from.ip()
        && sent.hops > 1
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

/// Whether a packet, or a fragment, has its ports.
fn begins(frame: &[u8]) -> bool {
    let packet = &frame[ETHERNET..];
    if is_v4(packet) {
        return u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff == 0;
    }
    packet[6] != crate::packet::FRAGMENT || u16::from_be_bytes([packet[42], packet[43]]) >> 3 == 0
}

fn tuple_of(frame: &[u8], sent: &Sent) -> Tuple {
    Tuple {
        protocol: sent.tuple.protocol,
        ..tuple(&frame[ETHERNET..])
    }
}
