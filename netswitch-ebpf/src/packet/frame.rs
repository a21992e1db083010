//! The only raw packet access: bounds-checked reads.
//!
//! Nothing here writes: a direct write anywhere in a program makes the kernel copy
//! the head of every cloned skb (all of TCP) on entry; `commit/rewrite.rs` uses helpers instead.

use core::{cell::Cell, mem::MaybeUninit};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_skb_load_bytes, bpf_skb_pull_data},
};
use netswitch_common::{address::Address, family::Family, verdict::DropReason};

use super::plain::Bytes;
use crate::headers::{Arp, ETHERNET_LENGTH, Ipv6, ethertype};

/// Bits of a transport header's offset: six extension headers end before it, and the verifier sees that the
/// offset is small.
pub const LONGEST: u16 = 0x3fff;

/// One skb in a TC hook.
#[derive(Clone, Copy)]
pub struct Frame(pub *mut __sk_buff);

impl Frame {
    #[inline(always)]
    pub fn new(skb: *mut __sk_buff) -> Self {
        Self(skb)
    }

    /// Bytes on the wire, Ethernet header included; the length fields of BIG TCP packets say 0.
    #[inline(always)]
    pub fn length(self) -> u32 {
        // SAFETY: the context of the running program, as for every field below
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    pub fn ifindex(self) -> u32 {
        // SAFETY: as above
        unsafe { (*self.0).ifindex }
    }

    /// Whether the kernel found the device's own MAC as destination; groups and other hosts' are not.
    #[inline(always)]
    pub fn is_for_us(self) -> bool {
        const PACKET_HOST: u32 = 0;
        // SAFETY: as above
        unsafe { (*self.0).pkt_type == PACKET_HOST }
    }

    /// Payload bytes per packet that this will be cut into; 0 if it is one packet.
    #[inline(always)]
    pub fn segment(self) -> u32 {
        // SAFETY: as above
        unsafe { (*self.0).gso_size }
    }

    /// How many packets this will be cut into, where the sender has said it.
    #[inline(always)]
    pub fn segments(self) -> u32 {
        // SAFETY: as above
        unsafe { (*self.0).gso_segs }
    }

    /// A VLAN tag that the kernel has moved out of the frame.
    #[inline(always)]
    pub fn has_tag_aside(self) -> bool {
        // SAFETY: as above
        unsafe { (*self.0).vlan_present != 0 }
    }

    /// Whether the frame's destination is this MAC.
    #[inline(always)]
    pub fn goes_to(self, mac: [u16; 3]) -> bool {
        self.bytes().copy(0) == Some(mac)
    }

    /// The EtherType that the kernel has found or set; network order.
    #[inline(always)]
    pub fn protocol(self) -> u16 {
        // SAFETY: as above
        unsafe { (*self.0).protocol as u16 }
    }

    /// What programs before ours have marked it with.
    #[inline(always)]
    pub fn mark(self) -> u32 {
        // SAFETY: as above
        unsafe { (*self.0).mark }
    }

    /// The one thing that no kernel takes off a packet which changes namespaces.
    #[inline(always)]
    pub fn clear_mark(self) {
        // SAFETY: as above
        unsafe { (*self.0).mark = 0 };
    }

    /// A header at `offset`, by direct access; brings it into the linear part if it is not there.
    ///
    /// `offset` must be provably small, and `T` at least two bytes (the verifier follows no others).
    #[inline(always)]
    pub fn read<T: Copy>(self, offset: u32) -> Option<T> {
        match self.bytes().copy(offset) {
            Some(header) => Some(header),
            None => {
                let end = offset + size_of::<T>() as u32;
                // SAFETY: the context of the running program; pointers are derived anew afterwards
                if self.length() < end || unsafe { bpf_skb_pull_data(self.0, end) } != 0 {
                    return None;
                }
                self.bytes().copy(offset)
            }
        }
    }

    /// What can be read without a helper.
    #[inline(always)]
    pub fn bytes(self) -> Bytes {
        // SAFETY: the context of the running program and its fields
        unsafe {
            bounds::<{ core::mem::offset_of!(__sk_buff, data) }, { core::mem::offset_of!(__sk_buff, data_end) }>(
                self.0.cast(),
            )
        }
    }

    /// A copy by helper, for offsets of any size.
    #[inline(always)]
    pub fn load<T: Copy>(self, offset: u32, into: &mut T) -> Result<(), DropReason> {
        // SAFETY: as a place that nothing has been written to
        self.fill(offset, unsafe {
            &mut *core::ptr::from_mut(into).cast::<MaybeUninit<T>>()
        })
        .map(|_| ())
    }

    /// The same into a cell.
    #[inline(always)]
    pub fn load_into<T: Copy>(self, offset: u32, cell: &Cell<T>) -> Result<(), DropReason> {
        // SAFETY: the helper fills exactly `T`, which is made of integers, or zeroes it and fails
        let result = unsafe { bpf_skb_load_bytes(self.0.cast(), offset, cell.as_ptr().cast(), size_of::<T>() as u32) };
        match result {
            0 => Ok(()),
            _ => Err(DropReason::Malformed),
        }
    }

    /// The same into a place that holds nothing yet.
    #[inline(always)]
    pub fn fill<T: Copy>(self, offset: u32, into: &mut MaybeUninit<T>) -> Result<&mut T, DropReason> {
        // SAFETY: the helper fills exactly `T`, which is made of integers, or zeroes it and fails
        unsafe {
            let result = bpf_skb_load_bytes(self.0.cast(), offset, into.as_mut_ptr().cast(), size_of::<T>() as u32);
            match result {
                0 => Ok(into.assume_init_mut()),
                _ => Err(DropReason::Malformed),
            }
        }
    }

    pub fn arp(self) -> Result<Arp, DropReason> {
        self.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)
    }

    /// Source and destination; none unless it is IP.
    #[inline(always)]
    pub fn addresses(self, family: Family) -> Result<Addresses, DropReason> {
        let mut addresses = Addresses {
            from: Address::NONE,
            to: Address::NONE,
        };
        match family {
            Family::V4 => {
                let mut words = [0_u32; 2];
                self.load(ETHERNET_LENGTH + 12, &mut words)?;
                addresses.from = Address::v4(words[0]);
                addresses.to = Address::v4(words[1]);
            }
            Family::V6 => self.load(ETHERNET_LENGTH + 8, &mut addresses)?,
            Family::Arp | Family::Other => {}
        }
        Ok(addresses)
    }

    /// Of the Ethernet header, as words.
    pub fn destination_mac(self) -> Result<[u16; 3], DropReason> {
        let mut mac = [0; 3];
        self.load(0, &mut mac)?;
        Ok(mac)
    }

    pub fn source_mac(self) -> Result<[u16; 3], DropReason> {
        let mut mac = [0; 3];
        self.load(6, &mut mac)?;
        Ok(mac)
    }

    /// Where an IP packet ends; behind it there may be padding.
    pub fn ip_length(self, family: Family) -> Result<u32, DropReason> {
        let mut length = 0_u16;
        if family == Family::V4 {
            self.load(ETHERNET_LENGTH + 2, &mut length)?;
            return Ok(ETHERNET_LENGTH + u32::from(u16::from_be(length)));
        }
        self.load(ETHERNET_LENGTH + 4, &mut length)?;
        Ok(ETHERNET_LENGTH + size_of::<Ipv6>() as u32 + u32::from(u16::from_be(length)))
    }

    /// The same; of a BIG TCP packet, whose length fields say 0, where the frame ends.
    pub fn packet_end(self, family: Family) -> Result<u32, DropReason> {
        match self.segment() {
            0 => self.ip_length(family),
            _ => Ok(self.length()),
        }
    }

    /// What it says it is, untagged; for frames that have been parsed.
    #[inline(always)]
    pub fn family(self) -> Family {
        let mut kind = 0_u16;
        match self.load(12, &mut kind).map(|()| kind) {
            Ok(ethertype::IPV4) => Family::V4,
            Ok(ethertype::IPV6) => Family::V6,
            Ok(ethertype::ARP) => Family::Arp,
            _ => Family::Other,
        }
    }

    /// Whether a packet that has been parsed is IPv4 and not IPv6.
    #[inline(always)]
    pub fn is_v4(self) -> Result<bool, DropReason> {
        let mut kind = 0_u16;
        self.load(12, &mut kind)?;
        Ok(kind == ethertype::IPV4)
    }
}

/// Where a packet starts and ends: the context's fields at `DATA` and `END`. In assembly, because LLVM would
/// keep these 32-bit fields in 32-bit registers now and then, and the verifier takes only 64-bit ones for
/// packet pointers.
///
/// # Safety
/// `context` must be that of the running program, the fields its `data` and `data_end`.
#[inline(always)]
pub unsafe fn bounds<const DATA: usize, const END: usize>(context: *const core::ffi::c_void) -> Bytes {
    let (start, end): (usize, usize);
    // SAFETY: the caller's
    unsafe {
        core::arch::asm!(
            "{start} = *(u32 *)({context} + {at})",
            "{end} = *(u32 *)({context} + {at_end})",
            context = in(reg) context,
            start = out(reg) start,
            end = out(reg) end,
            at = const DATA,
            at_end = const END,
            options(readonly, nostack),
        );
    }
    Bytes { start, end }
}

/// Source and destination of an IP packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Addresses {
    pub from: Address,
    pub to: Address,
}
