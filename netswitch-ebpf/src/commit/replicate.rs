//! Replicate: commit's way to copy a frame to the members of its network.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::helpers::{bpf_clone_redirect, bpf_get_prandom_u32, bpf_loop};
use netswitch_common::verdict::{Decision, DropReason};

use super::{count::count_drop, event, limit};
use crate::{
    maps,
    packet::Frame,
    stages::{policy, replicate::is_for_host},
};

/// Copies of one broadcast or multicast frame.
const COPIES: u32 = 512;

/// What `bpf_loop` passes from copy to copy.
#[repr(C)]
struct Copies {
    frame: Frame,
    network: u32,
    members: u32,
    slot: u32,
    made: u32,
    sender: u32,
    /// Device of a member that hears nothing of this; 0: all do.
    without: u32,
}

/// To every other member, or to the one that the decision names.
#[inline(always)]
pub fn to_members(frame: Frame, decision: &Cell<Decision>) {
    let Decision {
        source,
        ifindex,
        network: id,
        ..
    } = decision.get();
    limit::take_copy(frame, source);
    frame.clear_mark();
    if ifindex != 0 {
        // SAFETY: the context of the running program
        unsafe { bpf_clone_redirect(frame.0, ifindex, 0) };
        return;
    }
    let Some(network) = maps::network(id).filter(|network| network.members != 0) else {
        return;
    };
    let members = network.members;
    let without = match is_for_host(frame) {
        true => 0,
        false => network.switch_end,
    };
    let mut copies = Copies {
        frame,
        network: id,
        members,
        // SAFETY: no argument
        slot: unsafe { bpf_get_prandom_u32() } % members,
        made: 0,
        sender: frame.ifindex(),
        without,
    };
    let rounds = members.min(COPIES + 1); // one of them may be the sender
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(rounds, copy as *mut c_void, (&raw mut copies).cast(), 0);
    }
    let others = members - 1;
    if others > COPIES {
        let missed = u64::from(others - COPIES);
        count_drop(source, DropReason::ReplicationLimit as u32, missed, frame.length());
        if event::wants_drops() {
            event::dropped(frame, decision, DropReason::ReplicationLimit);
        }
    }
}

/// One copy, out of the host-side device, so that it arrives at the member.
extern "C" fn copy(_round: u64, copies: &mut Copies) -> i64 {
    let slot = copies.slot;
    copies.slot = if slot + 1 < copies.members { slot + 1 } else { 0 };
    if let Some(member) = maps::member(copies.network, slot) {
        if member.ifindex == copies.sender || member.ifindex == copies.without || policy::denies_to(member.id) {
            return 0;
        }
        if let Some((member, reason)) = limit::charge_copy(copies.frame, member.id) {
            count_drop(member, reason as u32, 1, copies.frame.length());
            return 0;
        }
        copies.made += 1;
        // SAFETY: the context of the running program
        unsafe { bpf_clone_redirect(copies.frame.0, member.ifindex, 0) };
    }
    i64::from(copies.made >= COPIES)
}
