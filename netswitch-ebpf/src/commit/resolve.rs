//! Resolve: commit's way to turn a question for a name into its answer (RFC 1035, 4.1).

use core::cell::Cell;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM},
    check_bounds_signed,
    helpers::{bpf_skb_change_tail, bpf_skb_store_bytes},
};
use netswitch_common::{
    address::Address,
    checksum,
    verdict::{Decision, DropReason},
};

use super::rewrite::store;
use crate::{
    code::{number, outcome},
    headers::{
        Ipv4, Ipv6, Macs, TIME_TO_LIVE,
        dns::{ANSWER, KEPT, Message, Record},
        protocol,
    },
    maps,
    packet::{Family, Frame, plain_transport},
    work::Answer,
};

type Result = core::result::Result<(), DropReason>;

#[repr(C, packed(2))]
#[derive(Clone, Copy)]
struct FrontV4 {
    macs: Macs,
    kind: u16,
    ip: Ipv4,
    message: Message,
}

#[repr(C, packed(2))]
#[derive(Clone, Copy)]
struct FrontV6 {
    macs: Macs,
    kind: u16,
    ip: Ipv6,
    message: Message,
}

/// Turns the question that the sheet describes into its answer, for its sender.
#[inline(always)]
pub fn answer(frame: Frame) -> Result {
    outcome(answer_name(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn answer_name(skb: *mut __sk_buff) -> u32 {
    match maps::work().and_then(|work| work.answer().zip(work.decision())) {
        Some((answer, decision)) => number(turn(Frame::new(skb), answer, decision)),
        None => DropReason::Internal as u32,
    }
}

#[inline(always)]
fn turn(frame: Frame, answer: &Answer, decision: &Cell<Decision>) -> Result {
    let at = u32::from(plain_transport(answer.family.get()));
    let record_length = answer.length.get();
    let length = size_of::<Message>() as u32 + answer.asked.get().length + record_length;
    // SAFETY: the context of the running program; no pointer into the frame is kept
    if unsafe { bpf_skb_change_tail(frame.0, at + length, 0) } != 0
        || !check_bounds_signed(record_length.into(), 1, size_of::<Record>() as i64)
    {
        return Err(DropReason::Malformed);
    }
    // SAFETY: the length was checked against the record's
    let stored = unsafe {
        bpf_skb_store_bytes(
            frame.0,
            at + length - record_length,
            answer.record.as_ptr().cast_const().cast(),
            record_length,
            u64::from(BPF_F_RECOMPUTE_CSUM),
        )
    };
    match (stored, answer.family.get()) {
        (0, Family::V4) => front_v4(frame, answer, decision, length as u16),
        (0, _) => front_v6(frame, answer, decision, length as u16),
        _ => Err(DropReason::Malformed),
    }
}

/// Everything in front of the question.
#[inline(always)]
fn front_v4(frame: Frame, answer: &Answer, decision: &Cell<Decision>, length: u16) -> Result {
    let mut memory = core::mem::MaybeUninit::<FrontV4>::uninit();
    let front = frame.fill(0, &mut memory)?;
    let mut ip = front.ip;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.length = (size_of::<Ipv4>() as u16 + length).to_be();
    ip.identification = 0;
    ip.fragment = 0x4000_u16.to_be(); // so that no identification is needed
    ip.time_to_live = TIME_TO_LIVE;
    ip.checksum = 0;
    ip.checksum = checksum::fold(checksum::narrow(checksum::total::<Ipv4, 5>(&ip)));
    front.ip = ip;
    front.macs = turned(front.macs, decision);
    let (from, to) = (Address::v4(ip.source), Address::v4(ip.destination));
    front.message = message(front.message, length, answer, &from, &to);
    store(frame, 0, front, 0)
}

#[inline(always)]
fn front_v6(frame: Frame, answer: &Answer, decision: &Cell<Decision>, length: u16) -> Result {
    let mut memory = core::mem::MaybeUninit::<FrontV6>::uninit();
    let front = frame.fill(0, &mut memory)?;
    let mut ip = front.ip;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.payload_length = length.to_be();
    ip.hop_limit = TIME_TO_LIVE;
    front.ip = ip;
    front.macs = turned(front.macs, decision);
    front.message = message(front.message, length, answer, &ip.source, &ip.destination);
    store(frame, 0, front, 0)
}

#[inline(always)]
pub fn turned(macs: Macs, decision: &Cell<Decision>) -> Macs {
    Macs {
        destination: macs.source,
        source: decision.get().mac.words(),
    }
}

#[inline(always)]
fn message(asked: Message, length: u16, answer: &Answer, from: &Address, to: &Address) -> Message {
    let sums = answer.asked.get().sum + answer.sum.get();
    let answer = Message {
        from_port: asked.to_port,
        to_port: asked.from_port,
        length: length.to_be(),
        checksum: 0,
        flags: ANSWER | asked.flags & KEPT,
        answers: 1_u16.to_be(),
        additions: 0,
        ..asked
    };
    let pseudo_header = checksum::pseudo_header(from, to, protocol::UDP, length);
    let sum = checksum::total::<Message, 5>(&answer) + u64::from(pseudo_header) + u64::from(sums);
    Message {
        checksum: match checksum::fold(checksum::narrow(sum)) {
            0 => 0xffff,
            sum => sum,
        },
        ..answer
    }
}
