//! FIB: the kernel's forwarding table, asked by `bpf_fib_lookup`.

use core::{cell::Cell, mem::MaybeUninit};

use aya_ebpf::{bindings::bpf_fib_lookup as FibLookup, helpers::bpf_fib_lookup};
use netswitch_common::address::Address;

use crate::{
    headers::{family, protocol},
    packet::Frame,
    work::{Question, Work},
};

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

/// `BPF_FIB_LOOKUP_MARK`, and where the mark stands in `struct bpf_fib_lookup`: where the answer has the MACs.
pub const BY_MARK: u32 = 1 << 5;
const MARK_AT: usize = core::mem::offset_of!(FibLookup, smac);

/// The question on the sheet as the kernel reads it, for a packet of this length.
#[inline(always)]
pub fn set_question(
    frame: Frame,
    ifindex: u32,
    flags: u32,
    work: &Work,
    question: &Cell<Question>,
    length: u16,
) -> *mut FibLookup {
    let Question { start, protocol, .. } = question.get();
    // SAFETY: the room is this look-up's alone
    let query = unsafe { query(work.query.empty(), ifindex, question.get().goal) };
    // SAFETY: plain integers of a question that is all filled
    unsafe {
        (*query).__bindgen_anon_1.tot_len = length;
        match start.as_v4() {
            Some(v4) => {
                (*query).__bindgen_anon_3.ipv4_src = v4;
                (*query).__bindgen_anon_2.tos = question.get().service as u8;
            }
            None => {
                (*query).__bindgen_anon_3.ipv6_src = start.0;
                (*query).__bindgen_anon_2.flowinfo = question.get().service;
            }
        }
        (*query).l4_protocol = protocol as u8;
        if has_ports(protocol as u8) {
            (*query).sport = question.get().from_port;
            (*query).dport = question.get().to_port;
        }
        if flags & BY_MARK != 0 {
            query.byte_add(MARK_AT).cast::<u32>().write_unaligned(frame.mark());
        }
    }
    query
}

/// Whether rules of the stack know the protocol's ports (`fib4_rules_early_flow_dissect`).
#[inline(always)]
pub fn has_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
    )
}
