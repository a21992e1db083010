//! Leave: what becomes of a packet whose flow is known: it goes to the flow's other end, or its sender is told why not.

use core::cell::Cell;

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Mac,
    endpoint::{Endpoint, Kind, flags},
    flow::{FlowEnd, SILENCE},
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use super::{ipsec, leash, options, policy};
use crate::{
    headers::{ETHERNET_LENGTH, icmp, icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers, plain_transport, size, whole},
    place::part,
    work::{Read, WayBack, Work, due},
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
    maps::work()
        .and_then(Work::decision)
        .map_or(Decision::drop(DropReason::Internal), Cell::get)
}

#[unsafe(no_mangle)]
extern "C" fn leave_flow(skb: *mut __sk_buff, verdict: u32, ifindex: u32, network: u32) -> u32 {
    let Some(work) = maps::work() else { return 0 };
    let Some(read) = work.read() else { return 0 };
    let Some(end) = work.other_end(verdict == Verdict::Open as u32) else {
        return 0;
    };
    let decision = judge(Frame::new(skb), work, read, end, verdict, WayBack { ifindex, network });
    let decision = work.start_decision().write(decision);
    if decision.get().reason == DropReason::TooBig as u32 && read.is_v4() && whole::may_be_cut(Frame::new(skb)) {
        part!(decision, verdict).set(Verdict::Cut as u32);
        part!(decision, reason).set(0);
        part!(decision, mtu).set(end.get().mtu);
    }
    0
}

#[inline(always)]
fn judge(frame: Frame, work: &Work, read: &Read, end: &Cell<FlowEnd>, verdict: u32, way_back: WayBack) -> Decision {
    if may_have_options(read) && options::has_source_route(frame) {
        return Decision {
            network: way_back.network,
            ..Decision::drop(DropReason::SourceRoute)
        };
    }
    match refusal(frame, work, verdict) {
        Some(reason) => Decision {
            destination: end.get().endpoint,
            network: way_back.network,
            ..Decision::drop(reason)
        },
        None => decide(frame, work, read, end, verdict, way_back),
    }
}

/// Whether the packet has an IPv4 header that is longer than the shortest, or may have: a later fragment does not say.
#[inline(always)]
fn may_have_options(read: &Read) -> bool {
    read.is_v4() && read.headers.get().transport != plain_transport(Family::V4)
}

/// Why the policy does not let a packet's flow begin, or go on, or the host's IPsec the packet pass.
#[inline(always)]
pub fn refusal(frame: Frame, work: &Work, verdict: u32) -> Option<DropReason> {
    let begins = verdict == Verdict::Open as u32;
    let is_refused = match begins {
        true => leash::denies_new(),
        false => is_denied(work),
    };
    match is_refused {
        true => Some(policy::reason(work)),
        false if ipsec::stops(frame, begins) => Some(DropReason::IpsecPolicy),
        false => None,
    }
}

/// Whether the policy denies the flow that was found.
#[inline(always)]
pub fn is_denied(work: &Work) -> bool {
    work.found().is_none_or(|found| found.get().is_denied)
}

#[inline(always)]
fn decide(frame: Frame, work: &Work, read: &Read, end: &Cell<FlowEnd>, verdict: u32, way_back: WayBack) -> Decision {
    let decision = Decision {
        verdict,
        destination: end.get().endpoint,
        network: way_back.network,
        ..Decision::default()
    };
    // its checksum changes by how long the whole packet is, which the first fragment does not say
    let headers = &read.headers;
    if headers.get().protocol == protocol::SCTP && headers.get().is_fragment() && changes_ports(work, read, verdict) {
        return Decision::drop(DropReason::Fragment);
    }
    if read.hop_limit.get() <= 1 {
        return answer(
            frame,
            headers.get(),
            end,
            decision,
            way_back,
            Verdict::AnswerTimeExceeded,
            DropReason::TimeExceeded,
        );
    }
    if frame.length() > u32::from(end.get().mtu) + ETHERNET_LENGTH
        && !size::fits_when_cut(frame, headers.get(), end.get().mtu)
    {
        return answer(
            frame,
            headers.get(),
            end,
            decision,
            way_back,
            Verdict::AnswerTooBig,
            DropReason::TooBig,
        );
    }
    if end.get().is_world() {
        if end.get().silent >= SILENCE && is_rerouted(work) {
            // the packets after this one ask for the next hop anew
            part!(end, silent).set(0);
            return answer(
                frame,
                headers.get(),
                end,
                decision,
                way_back,
                Verdict::AnswerUnreachable,
                DropReason::SilentNextHop,
            );
        }
        let asks_again = verdict == Verdict::Open as u32 || is_rerouted(work);
        return Decision {
            ifindex: end.get().ifindex,
            way: end.get().way_out(asks_again) as u8,
            mac: end.get().source,
            ..decision
        };
    }
    match maps::slot(end.get().endpoint).and_then(|slot| Some((slot, maps::network(slot.network)?))) {
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

/// Whether the route of the flow that was found has been looked up again for this packet.
#[inline(always)]
fn is_rerouted(work: &Work) -> bool {
    work.found().is_some_and(|found| found.get().due & due::ROUTE != 0)
}

/// Whether the packet leaves with other ports; one that opens a flow of SCTP with the flow's.
#[inline(always)]
fn changes_ports(work: &Work, read: &Read, verdict: u32) -> bool {
    match verdict == Verdict::Open as u32 {
        true => work
            .new_flow()
            .is_none_or(|new| part!(new.flow, tuples[1].from_port).get() != read.tuple.get().to_port),
        false => work
            .translation()
            .is_none_or(|translation| translation.has_new_ports(read)),
    }
}

#[inline(always)]
fn answer(
    frame: Frame,
    headers: Headers,
    end: &Cell<FlowEnd>,
    decision: Decision,
    way_back: WayBack,
    verdict: Verdict,
    reason: DropReason,
) -> Decision {
    // to the world, the answer would leave without a policy having been asked about it
    if may_not_be_answered(frame, headers) || way_back.network == 0 && ipsec::is_on() {
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
        mtu: end.get().mtu,
        ..decision
    }
}

/// Tells an endpoint why its packet, which the decision in `work` drops, goes no further: by ICMP, if routers tell of that
/// reason, the protocols allow it, and a router has an address there.
#[inline(always)]
pub fn tell(frame: Frame, headers: Headers, endpoint: &Endpoint) {
    tell_endpoint(frame.0, headers.bits(), endpoint);
}

#[unsafe(no_mangle)]
extern "C" fn tell_endpoint(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `tell`; the verifier checks that the endpoint is one
    let (headers, endpoint) = unsafe { (Headers::from_bits(headers), endpoint.as_ref()) };
    if let (Some(decision), Some(endpoint)) = (maps::work().and_then(Work::decision), endpoint) {
        turn_round(Frame::new(skb), headers, endpoint, decision);
    }
    0
}

#[inline(always)]
fn turn_round(frame: Frame, headers: Headers, endpoint: &Endpoint, decision: &Cell<Decision>) {
    let verdict = match DropReason::from_number(decision.get().reason) {
        Some(DropReason::TooBig) => Verdict::AnswerTooBig,
        Some(reason) if reason.unreachable_v4().is_some() => Verdict::AnswerUnreachable,
        _ => return,
    };
    if decision.get().verdict != Verdict::Drop as u32
        || !matches!(headers.family, Family::V4 | Family::V6)
        || may_not_be_answered(frame, headers)
    {
        return;
    }
    let (Some(network), Some(ifindex)) = (maps::network(endpoint.network), device_back(frame, endpoint)) else {
        return;
    };
    let has_router = match headers.family {
        Family::V4 => !network.gateway_v4.is_none(),
        _ => !network.gateway_v6.is_none() || !network.link_local.is_none(),
    };
    if has_router || endpoint.kind == Kind::Host as u8 {
        part!(decision, verdict).set(verdict as u32);
        part!(decision, ifindex).set(ifindex);
        part!(decision, way).set(endpoint.way);
        part!(decision, mac).set(network.mac);
    }
}

/// The device through which an answer reaches the sender: `bpf_redirect_peer` refuses the host's.
#[inline(always)]
pub fn device_back(frame: Frame, endpoint: &Endpoint) -> Option<u32> {
    if endpoint.kind == Kind::Host as u8 {
        maps::network(endpoint.network).map(|network| network.host_end)
    } else {
        Some(frame.ifindex())
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

/// An ICMP error is never answered with another. Neighbour discovery is for the link alone, where no router tells anything.
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
        protocol::ICMPV6 if headers.family == Family::V6 => {
            headers.kind() < 128 || matches!(headers.kind(), icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT)
        }
        _ => false,
    }
}
