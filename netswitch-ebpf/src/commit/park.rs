//! Park: commit's way to keep fragments that came too early, and to send them round once more.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM},
    check_bounds_signed,
    helpers::{bpf_clone_redirect, bpf_loop, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use netswitch_common::{
    fragment::{PARKED_LONGEST, PARKED_MOST, ParkedKey},
    verdict::DropReason,
};

use super::pieces;
use crate::{
    code::{number, outcome},
    headers::ETHERNET_LENGTH,
    maps,
    packet::Frame,
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Of an Ethernet frame.
const HEADER: i64 = ETHERNET_LENGTH as i64;

/// Keeps a fragment until its first one comes.
#[inline(always)]
pub fn park(frame: Frame) -> Result {
    outcome(park_fragment(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn park_fragment(skb: *mut __sk_buff) -> u32 {
    number(keep(Frame::new(skb)))
}

#[inline(always)]
fn keep(frame: Frame) -> Result {
    let fragment = maps::work().and_then(Work::fragment);
    let (Some(fragment), Some(sheet)) = (fragment, maps::PARKING.get_ptr_mut(0)) else {
        return Err(DropReason::Internal);
    };
    let length = frame.length();
    if !check_bounds_signed(i64::from(length), 1, PARKED_LONGEST as i64) {
        return Err(DropReason::Fragment);
    }
    // SAFETY: a per-CPU entry; the length was checked against its size
    let loaded = unsafe {
        (*sheet).length = length;
        bpf_skb_load_bytes(frame.0.cast(), 0, (&raw mut (*sheet).bytes).cast(), length)
    };
    if loaded != 0 {
        return Err(DropReason::Fragment);
    }
    let mut key = ParkedKey {
        packet: fragment.get().key,
        place: 0,
    };
    for place in 0..PARKED_MOST {
        key.place = place;
        // SAFETY: only asks whether there is one
        if unsafe { maps::PARKED.get(&key) }.is_none() {
            // SAFETY: the sheet's memory stays
            return match maps::PARKED.insert(&key, unsafe { &*sheet }, BPF_ANY.into()) {
                Ok(()) => Ok(()),
                Err(_) => Err(DropReason::Fragment),
            };
        }
    }
    Err(DropReason::Fragment)
}

/// Notes the ports of a first fragment; then it and those that waited for it arrive once more.
#[inline(always)]
pub fn unpark(frame: Frame) -> Result {
    outcome(unpark_fragments(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn unpark_fragments(skb: *mut __sk_buff) -> u32 {
    let sheet = maps::work().and_then(|work| work.read().zip(work.fragment()));
    let Some((read, fragment)) = sheet else {
        return DropReason::Internal as u32;
    };
    // it would not be known when it comes back, and go round for ever
    if let Err(reason) = pieces::note(read, fragment) {
        return reason as u32;
    }
    let mut round = Round {
        frame: Frame::new(skb),
        key: ParkedKey {
            packet: fragment.get().key,
            place: 0,
        },
        _pad: 0,
    };
    // SAFETY: the context of the running program; then: the callback has the signature that the helper
    // wants and runs before this returns
    unsafe {
        bpf_clone_redirect(skb, round.frame.ifindex(), BPF_F_INGRESS.into());
        bpf_loop(PARKED_MOST, send_round as *mut c_void, (&raw mut round).cast(), 0);
    }
    0
}

/// What `bpf_loop` passes from place to place.
#[repr(C)]
struct Round {
    frame: Frame,
    key: ParkedKey,
    _pad: u32,
}

extern "C" fn send_round(_place: u64, round: &mut Round) -> i64 {
    let frame = round.frame;
    // SAFETY: an LRU map's entry is not used for another key while this program runs (RCU)
    let Some(parked) = (unsafe { maps::PARKED.get(&round.key) }) else {
        return 1;
    };
    let length = parked.length;
    if check_bounds_signed(i64::from(length), HEADER + 1, PARKED_LONGEST as i64) {
        let bytes = (&raw const parked.bytes).cast::<u8>();
        // SAFETY: the context of the running program; the length was checked. A device's sum over the packet
        // (CHECKSUM_COMPLETE) starts behind the Ethernet header
        unsafe {
            if bpf_skb_change_tail(frame.0, length, 0) == 0
                && bpf_skb_store_bytes(frame.0, 0, bytes.cast(), ETHERNET_LENGTH, 0) == 0
                && bpf_skb_store_bytes(
                    frame.0,
                    ETHERNET_LENGTH,
                    bytes.add(HEADER as usize).cast(),
                    length - ETHERNET_LENGTH,
                    BPF_F_RECOMPUTE_CSUM.into(),
                ) == 0
            {
                bpf_clone_redirect(frame.0, frame.ifindex(), BPF_F_INGRESS.into());
            }
        }
    }
    let _ = maps::PARKED.remove(&round.key);
    round.key.place += 1;
    0
}
