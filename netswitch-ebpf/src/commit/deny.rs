//! Deny: commit's way to say that the network has no such name, or nothing of the kind, where nobody else can.

use core::cell::Cell;

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    verdict::{Decision, DropReason},
};

use super::{resolve::turned, rewrite::store, translate};
use crate::{
    code::{number, outcome},
    headers::{
        ETHERNET_LENGTH, Macs,
        dns::{ANSWER, IS_ANSWER, KEPT, Message},
        protocol,
    },
    maps,
    packet::{Family, Frame, plain_transport},
    work::Denial,
};

type Result = core::result::Result<(), DropReason>;

/// The addresses of an IP header.
const ADDRESSES_V4: u32 = ETHERNET_LENGTH + 12;
const ADDRESSES_V6: u32 = ETHERNET_LENGTH + 8;

/// Turns the question into itself with a code, for its sender.
#[inline(always)]
pub fn answer(frame: Frame) -> Result {
    outcome(deny_name(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn deny_name(skb: *mut __sk_buff) -> u32 {
    match maps::work().and_then(|work| work.denial().zip(work.decision())) {
        Some((denial, decision)) => number(turn(Frame::new(skb), denial, decision)),
        None => DropReason::Internal as u32,
    }
}

#[inline(always)]
fn turn(frame: Frame, denial: &Cell<Denial>, decision: &Cell<Decision>) -> Result {
    let at = u32::from(plain_transport(denial.get().family));
    let message: Message = frame.read(at).ok_or(DropReason::Malformed)?;
    if message.flags & IS_ANSWER != 0 {
        return Err(DropReason::Malformed);
    }
    let flags = ANSWER | message.flags & KEPT | denial.get().code.to_be();
    // a sum does not mind who changes places
    let sum = u32::from(!message.flags) + u32::from(flags);
    translate::add(
        frame,
        at + core::mem::offset_of!(Message, checksum) as u32,
        sum,
        translate::no_checksum(protocol::UDP),
    )?;
    store(frame, at, &[message.to_port, message.from_port], 0)?;
    store(frame, at + core::mem::offset_of!(Message, flags) as u32, &flags, 0)?;
    match denial.get().family {
        Family::V4 => swap::<u32>(frame, ADDRESSES_V4, [0; 2])?,
        _ => swap(frame, ADDRESSES_V6, [Address::NONE; 2])?,
    }
    let mut macs = Macs::NONE;
    frame.load(0, &mut macs)?;
    store(frame, 0, &turned(macs, decision), 0)
}

/// `pair` is room for both.
#[inline(always)]
fn swap<T: Copy>(frame: Frame, at: u32, mut pair: [T; 2]) -> Result {
    frame.load(at, &mut pair)?;
    store(frame, at, &[pair[1], pair[0]], 0)
}
