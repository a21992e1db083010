//! Count: what passes, and what does not.

use aya_ebpf::bindings::BPF_NOEXIST;
use netswitch_common::verdict::{Count, DropKey, Verdict};

use crate::maps;

#[inline(always)]
pub fn count_path(verdict: Verdict, length: u32) {
    if let Some(count) = maps::PATHS.get_ptr_mut(verdict as u32) {
        // SAFETY: a per-CPU entry; where a hook interrupts another ([`maps::work`]), a count may be lost
        unsafe {
            (*count).packets += 1;
            (*count).bytes += u64::from(length);
        }
    }
}

#[inline(never)]
pub fn count_drop(endpoint: u32, reason: u32, packets: u64, length: u32) {
    let key = DropKey { endpoint, reason };
    let bytes = packets * u64::from(length);
    for _ in 0..2 {
        if let Some(count) = maps::DROPS.get_ptr_mut(key) {
            // SAFETY: a per-CPU entry, as above
            unsafe {
                (*count).packets += packets;
                (*count).bytes += bytes;
            }
            return;
        }
        // the first drop of this kind; if another CPU was faster, its entry serves both
        if maps::DROPS
            .insert(key, Count { packets, bytes }, u64::from(BPF_NOEXIST))
            .is_ok()
        {
            return;
        }
    }
}
