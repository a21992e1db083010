//! Resolve: commit's way to turn a question for a name into its answer (RFC 1035, 4.1).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM},
    check_bounds_signed,
    helpers::{bpf_skb_change_tail, bpf_skb_store_bytes},
};
use netswitch_common::{address::Address, checksum, verdict::DropReason};

use super::rewrite::store;
use crate::{
    code::{number, outcome},
    headers::{
        Ipv4, Ipv6, Macs, TIME_TO_LIVE,
        dns::{ANSWER, KEPT, Message, Record},
        protocol,
    },
    maps,
    packet::{Frame, plain_transport},
    work::Work,
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

/// Turns the question that `work` describes into its answer, for its sender.
#[inline(always)]
pub fn answer(frame: Frame) -> Result {
    outcome(answer_name(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn answer_name(skb: *mut __sk_buff) -> u32 {
    match maps::work() {
        Some(work) => number(turn(Frame::new(skb), work)),
        None => DropReason::Malformed as u32,
    }
}

#[inline(always)]
fn turn(frame: Frame, work: &mut Work) -> Result {
    let at = u32::from(plain_transport(work.headers.family));
    let length = size_of::<Message>() as u32 + work.asked.length + work.record_length;
    // SAFETY: the context of the running program; no pointer into the frame is kept
    if unsafe { bpf_skb_change_tail(frame.0, at + length, 0) } != 0
        || !check_bounds_signed(work.record_length.into(), 1, size_of::<Record>() as i64)
    {
        return Err(DropReason::Malformed);
    }
    // SAFETY: the length was checked against the record's
    let stored = unsafe {
        bpf_skb_store_bytes(
            frame.0,
            at + length - work.record_length,
            (&raw const work.record).cast(),
            work.record_length,
            u64::from(BPF_F_RECOMPUTE_CSUM),
        )
    };
    match (stored, work.is_v4()) {
        (0, true) => front_v4(frame, work, length as u16),
        (0, false) => front_v6(frame, work, length as u16),
        _ => Err(DropReason::Malformed),
    }
}

/// Everything in front of the question.
#[inline(always)]
fn front_v4(frame: Frame, work: &Work, length: u16) -> Result {
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
    front.macs = turned(front.macs, work);
    let (from, to) = (Address::v4(ip.source), Address::v4(ip.destination));
    front.message = message(front.message, length, work, &from, &to);
    store(frame, 0, front, 0)
}

#[inline(always)]
fn front_v6(frame: Frame, work: &Work, length: u16) -> Result {
    let mut memory = core::mem::MaybeUninit::<FrontV6>::uninit();
    let front = frame.fill(0, &mut memory)?;
    let mut ip = front.ip;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.payload_length = length.to_be();
    ip.hop_limit = TIME_TO_LIVE;
    front.ip = ip;
    front.macs = turned(front.macs, work);
    front.message = message(front.message, length, work, &ip.source, &ip.destination);
    store(frame, 0, front, 0)
}

#[inline(always)]
pub fn turned(macs: Macs, work: &Work) -> Macs {
    Macs {
        destination: macs.source,
        source: work.decision.mac.words(),
    }
}

#[inline(always)]
fn message(asked: Message, length: u16, work: &Work, from: &Address, to: &Address) -> Message {
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
    let sum =
        checksum::total::<Message, 5>(&answer) + u64::from(pseudo_header) + u64::from(work.asked.sum + work.record_sum);
    Message {
        checksum: match checksum::fold(checksum::narrow(sum)) {
            0 => 0xffff,
            sum => sum,
        },
        ..answer
    }
}
