//! Hop: out of an uplink, by the kernel's neighbour table.

use core::cell::Cell;

use aya_ebpf::helpers::bpf_redirect_neigh;
use netswitch_common::flow::FlowEnd;

use crate::headers::family;

/// Out of the uplink, to the next hop that the kernel's neighbour table knows or asks for.
#[inline(always)]
pub fn to_world(end: &Cell<FlowEnd>) -> i32 {
    let FlowEnd { next_hop, ifindex, .. } = end.get();
    let mut hop = RedirectNeighbour {
        family: family::INET6.into(),
        address: next_hop.0,
    };
    if let Some(v4) = next_hop.as_v4() {
        hop.family = family::INET.into();
        hop.address = [v4, 0, 0, 0];
    }
    // SAFETY: the helper reads one `bpf_redir_neigh`, which has this layout
    unsafe { bpf_redirect_neigh(ifindex, (&raw mut hop).cast(), size_of::<RedirectNeighbour>() as i32, 0) as i32 }
}

/// `struct bpf_redir_neigh`.
#[repr(C)]
struct RedirectNeighbour {
    family: u32,
    address: [u32; 4],
}
