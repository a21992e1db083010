//! Uplink: packets from the world, for a flow, a published port, or the host's own stack.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::verdict::{Decision, DropReason, Verdict};

use super::{direct, flow, fragment, leave, near, publish, share, stack, tuple};
use crate::{
    maps,
    packet::{Family, Frame, Headers, Packet},
    work::{WayBack, Work},
};

/// What [`decide`] leaves to the host's stack, as a decision.
pub const PASS: Decision = Decision {
    verdict: Verdict::Pass as u32,
    reason: 0,
    ..Decision::drop(DropReason::Malformed)
};

/// Decides what becomes of a frame that an uplink has received; the decision is in `work`. `false`: it is no
/// business of ours, or malformed, and the host's stack judges it.
#[inline(always)]
pub fn decide(frame: Frame) -> bool {
    let Ok(packet) = Packet::parse(frame) else {
        return false;
    };
    match frame.is_for_us() {
        true => {
            matches!(packet.headers.family, Family::V4 | Family::V6)
                && decide_uplink(frame.0, packet.headers.bits()) != 0
        }
        false => share::decide(frame, &packet),
    }
}

/// 0: to the host's stack. Else the decision is in `work`.
#[unsafe(no_mangle)]
extern "C" fn decide_uplink(skb: *mut __sk_buff, headers: u64) -> u32 {
    // SAFETY: from `decide`
    let headers = unsafe { Headers::from_bits(headers) };
    match maps::new_work() {
        Some(work) => u32::from(judge(Frame::new(skb), headers, work)),
        None => 0,
    }
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers, work: &Work) -> bool {
    if tuple::read(frame, headers, 0).is_err() {
        return false;
    }
    let way_back = WayBack {
        ifindex: frame.ifindex(),
        network: 0,
    };
    let Some(to) = work.destination() else { return false };
    if headers.is_fragment()
        && (maps::is_local(to.get()) || direct::may_reach(frame, to))
        && fragment::decide(frame, way_back)
    {
        return true;
    }
    if flow::find(frame) {
        enter(frame, Verdict::Translate, way_back);
        return true;
    }
    if let Some(found) = publish::find(frame).filter(|found| stack::may_forward(found.publication)) {
        match publish::decide_world(frame, found) {
            Ok(()) => enter(frame, Verdict::Open, way_back),
            Err(reason) => refuse(work, reason, found.publication.network, found.publication.endpoint),
        }
        return true;
    }
    // containers and their gateways are nobody's to reach from outside
    let to = to.get();
    match maps::subnet(to).and_then(|subnet| Some((subnet, maps::network(subnet.network)?))) {
        Some((subnet, network)) if network.is_gateway(to) || near::is_inside(frame, subnet, network, to) => {
            match direct::decide_world(frame) {
                Ok(()) => enter(frame, Verdict::Open, way_back),
                Err(reason) => {
                    let endpoint = maps::neighbour(subnet.network, to).map_or(0, |neighbour| neighbour.port.id);
                    refuse(work, reason, subnet.network, endpoint);
                }
            }
            true
        }
        _ => false,
    }
}

/// Into the container, or to the stack that will bring it there.
#[inline(always)]
fn enter(frame: Frame, verdict: Verdict, way_back: WayBack) {
    match stack::is_on() {
        true => stack::hand_on(frame, verdict),
        false => leave::leave(frame, verdict, way_back),
    }
}

#[inline(always)]
fn refuse(work: &Work, reason: DropReason, network: u32, endpoint: u32) {
    work.start_decision().write(Decision {
        network,
        destination: endpoint,
        ..Decision::drop(reason)
    });
}
