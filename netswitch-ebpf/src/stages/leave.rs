//! Leave: what becomes of a packet whose flow is known: it goes to the flow's other end, or its sender is told why not.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Mac,
    endpoint::flags,
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use super::{leash, options, policy};
use crate::{
    headers::{ETHERNET_LENGTH, icmp, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers, plain_transport, size},
    work::{WayBack, Work},
};

/// Decides a packet whose translation and way are known: it leaves, or its sender is told why it does not.
/// The decision is in `work` ([`decided`]).
#[inline(always)]
pub fn leave(frame: Frame, verdict: Verdict, way_back: WayBack) {
    leave_flow(frame.0, verdict as u32, way_back.ifindex, way_back.network);
}

/// The decision that a stage has left.
#[inline(always)]
pub fn decided() -> Decision {
    maps::work().map_or(Decision::drop(DropReason::Malformed), |work| work.decision)
}

#[unsafe(no_mangle)]
extern "C" fn leave_flow(skb: *mut __sk_buff, verdict: u32, ifindex: u32, network: u32) -> u32 {
    if let Some(work) = maps::work() {
        let decision = match may_have_options(work) && options::has_source_route(Frame::new(skb)) {
            true => Some(Decision::drop(DropReason::SourceRoute)),
            false => refused(work, verdict),
        };
        work.decision = match decision {
            Some(decision) => Decision { network, ..decision },
            None => decide(Frame::new(skb), work, verdict, WayBack { ifindex, network }),
        };
    }
    0
}

/// Whether the packet has an IPv4 header that is longer than the shortest, or may have: a later fragment does not say.
#[inline(always)]
fn may_have_options(work: &Work) -> bool {
    work.is_v4() && work.headers.transport != plain_transport(Family::V4)
}

/// What becomes of a packet whose flow the policy does not let begin, or go on.
#[inline(always)]
pub fn refused(work: &mut Work, verdict: u32) -> Option<Decision> {
    if work.denied == 0 && (verdict != Verdict::Open as u32 || !leash::denies_new()) {
        return None;
    }
    Some(Decision {
        destination: work.end.endpoint,
        ..Decision::drop(policy::reason(work))
    })
}

#[inline(always)]
fn decide(frame: Frame, work: &Work, verdict: u32, way_back: WayBack) -> Decision {
    let decision = Decision {
        verdict,
        destination: work.end.endpoint,
        network: way_back.network,
        ..Decision::default()
    };
    // its checksum changes by how long the whole packet is, which the first fragment does not say
    if work.headers.protocol == protocol::SCTP && work.is_fragment() && changes_ports(work, verdict) {
        return Decision::drop(DropReason::Fragment);
    }
    if work.hop_limit <= 1 {
        return answer(
            frame,
            work,
            decision,
            way_back,
            Verdict::AnswerTimeExceeded,
            DropReason::TimeExceeded,
        );
    }
    if frame.length() > u32::from(work.end.mtu) + ETHERNET_LENGTH
        && !size::fits_when_cut(frame, work.headers, work.end.mtu)
    {
        return answer(
            frame,
            work,
            decision,
            way_back,
            Verdict::AnswerTooBig,
            DropReason::TooBig,
        );
    }
    if work.end.is_world() {
        let asks_again = verdict == Verdict::Open as u32 || work.rerouted != 0;
        return Decision {
            ifindex: work.end.ifindex,
            way: work.end.way_out(asks_again) as u8,
            mac: work.end.source,
            ..decision
        };
    }
    match maps::slot(work.end.endpoint).and_then(|slot| Some((slot, maps::network(slot.network)?))) {
        Some((slot, network)) => Decision {
            verdict: verdict | slot.flags & flags::LIMITED,
            ifindex: slot.ifindex,
            way: slot.way,
            remote: slot.remote,
            mac: network.mac,
            ..decision
        },
        None => Decision::drop(DropReason::NoSuchNeighbour),
    }
}

/// Whether the packet leaves with other ports; one that opens a flow of SCTP with the flow's.
#[inline(always)]
fn changes_ports(work: &Work, verdict: u32) -> bool {
    match verdict == Verdict::Open as u32 {
        true => work.flow.tuples[1].from_port != work.tuple.to_port,
        false => work.translated.from_port != work.tuple.from_port || work.translated.to_port != work.tuple.to_port,
    }
}

#[inline(always)]
fn answer(
    frame: Frame,
    work: &Work,
    decision: Decision,
    way_back: WayBack,
    verdict: Verdict,
    reason: DropReason,
) -> Decision {
    if may_not_be_answered(frame, work.headers) {
        return Decision::drop(reason);
    }
    Decision {
        verdict: verdict as u32,
        reason: reason as u32,
        ifindex: way_back.ifindex,
        way: match way_back.network {
            0 => Way::Device as u8,
            _ => Way::Peer as u8,
        },
        mac: maps::network(way_back.network).map_or(Mac([0; 6]), |network| network.mac),
        mtu: work.end.mtu,
        ..decision
    }
}

/// What no router sends an ICMP error about (RFC 1812, 4.3.2.7; RFC 4443, 2.4).
#[inline(never)]
pub fn may_not_be_answered(frame: Frame, headers: Headers) -> bool {
    headers.transport == 0
        || is_error(frame, headers)
        || frame.addresses(headers.family).map_or(true, |Addresses { from, to }| {
            to.is_group() || from.is_group() || from.is_unspecified()
        })
}

/// An ICMP error is never answered with another.
#[inline(always)]
fn is_error(frame: Frame, headers: Headers) -> bool {
    match headers.protocol {
        protocol::ICMP if headers.family == Family::V4 => {
            let mut kind = [0_u8; 2];
            frame.load(u32::from(headers.transport), &mut kind).is_err()
                || matches!(
                    kind[0],
                    icmp::UNREACHABLE
                        | icmp::SOURCE_QUENCH
                        | icmp::REDIRECT
                        | icmp::TIME_EXCEEDED
                        | icmp::PARAMETER_PROBLEM
                )
        }
        protocol::ICMPV6 if headers.family == Family::V6 => headers.kind() < 128,
        _ => false,
    }
}
