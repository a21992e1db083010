//! Limit: commit's way to hold a container to what it may send and receive. Both ends of a packet are asked
//! before either is charged; explaining asks and does not charge.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_ktime_get_ns};
use netswitch_common::{
    endpoint::{Slot, flags},
    limit::{Limits, Meters, Ration, cost, lets_pass, ticks},
    verdict::{Decision, DropReason, Verdict},
};

use crate::{
    atomic,
    headers::ETHERNET_LENGTH,
    maps,
    packet::{Frame, Packet, size},
    place::part,
    work::Work,
};

/// Whom a packet is too much for, and why.
pub type Refusal = Option<(u32, DropReason)>;

/// For the packet that the sheet has the decision about: whether it would be too much now.
#[inline(always)]
pub fn ask(frame: Frame) -> Refusal {
    refusal(meter_decided(frame.0, 0))
}

/// The same, and charges both ends with it if it is not.
#[inline(always)]
pub fn charge(frame: Frame) -> Refusal {
    refusal(meter_decided(frame.0, 1))
}

/// For a copy of a frame to one member of the network.
#[inline(always)]
pub fn charge_copy(frame: Frame, member: u32) -> Refusal {
    match slot_flags(member) & flags::LIMITED {
        0 => None,
        _ => refusal(meter_packet(frame.0, 0, member, 1)),
    }
}

/// Charges an endpoint with a frame that is copied to many.
#[inline(always)]
pub fn take_copy(frame: Frame, endpoint: u32) {
    let rate = maps::endpoint(frame.ifindex()).map_or(0, |endpoint| endpoint.copies);
    if let Some(rations) = maps::RATIONS.get_ptr_mut(endpoint) {
        // SAFETY: no argument; then: a word of the map's value
        unsafe {
            move_on(
                &raw mut (*rations).copies,
                bpf_ktime_get_ns(),
                Ration::copies(rate).price,
            );
        };
    }
}

/// Whether a sender, an endpoint or 0 for the world, may have an ICMP error, and charges it with that.
#[inline(always)]
pub fn take_error(sender: u32) -> bool {
    take_ration(sender) != 0
}

#[unsafe(no_mangle)]
extern "C" fn take_ration(sender: u32) -> u32 {
    let Some(rations) = maps::RATIONS.get_ptr_mut(sender) else {
        return 0;
    };
    // SAFETY: no argument; then: a word of the map's value, which other CPUs move on meanwhile
    unsafe {
        let now = bpf_ktime_get_ns();
        let meter = &raw mut (*rations).errors;
        if !Ration::ERRORS.lets_pass(meter.read_volatile(), now) {
            return 0;
        }
        move_on(meter, now, Ration::ERRORS.price);
    }
    1
}

/// How many flows an endpoint may have.
#[inline(always)]
pub fn flow_quota(endpoint: u32) -> u32 {
    let limits = match maps::slot(endpoint) {
        Some(slot) if slot.flags & flags::COUNT_FLOWS != 0 => of(slot),
        _ => core::ptr::null_mut(),
    };
    let own = match limits.is_null() {
        true => 0,
        // SAFETY: an entry's memory stays until the program has ended (RCU)
        false => unsafe { (*limits).flows },
    };
    match own {
        0 => maps::config().map_or(0, |config| config.flow_quota),
        own => own,
    }
}

#[inline(always)]
fn refusal(number: u64) -> Refusal {
    DropReason::from_number(number as u32).map(|reason| ((number >> 32) as u32, reason))
}

/// 0, or whom it is too much for in the upper half and the reason in the lower one.
#[unsafe(no_mangle)]
extern "C" fn meter_decided(skb: *mut __sk_buff, charges: u32) -> u64 {
    let Some(decision) = maps::work().and_then(Work::decision) else {
        return 0;
    };
    let Decision {
        source,
        destination,
        verdict,
        ..
    } = decision.get();
    let verdict = verdict & !Decision::LIMITED;
    part!(decision, verdict).set(verdict);
    match Verdict::from_number(verdict) {
        Some(
            Verdict::Peer
            | Verdict::Host
            | Verdict::Replicate
            | Verdict::Translate
            | Verdict::Open
            | Verdict::Question
            | Verdict::Answer
            | Verdict::Admit
            | Verdict::Follow,
        ) => meter_packet(skb, source, destination, charges),
        Some(Verdict::AnswerName | Verdict::DenyName) => meter_packet(skb, source, 0, charges),
        // dropped, kept for later, or about who has an address, which is the switch's own service
        _ => 0,
    }
}

/// As [`meter_decided`], of what one endpoint sends and another receives; 0 for neither.
#[unsafe(no_mangle)]
extern "C" fn meter_packet(skb: *mut __sk_buff, source: u32, destination: u32, charges: u32) -> u64 {
    // numbers: LLVM would compare two pointers at once, which the verifier does not let it
    if (slot_flags(source) | slot_flags(destination)) & flags::LIMITED == 0 {
        return 0;
    }
    let size = Size::of(Frame::new(skb));
    // SAFETY: no argument
    let now = ticks(unsafe { bpf_ktime_get_ns() });
    let (sender, receiver) = (limited(source), limited(destination));
    // SAFETY: an entry's memory stays until the program has ended (RCU); other CPUs move its meters on
    // meanwhile, each in one step
    unsafe {
        if !sender.is_null() {
            let reason = check(sender, &raw const (*sender).sent, now);
            if reason != 0 {
                return u64::from(source) << 32 | u64::from(reason);
            }
        }
        if !receiver.is_null() {
            let reason = check(receiver, &raw const (*receiver).received, now);
            if reason != 0 {
                return u64::from(destination) << 32 | u64::from(reason);
            }
        }
        if charges == 0 {
            return 0;
        }
        if !sender.is_null() {
            size.charge(sender, &raw mut (*sender).sent, now);
        }
        if !receiver.is_null() {
            size.charge(receiver, &raw mut (*receiver).received, now);
        }
    }
    0
}

#[inline(always)]
fn slot_flags(endpoint: u32) -> u32 {
    maps::slot(endpoint).map_or(0, |slot| slot.flags)
}

/// Of the container that an endpoint belongs to; null where packets have no limits. Pointers and no options:
/// what of these is not there LLVM leaves undefined, which the verifier does not have.
#[inline(always)]
fn limited(endpoint: u32) -> *mut Limits {
    match maps::slot(endpoint) {
        Some(slot) if slot.flags & flags::LIMITED != 0 => of(slot),
        _ => core::ptr::null_mut(),
    }
}

#[inline(always)]
fn of(slot: &Slot) -> *mut Limits {
    let endpoint = maps::endpoint(slot.ifindex);
    let limits = endpoint.and_then(|endpoint| maps::LIMITS.get_ptr_mut(endpoint.sandbox));
    limits.unwrap_or(core::ptr::null_mut())
}

/// 0, or a [`DropReason`].
///
/// # Safety
/// `limits` must be an entry of LIMITS, `meters` one of its two.
#[inline(always)]
unsafe fn check(limits: *const Limits, meters: *const Meters, now: u64) -> u32 {
    // SAFETY: the caller's
    unsafe {
        if !lets_pass((&raw const (*meters).bytes).read_volatile(), now, (*limits).byte_price) {
            return DropReason::RateLimit as u32;
        }
        if !lets_pass(
            (&raw const (*meters).packets).read_volatile(),
            now,
            (*limits).packet_price,
        ) {
            return DropReason::PacketRate as u32;
        }
    }
    0
}

/// Moves a meter on, from now where it lies behind.
///
/// # Safety
/// `meter` must be a word of a map's value.
#[inline(always)]
unsafe fn move_on(meter: *mut u64, now: u64, cost: u64) {
    if cost == 0 {
        return;
    }
    // SAFETY: the caller's
    unsafe {
        let before = meter.read_volatile();
        if before >= now || !atomic::replace(meter, before, now + cost) {
            atomic::add(meter, cost);
        }
    }
}

/// What a packet counts as: IP packets as they are on a wire, their headers included.
#[derive(Clone, Copy)]
struct Size {
    bytes: u32,
    packets: u32,
}

impl Size {
    /// # Safety
    /// As for [`check`].
    #[inline(always)]
    unsafe fn charge(self, limits: *const Limits, meters: *mut Meters, now: u64) {
        // SAFETY: the caller's
        unsafe {
            move_on(&raw mut (*meters).bytes, now, cost(self.bytes, (*limits).byte_price));
            move_on(
                &raw mut (*meters).packets,
                now,
                cost(self.packets, (*limits).packet_price),
            );
        }
    }

    #[inline(always)]
    fn of(frame: Frame) -> Self {
        let length = frame.length().saturating_sub(ETHERNET_LENGTH);
        let segment = frame.segment();
        let headers = match segment {
            0 => 0,
            _ => headers_of(frame),
        };
        if headers == 0 {
            return Self {
                bytes: length,
                packets: 1,
            };
        }
        let data = length.saturating_sub(headers);
        let packets = match segment {
            size::CUT_ALREADY => frame.segments().max(1),
            _ => (data + segment - 1).checked_div(segment).unwrap_or(1),
        };
        Self {
            bytes: data + packets * headers,
            packets,
        }
    }
}

#[inline(always)]
fn headers_of(frame: Frame) -> u32 {
    match Packet::parse(frame) {
        Ok(packet) if packet.headers.transport != 0 => size::segment_headers(frame, packet.headers),
        _ => 0,
    }
}
