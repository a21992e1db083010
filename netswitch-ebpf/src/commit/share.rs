//! Share, carried out: a copy of the broadcast goes to the container, and the frame is as it was again.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_PSEUDO_HDR},
    helpers::bpf_clone_redirect,
};
use netswitch_common::{checksum, verdict::DropReason};

use super::{rewrite::store, translate};
use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Ipv4, Macs, checksum_at, protocol},
    maps,
    packet::Frame,
    stages::share,
};

type Result = core::result::Result<(), DropReason>;

const ADDRESS_AT: u32 = ETHERNET_LENGTH + 16;
const SUM_AT: u32 = ETHERNET_LENGTH + 10;

/// Where a frame goes to.
#[derive(Clone, Copy)]
struct Goal {
    macs: Macs,
    address: u32,
    /// Network order.
    port: u16,
}

/// To the host's own address, the copy arrives once more: it belongs to a flow, or begins one. One from a client without
/// an address goes to the container at once, as a broadcast there, for nothing answers to it by this way.
#[inline(always)]
pub fn share(frame: Frame) -> Result {
    outcome(share_broadcast(frame.0))
}

#[unsafe(no_mangle)]
extern "C" fn share_broadcast(skb: *mut __sk_buff) -> u32 {
    let frame = Frame::new(skb);
    number(copy(frame, frame.ifindex()))
}

#[inline(always)]
fn copy(frame: Frame, ifindex: u32) -> Result {
    let macs: Macs = frame.read(0).ok_or(DropReason::Malformed)?;
    let header: Ipv4 = frame.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)?;
    let transport = ETHERNET_LENGTH + u32::from(header.version_length & 0xf) * 4;
    let mut port = 0_u16;
    frame.load(transport + 2, &mut port)?;
    let before = Goal {
        macs,
        address: header.destination,
        port,
    };
    let (after, device, flags) = match header.source {
        0 => to_container(frame, transport, before)?,
        _ => to_host(ifindex, before)?,
    };
    set(frame, transport, before, after)?;
    // SAFETY: the context of the running program
    unsafe { bpf_clone_redirect(frame.0, device, flags) };
    set(frame, transport, after, before)
}

#[inline(always)]
fn to_host(ifindex: u32, before: Goal) -> core::result::Result<(Goal, u32, u64), DropReason> {
    let uplink = maps::uplink(ifindex).ok_or(DropReason::NoUplink)?;
    let macs = Macs {
        destination: uplink.mac.words(),
        ..before.macs
    };
    let address = uplink.v4.as_v4().ok_or(DropReason::NoUplink)?;
    Ok((
        Goal {
            macs,
            address,
            ..before
        },
        ifindex,
        BPF_F_INGRESS.into(),
    ))
}

#[inline(always)]
fn to_container(frame: Frame, transport: u32, before: Goal) -> core::result::Result<(Goal, u32, u64), DropReason> {
    let (_, publication) = share::find(frame, transport).ok_or(DropReason::NotPublished)?;
    let slot = maps::slot(publication.endpoint).ok_or(DropReason::NotPublished)?;
    let network = maps::network(publication.network).ok_or(DropReason::NotPublished)?;
    let goal = Goal {
        macs: Macs {
            destination: publication.mac.words(),
            source: network.mac.words(),
        },
        port: publication.port(u16::from_be(before.port)).to_be(),
        ..before
    };
    Ok((goal, slot.ifindex, 0))
}

/// Writes a goal in place of another one.
#[inline(always)]
fn set(frame: Frame, transport: u32, before: Goal, after: Goal) -> Result {
    let of_address = halves(!before.address) + halves(after.address);
    let of_port = u32::from(!before.port) + u32::from(after.port);
    let sum_at = transport + checksum_at::UDP;
    let flags = translate::no_checksum(protocol::UDP);
    translate::add(frame, sum_at, of_address, flags | u64::from(BPF_F_PSEUDO_HDR))?;
    translate::add(frame, sum_at, of_port, flags)?;
    store(frame, transport + 2, &after.port, 0)?;
    let mut sum = 0_u16;
    frame.load(SUM_AT, &mut sum)?;
    let sum = checksum::fold(u32::from(!sum) + of_address);
    store(frame, SUM_AT, &sum, 0)?;
    store(frame, ADDRESS_AT, &after.address, 0)?;
    store(frame, 0, &after.macs, 0)
}

#[inline(always)]
fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}
