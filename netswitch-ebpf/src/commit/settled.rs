//! Settled: decided and carried out in one, without a look at anything twice.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT};
use netswitch_common::{endpoint::Endpoint, verdict::Verdict, way::Way};

use super::{
    count::{count_drop, count_path},
    out, pass, to_peer, translate,
};
use crate::{
    maps,
    packet::Frame,
    stages::settled::{self, Arrival},
};

/// No action of the kernel's: the packet is none of these, and nothing has been done.
pub const OTHER: i32 = i32::MIN;

const PEER: u8 = Way::Peer as u8;

/// A frame of a container's to the gateway's MAC.
#[inline(always)]
pub fn from_endpoint(frame: Frame, endpoint: &Endpoint) -> i32 {
    carry_settled(frame.0, endpoint)
}

/// A frame from the world.
#[inline(always)]
pub fn from_world(frame: Frame) -> i32 {
    carry_settled(frame.0, core::ptr::null())
}

#[unsafe(no_mangle)]
extern "C" fn carry_settled(skb: *mut __sk_buff, endpoint: *const Endpoint) -> i32 {
    let frame = Frame::new(skb);
    let Some(work) = maps::work() else { return OTHER };
    // SAFETY: from the two above; the verifier checks that it is an endpoint, or null
    let is_settled = match unsafe { endpoint.as_ref() } {
        Some(endpoint) => settled::find_from_endpoint(frame, work, endpoint),
        None => match settled::find_from_world(frame, work) {
            Arrival::Host => return pass(frame),
            Arrival::Settled => true,
            Arrival::Other => false,
        },
    };
    if !is_settled {
        return OTHER;
    }
    let length = frame.length();
    if let Err(reason) = translate::plain(frame, work) {
        count_drop(work.key.owner, reason as u32, 1, length);
        count_path(Verdict::Drop, length);
        return TC_ACT_SHOT;
    }
    count_path(Verdict::Translate, length);
    match work.decision.way {
        PEER => to_peer(frame, work.decision.ifindex),
        _ => out(frame, work.decision.ifindex),
    }
}
