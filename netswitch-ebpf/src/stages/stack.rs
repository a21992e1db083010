//! Stack: in `--uplink-mode stack` the host's own stack, and its firewall, carry what goes between containers
//! and the world. It sees the containers' own addresses and ports: what the world shows or sees instead is
//! put in and taken out at the uplinks.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    endpoint::{Endpoint, Kind},
    host::Config,
    publish::{Publication, flags},
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use super::{flow, fragment, leave, masquerade, tuple};
use crate::{
    headers::protocol,
    maps,
    packet::{Addresses, Family, Frame, Headers, Packet},
    work::{WayBack, Work},
};

/// Whether the agent was told so.
#[inline(always)]
pub fn is_on() -> bool {
    maps::config().is_some_and(Config::uses_stack)
}

/// Whether the stack carries a container's packet, whose flow was found.
#[inline(always)]
pub fn carries_flow() -> bool {
    is_on() && maps::work().is_some_and(|work| work.end.is_world() && work.denied == 0)
}

/// Whether packets for a publication can go through the stack. Those that must come from the gateway's
/// address cannot, for the stack takes nothing from outside that has an address of its own: it keeps them,
/// and the agent's relay passes them on.
#[inline(always)]
pub fn may_forward(publication: &Publication) -> bool {
    publication.flags & flags::GATEWAY_SOURCE == 0 || !is_on()
}

/// Decides a packet whose translation is known: it stays with the stack. The decision is in `work`.
#[inline(always)]
pub fn hand_on(verdict: Verdict) {
    if let Some(work) = maps::work() {
        work.hops = 0;
        let refused = leave::refused(work, verdict as u32);
        work.decision = refused.unwrap_or(Decision {
            verdict: verdict as u32,
            destination: work.end.endpoint,
            way: Way::Stack as u8,
            ..Decision::default()
        });
    }
}

/// Decides what becomes of a frame that the stack sends out of an uplink; the decision is in `work`. `false`: it is
/// no business of ours.
#[inline(always)]
pub fn decide(frame: Frame) -> bool {
    let Ok(packet) = Packet::parse(frame) else {
        return false;
    };
    matches!(packet.headers.family, Family::V4 | Family::V6) && decide_leaving(frame.0, packet.headers.bits()) != 0
}

/// 0: none of ours. Else the decision is in `work`.
#[unsafe(no_mangle)]
extern "C" fn decide_leaving(skb: *mut __sk_buff, headers: u64) -> u32 {
    // SAFETY: from `decide`
    let headers = unsafe { Headers::from_bits(headers) };
    u32::from(judge(Frame::new(skb), headers).is_some())
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers) -> Option<()> {
    let Addresses { from, .. } = frame.addresses(headers.family).ok()?;
    let zone = match maps::subnet(from) {
        Some(subnet) => subnet.network,
        // an error of the host's own may be about a packet of ours
        None if matches!(headers.protocol, protocol::ICMP | protocol::ICMPV6) => 0,
        None => return None,
    };
    let readable = tuple::read(frame, headers, zone);
    let work = maps::work()?;
    if zone == 0 {
        if readable.is_err() || work.quoted == 0 {
            return None;
        }
        work.tuple.zone = maps::subnet(work.tuple.from)?.network;
    }
    let sender = maps::neighbour(work.tuple.zone, work.tuple.from)?.port;
    let endpoint = maps::endpoint(sender.ifindex).filter(|_| sender.kind == Kind::Container as u8)?;
    let found = readable.and_then(|()| translation(frame, endpoint));
    let work = maps::work()?;
    if let Err(reason) = found {
        if zone == 0 {
            return None;
        }
        work.decision = Decision::drop(reason);
    }
    work.decision.source = endpoint.id;
    work.decision.network = endpoint.network;
    Some(())
}

/// What a container's packet shows the world. The decision is in `work`.
#[inline(always)]
fn translation(frame: Frame, endpoint: &Endpoint) -> Result<(), DropReason> {
    // the endpoint's own hook has put them into order
    if maps::work().is_some_and(|work| fragment::lacks_ports(work)) {
        return Err(DropReason::Fragment);
    }
    if flow::find(frame) {
        hand_on(Verdict::Translate);
        return Ok(());
    }
    masquerade::decide(frame, endpoint, frame.ifindex())?;
    hand_on(Verdict::Open);
    Ok(())
}

/// For what the source guard refuses: whether it may go on all the same, because the stack has forwarded it and
/// it belongs to a flow. Else the decision is in `work`.
#[inline(always)]
pub fn lets_in(frame: Frame, headers: Headers, endpoint: &Endpoint, reason: DropReason) -> bool {
    judge_refused(frame.0, headers.bits(), endpoint.network, reason as u32) != 0
}

#[unsafe(no_mangle)]
extern "C" fn judge_refused(skb: *mut __sk_buff, headers: u64, network: u32, reason: u32) -> u32 {
    // SAFETY: from `lets_in`
    let headers = unsafe { Headers::from_bits(headers) };
    let frame = Frame::new(skb);
    // which is what it says of a source beyond the host
    if reason == DropReason::NotPublished as u32 && is_on() && tuple::read(frame, headers, network).is_ok() {
        let way_back = WayBack {
            ifindex: frame.ifindex(),
            network,
        };
        if fragment::decide(frame, way_back) {
            return 0;
        }
        if maps::work().is_some_and(|work| is_of_a_flow(work, network)) {
            return 1;
        }
    }
    if let Some(work) = maps::work() {
        work.decision = Decision {
            reason,
            ..Decision::default()
        };
    }
    0
}

/// A flow knows the packets of its container as they come from there.
#[inline(always)]
fn is_of_a_flow(work: &mut Work, network: u32) -> bool {
    work.translated = work.tuple.reversed(network);
    let Some(index) = maps::flow_index(&work.translated) else {
        return false;
    };
    maps::record(index.key).is_some_and(|flow| flow.serial == index.serial && flow::lives(flow, work.now))
}
