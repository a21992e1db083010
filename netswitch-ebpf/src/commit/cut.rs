//! Cut: commit's way to make fragments of a packet. Each arrives as if its sender had cut the packet.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM},
    check_bounds_signed,
    helpers::{bpf_clone_redirect, bpf_loop, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
};
use netswitch_common::{
    checksum,
    cut::{self, Cutting, Fragment, HEADERS, LONGEST},
    verdict::DropReason,
};

use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Ipv4},
    maps,
    packet::Frame,
};

type Result = core::result::Result<(), DropReason>;

/// Cuts a packet into fragments that an MTU takes.
#[inline(always)]
pub fn cut(frame: Frame, mtu: u16) -> Result {
    outcome(cut_packet(frame.0, mtu.into()))
}

#[unsafe(no_mangle)]
extern "C" fn cut_packet(skb: *mut __sk_buff, mtu: u32) -> u32 {
    number(make(Frame::new(skb), mtu as u16))
}

#[inline(always)]
fn make(frame: Frame, mtu: u16) -> Result {
    let step = cut::step(mtu);
    let sheet = maps::CUTTING.get_ptr_mut(0).ok_or(DropReason::Internal)?;
    let header: Ipv4 = frame.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)?;
    let bytes = u32::from(u16::from_be(header.length)).wrapping_sub(size_of::<Ipv4>() as u32);
    if step == 0 || !check_bounds_signed(i64::from(bytes), 1, LONGEST as i64) {
        return Err(DropReason::TooBig);
    }
    // SAFETY: a per-CPU entry; the length was checked against its size
    let loaded = unsafe {
        bpf_skb_load_bytes(frame.0.cast(), 0, (&raw mut (*sheet).headers).cast(), HEADERS as u32)
            | bpf_skb_load_bytes(frame.0.cast(), HEADERS as u32, (&raw mut (*sheet).data).cast(), bytes)
    };
    if loaded != 0 {
        return Err(DropReason::Malformed);
    }
    let mut round = Round {
        frame,
        bytes,
        step,
        field: u16::from_be(header.fragment),
        _pad: [0; 3],
    };
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(bytes.div_ceil(step), send as *mut c_void, (&raw mut round).cast(), 0) };
    Ok(())
}

/// What `bpf_loop` passes from fragment to fragment.
#[repr(C)]
struct Round {
    frame: Frame,
    bytes: u32,
    step: u32,
    /// Of the packet that is cut.
    field: u16,
    _pad: [u16; 3],
}

extern "C" fn send(number: u64, round: &mut Round) -> i64 {
    let frame = round.frame;
    let Some(sheet) = maps::CUTTING.get_ptr_mut(0) else {
        return 1;
    };
    let Some(Fragment { start, length, field }) = cut::fragment(number as u32, round.step, round.bytes, round.field)
    else {
        return 1;
    };
    if !check_bounds_signed(i64::from(start), 0, LONGEST as i64)
        || !check_bounds_signed(i64::from(length), 1, LONGEST as i64)
    {
        return 1;
    }
    // SAFETY: the per-CPU entry that `make` has filled; start and length were checked. A device's sum over the packet
    // (CHECKSUM_COMPLETE) starts behind the Ethernet header
    unsafe {
        set_header(sheet, length, field);
        let headers = (&raw const (*sheet).headers).cast::<u8>();
        let data = (&raw const (*sheet).data).cast::<u8>().add(start as usize);
        let summed = u64::from(BPF_F_RECOMPUTE_CSUM);
        if bpf_skb_change_tail(frame.0, HEADERS as u32 + length, 0) == 0
            && bpf_skb_store_bytes(frame.0, 0, headers.cast(), ETHERNET_LENGTH, 0) == 0
            && bpf_skb_store_bytes(
                frame.0,
                ETHERNET_LENGTH,
                headers.add(ETHERNET_LENGTH as usize).cast(),
                size_of::<Ipv4>() as u32,
                summed,
            ) == 0
            && bpf_skb_store_bytes(frame.0, HEADERS as u32, data.cast(), length, summed) == 0
        {
            bpf_clone_redirect(frame.0, frame.ifindex(), BPF_F_INGRESS.into());
        }
    }
    0
}

/// Writes length, place and checksum of the IPv4 header.
///
/// # Safety
/// `sheet` must be an entry of CUTTING.
#[inline(always)]
unsafe fn set_header(sheet: *mut Cutting, length: u32, field: u16) {
    // SAFETY: the header is inside the entry, at an even place
    unsafe {
        let header = (&raw mut (*sheet).headers).cast::<u8>().add(ETHERNET_LENGTH as usize);
        let word = |at: usize| header.add(at).cast::<u16>();
        word(2).write((length as u16 + size_of::<Ipv4>() as u16).to_be());
        word(6).write(field.to_be());
        word(10).write(0);
        let mut sum = 0;
        for at in 0..size_of::<Ipv4>() / 2 {
            sum += u32::from(word(2 * at).read());
        }
        word(10).write(checksum::fold(sum));
    }
}
