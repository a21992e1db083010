//! Stack: in `--uplink-mode stack` the host's own stack, and its firewall, carry what goes between containers
//! and the world. It sees the containers' own addresses and ports: what the world shows or sees instead is
//! put in and taken out at the uplinks.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    endpoint::{Endpoint, Kind},
    flow::{direction, halves},
    host::Config,
    publish::{Publication, flags},
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use super::{flow, fragment, leave, masquerade, route, tuple};
use crate::{
    headers::protocol,
    maps,
    packet::{Addresses, Family, Frame, Headers, Packet},
    place::part,
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
    let goes_out = |work: &Work| {
        work.translation()
            .is_some_and(|translation| translation.end.get().is_world())
            && !leave::is_denied(work)
    };
    is_on() && maps::work().is_some_and(goes_out)
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
pub fn hand_on(frame: Frame, verdict: Verdict) {
    let Some(work) = maps::work() else { return };
    let Some(end) = work.other_end(matches!(verdict, Verdict::Open)) else {
        return;
    };
    let decision = match leave::refusal(frame, work, verdict as u32) {
        Some(reason) => Decision::drop(reason),
        None => Decision {
            verdict: verdict as u32,
            way: Way::Stack as u8,
            ..Decision::default()
        },
    };
    work.start_decision().write(Decision {
        destination: end.get().endpoint,
        ..decision
    });
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
    u32::from(maps::new_work().is_some_and(|work| judge(Frame::new(skb), headers, work).is_some()))
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers, work: &Work) -> Option<()> {
    let Addresses { from, .. } = frame.addresses(headers.family).ok()?;
    let zone = match maps::subnet(from) {
        Some(subnet) => subnet.network,
        // an error of the host's own may be about a packet of ours
        None if matches!(headers.protocol, protocol::ICMP | protocol::ICMPV6) => 0,
        None => return None,
    };
    let is_hosts = zone == 0;
    let readable = tuple::read(frame, headers, zone);
    let (zone, from) = match work.read() {
        Some(read) => {
            let from = read.tuple.get().from;
            if zone == 0 {
                if !read.is_quoting() {
                    return None;
                }
                part!(read.tuple, zone).set(maps::subnet(from)?.network);
            }
            (read.tuple.get().zone, from)
        }
        None if zone == 0 => return None,
        None => (zone, from),
    };
    let sender = maps::neighbour(zone, from)?.port;
    let endpoint = maps::endpoint(sender.ifindex).filter(|_| sender.kind == Kind::Container as u8)?;
    if let Err(reason) = readable.and_then(|()| translation(frame, work, endpoint)) {
        if is_hosts {
            return None;
        }
        work.start_decision().write(Decision::drop(reason));
    }
    let decision = work.decision()?;
    part!(decision, source).set(endpoint.id);
    part!(decision, network).set(endpoint.network);
    Some(())
}

/// What a container's packet shows the world. The decision is in `work`.
#[inline(always)]
fn translation(frame: Frame, work: &Work, endpoint: &Endpoint) -> Result<(), DropReason> {
    // the endpoint's own hook has put them into order
    if work.read().is_none_or(fragment::lacks_ports) {
        return Err(DropReason::Fragment);
    }
    if flow::find(frame) {
        if leaves_as_before(frame.0, endpoint.network) != 0 {
            hand_on(frame, Verdict::Translate);
            return Ok(());
        }
        work.forget_flow();
    }
    masquerade::decide(frame, endpoint, frame.ifindex())?;
    hand_on(frame, Verdict::Open);
    Ok(())
}

/// Whether the flow that was found keeps its address: one that the switch has chosen for another uplink than the stack
/// leads it out of now is nobody's there (`nf_nat_oif_changed`). A new flow takes its place then.
#[unsafe(no_mangle)]
extern "C" fn leaves_as_before(skb: *mut __sk_buff, network: u32) -> u32 {
    let (Some(work), Some(network)) = (maps::work(), maps::network(network)) else {
        return 1;
    };
    let (Some(read), Some(translation), Some(found)) = (work.read(), work.translation(), work.found()) else {
        return 1;
    };
    let ours = translation.tuple.get().from;
    let end = translation.end.get();
    if !end.is_world()
        || end.ifindex == Frame::new(skb).ifindex()
        || found.get().direction != direction::ORIGINAL
        || ours == read.tuple.get().from
        || !route::fixed_source(network, ours.as_v4().is_some()).is_none()
    {
        return 1;
    }
    work.replace(found.get().key, halves(found.get().life).0);
    0
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
        work.start_decision().write(Decision {
            reason,
            ..Decision::default()
        });
    }
    0
}

/// A flow knows the packets of its container as they come from there.
#[inline(always)]
fn is_of_a_flow(work: &Work, network: u32) -> bool {
    let Some(read) = work.read() else { return false };
    let Some(index) = maps::flow_index(work.sought.put(read.tuple.get().reversed(network))) else {
        return false;
    };
    maps::record(index.key).is_some_and(|flow| flow.serial == index.serial && flow::lives(flow, read.now.get()))
}
