//! Rewrite: a frame becomes the answer to itself. All writes go through helpers (see `packet/frame.rs`).

use core::cell::Cell;

use aya_ebpf::{
    bindings::{BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::{bpf_csum_diff, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_store_bytes},
};
use netswitch_common::{
    address::Address,
    checksum,
    verdict::{Decision, DropReason, Verdict},
};

use crate::{
    headers::{Arp, ETHERNET_LENGTH, Ipv4, Ipv6, Macs, TIME_TO_LIVE, icmp, icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame},
};

type Result = core::result::Result<(), DropReason>;

/// Neighbour discovery does not leave the link (RFC 4861, 7.1).
const ON_LINK: u8 = 255;

/// A neighbour advertisement with its target's MAC.
#[repr(C)]
struct Advertisement {
    ip: Ipv6,
    kind: u8,
    code: u8,
    checksum: u16,
    flags: u32,
    target: Address,
    option: u8,
    option_length: u8,
    mac: [u16; 3],
}

/// An ICMP error, with as much of the packet as is told about.
#[repr(C)]
struct ErrorV4 {
    ip: Ipv4,
    kind: u8,
    code: u8,
    checksum: u16,
    unused: u16,
    mtu: u16,
    quote: [u32; 17],
}

/// The same of ICMPv6.
#[repr(C)]
struct ErrorV6 {
    ip: Ipv6,
    kind: u8,
    code: u8,
    checksum: u16,
    mtu: u32,
    quote: [u32; 24],
}

/// An ARP request becomes the reply of the neighbour with the decision's MAC.
#[inline(never)]
pub fn answer_arp(frame: Frame, decision: &Cell<Decision>) -> Result {
    let question = frame.arp()?;
    let mac = decision.get().mac.words();
    let answer = Arp {
        operation: Arp::REPLY,
        sender_mac: mac,
        sender: question.target,
        target_mac: question.sender_mac,
        target: question.sender,
        ..question
    };
    turn_round(frame, mac)?;
    store(frame, ETHERNET_LENGTH, &answer, BPF_F_RECOMPUTE_CSUM)
}

/// A neighbour solicitation becomes the advertisement of the neighbour with the decision's MAC.
#[inline(never)]
pub fn answer_neighbour(frame: Frame, decision: &Cell<Decision>) -> Result {
    let Addresses { from, .. } = frame.addresses(Family::V6)?;
    let mut target = Address::NONE;
    frame.load(frame.transport_v6()? + 8, &mut target)?;
    let mac = decision.get().mac.words();
    let mut answer = Advertisement {
        ip: header_v6(target, from, 32, ON_LINK),
        kind: icmpv6::NEIGHBOUR_ADVERTISEMENT,
        code: 0,
        checksum: 0,
        flags: 0x6000_0000_u32.to_be(), // solicited, override
        target,
        option: 2, // target link-layer address
        option_length: 1,
        mac,
    };
    answer.checksum = checksum_v6::<64>((&raw const answer.ip.source).cast(), 32);
    turn_round(frame, mac)?;
    resize(frame, &answer)?;
    store(frame, ETHERNET_LENGTH, &answer, BPF_F_RECOMPUTE_CSUM)
}

/// A packet that goes no further becomes the router's word on why: it is too long, has come too far, or nothing leads
/// there.
#[inline(always)]
pub fn answer_error(frame: Frame, decision: &Cell<Decision>) -> Result {
    if frame.is_v4()? {
        error_v4(frame, decision)
    } else {
        error_v6(frame, decision)
    }
}

/// Where an error comes from and whom it tells: the gateway tells a container, and the destination itself
/// the host, which would not accept a packet from its own address, and the world.
#[inline(always)]
fn route_back(frame: Frame, family: Family, decision: &Cell<Decision>) -> core::result::Result<Addresses, DropReason> {
    let Addresses { from: sender, to } = frame.addresses(family)?;
    if decision.get().network == 0 || decision.get().ifindex != frame.ifindex() {
        return Ok(Addresses { from: to, to: sender });
    }
    let network = maps::network(decision.get().network).ok_or(DropReason::TooBig)?;
    let router = if family == Family::V4 {
        network.gateway_v4
    } else if sender.is_v6_link_local() || network.gateway_v6.is_none() {
        network.link_local
    } else {
        network.gateway_v6
    };
    Ok(Addresses {
        from: router,
        to: sender,
    })
}

/// What an ICMP error says.
struct Message {
    kind: u8,
    code: u8,
    /// Largest packet that would have passed, or 0.
    mtu: u16,
}

#[inline(always)]
fn message(decision: &Cell<Decision>, is_v4: bool) -> Message {
    let Decision {
        verdict, reason, mtu, ..
    } = decision.get();
    if verdict == Verdict::AnswerTooBig as u32 {
        let (kind, code) = match is_v4 {
            true => (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED),
            false => (icmpv6::PACKET_TOO_BIG, 0),
        };
        return Message { kind, code, mtu };
    }
    let (kind, code) = match (verdict == Verdict::AnswerUnreachable as u32, is_v4) {
        (true, true) => (icmp::UNREACHABLE, code(reason, DropReason::unreachable_v4)),
        (true, false) => (icmpv6::UNREACHABLE, code(reason, DropReason::unreachable_v6)),
        (false, true) => (icmp::TIME_EXCEEDED, 0),
        (false, false) => (icmpv6::TIME_EXCEEDED, 0),
    };
    Message { kind, code, mtu: 0 }
}

#[inline(always)]
fn code(reason: u32, of: impl FnOnce(DropReason) -> Option<u8>) -> u8 {
    DropReason::from_number(reason).and_then(of).unwrap_or(0)
}

/// The router's MAC: the network's, or on an uplink the one that the frame was sent to.
#[inline(always)]
fn own_mac(frame: Frame, decision: &Cell<Decision>) -> core::result::Result<[u16; 3], DropReason> {
    let mut mac = decision.get().mac.words();
    if decision.get().network == 0 {
        frame.load(0, &mut mac)?;
    }
    Ok(mac)
}

#[inline(never)]
fn error_v4(frame: Frame, decision: &Cell<Decision>) -> Result {
    let Addresses {
        from: Address([.., router]),
        to: Address([.., sender]),
    } = route_back(frame, Family::V4, decision)?;
    let message = message(decision, true);
    let mut answer = ErrorV4 {
        ip: Ipv4 {
            version_length: 0x45,
            service: 0xc0, // internetwork control (RFC 1812, 4.3.2.5)
            length: (size_of::<ErrorV4>() as u16).to_be(),
            identification: 0,
            fragment: 0x4000_u16.to_be(), // so that no identification is needed
            time_to_live: TIME_TO_LIVE,
            protocol: protocol::ICMP,
            checksum: 0,
            source: router,
            destination: sender,
        },
        kind: message.kind,
        code: message.code,
        checksum: 0,
        unused: 0,
        mtu: message.mtu.to_be(),
        quote: [0; 17],
    };
    quote(frame, size_of::<ErrorV4>() as u32, &mut answer.quote)?;
    answer.ip.checksum = checksum::fold(sum::<20>((&raw const answer.ip).cast(), 0));
    answer.checksum = checksum::fold(sum::<76>((&raw const answer.kind).cast(), 0));
    turn_round(frame, own_mac(frame, decision)?)?;
    store(frame, ETHERNET_LENGTH, &answer, BPF_F_RECOMPUTE_CSUM)
}

#[inline(never)]
fn error_v6(frame: Frame, decision: &Cell<Decision>) -> Result {
    let route = route_back(frame, Family::V6, decision)?;
    let message = message(decision, false);
    let length = (size_of::<ErrorV6>() - size_of::<Ipv6>()) as u16;
    let mut answer = ErrorV6 {
        ip: header_v6(route.from, route.to, length, TIME_TO_LIVE),
        kind: message.kind,
        code: message.code,
        checksum: 0,
        mtu: u32::from(message.mtu).to_be(),
        quote: [0; 24],
    };
    quote(frame, size_of::<ErrorV6>() as u32, &mut answer.quote)?;
    answer.checksum = checksum_v6::<136>((&raw const answer.ip.source).cast(), length);
    turn_round(frame, own_mac(frame, decision)?)?;
    store(frame, ETHERNET_LENGTH, &answer, BPF_F_RECOMPUTE_CSUM)
}

#[inline(always)]
fn header_v6(source: Address, destination: Address, payload_length: u16, hop_limit: u8) -> Ipv6 {
    Ipv6 {
        version_flow: 0x6000_0000_u32.to_be(),
        payload_length: payload_length.to_be(),
        next_header: protocol::ICMPV6,
        hop_limit,
        source,
        destination,
    }
}

/// The sum over `N` bytes at `bytes`, which lie on the stack; 20 to 136 of them, a multiple of 4.
#[inline(always)]
fn sum<const N: u32>(bytes: *const u32, start: u32) -> u32 {
    // SAFETY: the verifier checks that the bytes are the program's own
    unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, bytes.cast_mut(), N, start) as u32 }
}

/// The ICMPv6 checksum over both addresses and the message behind them, `N` bytes in all.
#[inline(always)]
fn checksum_v6<const N: u32>(addresses: *const u32, length: u16) -> u16 {
    let pseudo_header = u32::from(length).to_be() + u32::from(protocol::ICMPV6).to_be();
    checksum::fold(sum::<N>(addresses, pseudo_header))
}

/// To the sender's MAC, from `mac`.
#[inline(always)]
fn turn_round(frame: Frame, mac: [u16; 3]) -> Result {
    let mut macs = Macs::NONE;
    frame.load(0, &mut macs)?;
    macs.destination = macs.source;
    macs.source = mac;
    store(frame, 0, &macs, 0)
}

/// Bytes that [`quote`] takes out behind the Ethernet header: more than the headers in front of any checksum that
/// a device fills in.
const TAKEN_OUT: u32 = 256;

/// Reads what is quoted, and makes the frame as long as an Ethernet header and `length` bytes.
///
/// The packet may have left its checksum to a device (CHECKSUM_PARTIAL). That mark would have the device write one
/// into the answer, which has its own. The kernel takes the mark away when the bytes in front of the place where that
/// checksum starts are taken out (`skb_postpull_rcsum`).
#[inline(always)]
fn quote<T: Copy>(frame: Frame, length: u32, into: &mut T) -> Result {
    // a short packet is filled up with zeros (RFC 4884, 5.5)
    change_tail(frame, ETHERNET_LENGTH + length + TAKEN_OUT)?;
    frame.load(ETHERNET_LENGTH, into)?;
    // SAFETY: the context of the running program; no pointer into the frame is kept
    match unsafe { bpf_skb_adjust_room(frame.0, -(TAKEN_OUT as i32), BPF_ADJ_ROOM_MAC, 0) } {
        0 => Ok(()),
        _ => Err(DropReason::Internal),
    }
}

/// Makes the frame as long as an Ethernet header and `payload`.
#[inline(always)]
fn resize<T>(frame: Frame, _payload: &T) -> Result {
    change_tail(frame, ETHERNET_LENGTH + size_of::<T>() as u32)
}

#[inline(always)]
fn change_tail(frame: Frame, length: u32) -> Result {
    // SAFETY: the context of the running program; no pointer into the frame is kept
    match unsafe { bpf_skb_change_tail(frame.0, length, 0) } {
        0 => Ok(()),
        _ => Err(DropReason::Internal),
    }
}

/// `flags` must say RECOMPUTE_CSUM behind the Ethernet header: a device's sum starts there.
#[inline(always)]
pub fn store<T>(frame: Frame, offset: u32, payload: &T, flags: u32) -> Result {
    // SAFETY: the helper copies `T`'s bytes; every T here is repr(C) without padding, or a cell of such a one
    let result = unsafe {
        bpf_skb_store_bytes(
            frame.0,
            offset,
            core::ptr::from_ref(payload).cast(),
            size_of::<T>() as u32,
            flags.into(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(DropReason::Malformed),
    }
}
