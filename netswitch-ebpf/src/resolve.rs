//! Resolve: commit's way to turn a question for a name into its answer (RFC 1035, 4.1).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM},
    check_bounds_signed,
    helpers::{bpf_csum_diff, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use netswitch_common::{
    address::Address,
    checksum,
    name::{LONGEST, Name},
    verdict::DropReason,
};

use crate::{
    headers::{Ipv4, Ipv6, protocol},
    maps,
    packet::Frame,
    rewrite::{Macs, store},
    stages::{
        number, outcome,
        resolve::{Message, kind, plain_transport},
    },
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

const TIME_TO_LIVE: u8 = 64;

/// A resource record about the name that stands behind the message's header.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Record {
    name: u16,
    kind: u16,
    class: u16,
    time_to_live: u32,
    length: u16,
    data: [u8; LONGEST],
}

/// Up to the record's data.
const RECORD_HEADER: u32 = core::mem::offset_of!(Record, data) as u32;
/// Where the question's name stands in a message (RFC 1035, 4.1.4).
const THE_NAME: u16 = 0xc00c_u16.to_be();

/// Bytes of the longest answer, UDP header included: a multiple of 8.
pub const DATAGRAM: usize = 168;
const _: () = assert!(size_of::<Message>() + LONGEST + 4 + size_of::<Record>() <= DATAGRAM);

/// Answer, authoritative, recursion available.
const ANSWER: u16 = 0x8480_u16.to_be();
/// What an answer keeps of its question's flags: whether recursion was desired, and whether checking is off.
const KEPT: u16 = 0x0110_u16.to_be();

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
    let Some(work) = maps::work() else {
        return DropReason::Malformed as u32;
    };
    // gone since it was decided: the sender asks again
    let Some(name) = maps::name(&work.question) else {
        return DropReason::Malformed as u32;
    };
    number(turn(Frame::new(skb), work, name))
}

#[inline(always)]
fn turn(frame: Frame, work: &mut Work, name: &Name) -> Result {
    let at = u32::from(plain_transport(work.headers.family));
    let question = size_of::<Message>() as u32 + (name.length & 0x7f) + 4;
    let record = RECORD_HEADER + fill(work, name);
    let length = question + record;
    // SAFETY: the context of the running program; no pointer into the frame is kept
    if unsafe { bpf_skb_change_tail(frame.0, at + length, 0) } != 0
        || !check_bounds_signed(record.into(), 1, size_of::<Record>() as i64)
    {
        return Err(DropReason::Malformed);
    }
    // SAFETY: the length was checked against the record's
    let stored = unsafe {
        bpf_skb_store_bytes(
            frame.0,
            at + question,
            (&raw const work.record).cast(),
            record,
            u64::from(BPF_F_RECOMPUTE_CSUM),
        )
    };
    if stored != 0 {
        return Err(DropReason::Malformed);
    }
    let pseudo = match work.is_v4() {
        true => front_v4(frame, work, length as u16)?,
        false => front_v6(frame, work, length as u16)?,
    };
    sum(frame, work, at, length, pseudo)
}

/// The record; how many bytes of data it has.
#[inline(always)]
fn fill(work: &mut Work, name: &Name) -> u32 {
    let data = (&raw mut work.record.data).cast::<u32>();
    // SAFETY: the data holds the longest of these
    let length = unsafe {
        match work.asked {
            kind::A => {
                data.write_unaligned(name.v4);
                4
            }
            kind::AAAA => {
                data.cast::<Address>().write_unaligned(name.v6);
                16
            }
            _ => {
                core::ptr::copy_nonoverlapping((&raw const name.pointer).cast::<u32>(), data, LONGEST / 4);
                name.pointer_length & 0x7f
            }
        }
    };
    work.record.name = THE_NAME;
    work.record.kind = work.asked;
    work.record.class = kind::INTERNET;
    work.record.time_to_live = name.time_to_live.to_be();
    work.record.length = (length as u16).to_be();
    length
}

/// Everything in front of the question; the sum of the pseudo header.
#[inline(always)]
fn front_v4(frame: Frame, work: &Work, length: u16) -> core::result::Result<u32, DropReason> {
    let mut memory = core::mem::MaybeUninit::<FrontV4>::uninit();
    let front = frame.fill(0, &mut memory)?;
    let mut ip = front.ip;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.length = (size_of::<Ipv4>() as u16 + length).to_be();
    ip.identification = 0;
    ip.fragment = 0x4000_u16.to_be(); // so that no identification is needed
    ip.time_to_live = TIME_TO_LIVE;
    ip.checksum = 0;
    // SAFETY: on the stack, with this length
    let header = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, (&raw mut ip).cast(), 20, 0) } as u32;
    ip.checksum = checksum::fold(header);
    front.ip = ip;
    front.macs = turned(front.macs, work);
    front.message = message(front.message, length);
    let (from, to) = (u64::from(ip.source), u64::from(ip.destination));
    store(frame, 0, front, 0)?;
    Ok(folded(from + to))
}

#[inline(always)]
fn front_v6(frame: Frame, work: &Work, length: u16) -> core::result::Result<u32, DropReason> {
    let mut memory = core::mem::MaybeUninit::<FrontV6>::uninit();
    let front = frame.fill(0, &mut memory)?;
    let mut ip = front.ip;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.payload_length = length.to_be();
    ip.hop_limit = TIME_TO_LIVE;
    front.ip = ip;
    front.macs = turned(front.macs, work);
    front.message = message(front.message, length);
    let mut total = 0;
    for word in ip.source.0 {
        total += u64::from(word);
    }
    for word in ip.destination.0 {
        total += u64::from(word);
    }
    store(frame, 0, front, 0)?;
    Ok(folded(total))
}

#[inline(always)]
fn folded(total: u64) -> u32 {
    let total = (total & 0xffff_ffff) + (total >> 32);
    ((total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32)) as u32
}

#[inline(always)]
fn turned(macs: Macs, work: &Work) -> Macs {
    Macs {
        destination: macs.source,
        source: work.decision.mac.words(),
    }
}

#[inline(always)]
fn message(asked: Message, length: u16) -> Message {
    Message {
        from_port: asked.to_port,
        to_port: asked.from_port,
        length: length.to_be(),
        checksum: 0,
        flags: ANSWER | asked.flags & KEPT,
        answers: 1_u16.to_be(),
        ..asked
    }
}

/// The checksum over all of the datagram.
#[inline(always)]
fn sum(frame: Frame, work: &mut Work, at: u32, length: u32, pseudo: u32) -> Result {
    work.datagram = [0; DATAGRAM / 8];
    if !check_bounds_signed(length.into(), 1, DATAGRAM as i64) {
        return Err(DropReason::Malformed);
    }
    let start = pseudo + u32::from((length as u16).to_be()) + u32::from(u16::from(protocol::UDP).to_be());
    let place = (&raw mut work.datagram).cast::<u32>();
    // SAFETY: the length was checked against the place's
    let total = unsafe {
        if bpf_skb_load_bytes(frame.0.cast(), at, place.cast(), length) != 0 {
            return Err(DropReason::Malformed);
        }
        bpf_csum_diff(core::ptr::null_mut(), 0, place, DATAGRAM as u32, start) as u32
    };
    let sum = match checksum::fold(total) {
        0 => 0xffff_u16,
        sum => sum,
    };
    store(frame, at + core::mem::offset_of!(Message, checksum) as u32, &sum, 0)
}
