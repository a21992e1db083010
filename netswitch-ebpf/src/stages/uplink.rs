//! Uplink: packets from the world, for a flow, a published port, or the host's own stack.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::verdict::{Decision, DropReason, Verdict};

use super::{flow, fragment, leave, publish, route, settled, stack, tuple};
use crate::{
    maps,
    packet::{Family, Frame, Headers, Packet},
    work::WayBack,
};

/// What [`decide`] leaves to the host's stack, as a decision.
pub const PASS: Decision = Decision {
    verdict: Verdict::Pass as u32,
    reason: 0,
    ..Decision::drop(DropReason::Malformed)
};

/// What becomes of a frame that an uplink has received.
pub enum Outcome {
    /// It is no business of ours, or malformed: the host's stack judges it.
    Pass,
    /// It is [`settled`].
    Settled,
    /// The decision is in `work`.
    Decided,
}

/// Decides what becomes of a frame that an uplink has received.
#[inline(always)]
pub fn decide(frame: Frame) -> Outcome {
    look(frame, MAY_SETTLE)
}

/// The same with a decision in `work` also for what is settled.
#[inline(always)]
pub fn explain(frame: Frame) -> Outcome {
    look(frame, DECIDES_ALL)
}

const MAY_SETTLE: u32 = 1;
const DECIDES_ALL: u32 = 0;

#[inline(always)]
fn look(frame: Frame, settles: u32) -> Outcome {
    let Ok(packet) = Packet::parse(frame) else {
        return Outcome::Pass;
    };
    if !matches!(packet.headers.family, Family::V4 | Family::V6) || !frame.is_for_us() {
        return Outcome::Pass;
    }
    match decide_uplink(frame.0, packet.headers.bits(), settles) {
        0 => Outcome::Pass,
        1 => Outcome::Settled,
        _ => Outcome::Decided,
    }
}

/// An [`Outcome`].
#[unsafe(no_mangle)]
extern "C" fn decide_uplink(skb: *mut __sk_buff, headers: u64, settles: u32) -> u32 {
    // SAFETY: from `look`
    let headers = unsafe { Headers::from_bits(headers) };
    judge(Frame::new(skb), headers, settles) as u32
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers, settles: u32) -> Outcome {
    if tuple::read(frame, headers, 0).is_err() {
        return Outcome::Pass;
    }
    let way_back = WayBack {
        ifindex: frame.ifindex(),
        network: 0,
    };
    let is_fragment_of_ours =
        maps::work().is_some_and(|work| work.is_fragment() && maps::is_local(work.destination));
    if is_fragment_of_ours && fragment::decide(frame, way_back) {
        return Outcome::Decided;
    }
    if flow::find(frame) {
        if settles == MAY_SETTLE && settled::leaves(frame) {
            return Outcome::Settled;
        }
        enter(frame, Verdict::Translate, way_back);
        return Outcome::Decided;
    }
    if let Some(publication) = publish::find(frame).filter(|publication| stack::may_forward(publication)) {
        match publish::decide_world(frame, publication) {
            Ok(()) => enter(frame, Verdict::Open, way_back),
            Err(reason) => refuse(reason, publication.network, publication.endpoint),
        }
        return Outcome::Decided;
    }
    // containers and their gateways are nobody's to reach from outside
    let Some(work) = maps::work() else {
        return Outcome::Pass;
    };
    let to = work.destination;
    match maps::subnet(to).and_then(|subnet| Some((subnet, maps::network(subnet.network)?))) {
        Some((subnet, network)) if network.is_gateway(to) || route::is_inside(frame, subnet, network, to) => {
            let endpoint = maps::neighbour(subnet.network, to).map_or(0, |neighbour| neighbour.port.id);
            refuse(DropReason::NotPublished, subnet.network, endpoint);
            Outcome::Decided
        }
        _ => Outcome::Pass,
    }
}

/// Into the container, or to the stack that will bring it there.
#[inline(always)]
fn enter(frame: Frame, verdict: Verdict, way_back: WayBack) {
    match stack::is_on() {
        true => stack::hand_on(verdict),
        false => leave::leave(frame, verdict, way_back),
    }
}

#[inline(always)]
fn refuse(reason: DropReason, network: u32, endpoint: u32) {
    if let Some(work) = maps::work() {
        work.decision = Decision {
            network,
            destination: endpoint,
            ..Decision::drop(reason)
        };
    }
}
