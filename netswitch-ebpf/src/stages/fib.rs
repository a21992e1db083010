//! FIB: the kernel's forwarding table, asked by `bpf_fib_lookup`.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::bpf_fib_lookup as FibLookup, helpers::bpf_fib_lookup};
use netswitch_common::address::Address;

use crate::{headers::family, packet::Frame};

/// Memory for a question to the FIB.
pub type Memory = [u64; 8];

/// An empty question to the FIB. By hand, for a call of `memset` would cost a stack frame.
///
/// # Safety
/// `memory` must be the caller's alone.
#[inline(always)]
pub unsafe fn query(memory: *mut MaybeUninit<Memory>, ifindex: u32, to: Address) -> *mut FibLookup {
    const { assert!(size_of::<Memory>() == size_of::<FibLookup>()) };
    let query = memory.cast::<FibLookup>();
    for word in 0..size_of::<FibLookup>() / size_of::<u64>() {
        // SAFETY: inside the query
        unsafe { query.cast::<u64>().add(word).write_volatile(0) };
    }
    // SAFETY: plain integers, and the loop has filled all of them
    unsafe {
        (*query).ifindex = ifindex;
        if let Some(v4) = to.as_v4() {
            (*query).family = family::INET;
            (*query).__bindgen_anon_4.ipv4_dst = v4;
        } else {
            (*query).family = family::INET6;
            (*query).__bindgen_anon_4.ipv6_dst = to.0;
        }
    }
    query
}

/// Asks it. Returns one of `BPF_FIB_LKUP_RET_*`; the rest of the answer is in the query.
#[inline(always)]
pub fn ask(frame: Frame, query: *mut FibLookup, flags: u32) -> u32 {
    // SAFETY: the context of the running program; the size is the query's own
    let answer = unsafe { bpf_fib_lookup(frame.0.cast(), query, size_of::<FibLookup>() as i32, flags) };
    answer as u32
}
