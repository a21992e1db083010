//! Settled: a packet is found and carried out without a look at anything twice.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT};
use netswitch_common::{endpoint::Endpoint, verdict::Verdict};

use super::{
    count::{count_drop, count_path},
    out, pass, to_peer, translate,
};
use crate::{
    headers::Macs,
    maps,
    packet::Frame,
    stages::settled::{self, Arrival},
    work::Aside,
};

/// No action of the kernel's: the packet is none of these, and nothing has been done.
pub const OTHER: i32 = i32::MIN;

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

/// What the hook answers with, or [`OTHER`]; from the world if there is no endpoint.
#[unsafe(no_mangle)]
extern "C" fn carry_settled(skb: *mut __sk_buff, endpoint: *const Endpoint) -> i32 {
    let frame = Frame::new(skb);
    let Some(work) = maps::new_work() else { return OTHER };
    let aside = work.aside();
    // SAFETY: from the two above; the verifier checks that it is an endpoint, or null
    match settled::find(frame, &aside, unsafe { endpoint.as_ref() }) {
        Arrival::Settled { ifindex, is_peer } => carry(frame, &aside, ifindex, is_peer),
        Arrival::Host => pass(frame),
        Arrival::Other => OTHER,
    }
}

#[inline(always)]
fn carry(frame: Frame, aside: &Aside, ifindex: u32, is_peer: bool) -> i32 {
    let length = frame.length();
    let end = &aside.translation.end;
    let set_macs = |macs: &mut Macs| {
        macs.destination = end.get().mac.words();
        macs.source = end.get().source.words();
    };
    if let Err(reason) = translate::plain(frame, aside.read, aside.translation, set_macs, 1) {
        count_drop(aside.found.get().key.owner, reason as u32, 1, length);
        count_path(Verdict::Drop, length);
        return TC_ACT_SHOT;
    }
    count_path(Verdict::Translate, length);
    match is_peer {
        true => to_peer(frame, ifindex),
        false => out(frame, ifindex),
    }
}
