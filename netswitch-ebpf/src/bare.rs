//! Bare: packets of uplinks without Ethernet headers (tunnels, raw IP). Each gets one when it arrives, so that everything
//! behind sees frames alone; the kernel takes it off again where the packet passes on, and where `bpf_redirect` sends
//! a frame out of such a device (`__bpf_redirect_no_mac` in `net/core/filter.c`).

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, bpf_hdr_start_off::BPF_HDR_START_NET},
    helpers::{bpf_redirect, bpf_skb_change_head, bpf_skb_load_bytes_relative, bpf_skb_store_bytes},
};
use netswitch_common::host::NO_MAC;

use crate::{
    commit::TCX_NEXT,
    headers::{ETHERNET_LENGTH, Ethernet},
    packet::Frame,
};

/// What the hook answers with: on to the next program, with an Ethernet header.
#[inline(always)]
pub fn wrap(frame: Frame) -> i32 {
    if !starts_at_ip(frame) {
        // the kernel takes off what stands before the IP header, and the packet arrives once more
        // SAFETY: only takes numbers
        return unsafe { bpf_redirect(frame.ifindex(), u64::from(BPF_F_INGRESS)) as i32 };
    }
    let header = Ethernet {
        destination: NO_MAC.words(),
        source: NO_MAC.words(),
        ethertype: frame.protocol(),
    };
    // SAFETY: the context of the running program; no pointer into the frame is kept; the header has no padding
    let failed = unsafe {
        bpf_skb_change_head(frame.0, ETHERNET_LENGTH, 0) != 0
            || bpf_skb_store_bytes(frame.0, 0, (&raw const header).cast(), ETHERNET_LENGTH, 0) != 0
    };
    match failed {
        true => TC_ACT_SHOT,
        false => TCX_NEXT,
    }
}

/// Whether nothing stands before the packet's IP header. For a GRE device the kernel leaves the tunnel's IP header in
/// front, as the link-layer header (`ipgre_rcv`). That one differs from the packet's, because it has a larger length.
#[inline(always)]
fn starts_at_ip(frame: Frame) -> bool {
    let (mut first, mut ip) = (0_u64, 0_u64);
    let length = size_of::<u64>() as u32;
    // SAFETY: the helper fills the word, or zeroes it and fails
    let relative =
        unsafe { bpf_skb_load_bytes_relative(frame.0.cast(), 0, (&raw mut ip).cast(), length, BPF_HDR_START_NET) };
    frame.load(0, &mut first).is_err() || relative != 0 || first == ip
}
