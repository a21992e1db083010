//! Hairpin: commit's note of whose frames to neighbours may be answers of flows that came by the host's address.

use netswitch_common::flow::Flow;

use crate::maps;

/// The answers of a flow between neighbours go past the gateway: as long as it lives, the responder's frames are
/// looked at.
#[inline(always)]
pub fn keep(flow: &Flow, deadline: u64) {
    let [from, to] = &flow.tuples;
    if flow.publication != 0 && from.zone != 0 && from.zone == to.zone {
        if let Some(until) = maps::HAIRPINS.get_ptr_mut(flow.ends[1].endpoint) {
            // SAFETY: an array's entry, one word; of two CPUs either's deadline is long enough for its own flow's
            // next packet, which writes again
            unsafe { *until = (*until).max(deadline) };
        }
    }
}
