//! Translate: a packet of a flow gets the flow's other addresses and ports. All writes go through
//! helpers (see `packet/frame.rs`); checksums are changed by what the translation adds, never summed anew.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::{bpf_csum_diff, bpf_l4_csum_replace, bpf_loop},
};
use netswitch_common::{
    address::Address,
    checksum::{self, Crc32cChange},
    verdict::DropReason,
};

use super::rewrite::store;
use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Macs, checksum_of, protocol},
    maps,
    packet::{Frame, LONGEST},
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Set at load, where the kernel knows it (6.16): changing the addresses of an IPv6 packet and its
/// checksum leaves the sum over the whole packet as it was.
#[unsafe(no_mangle)]
static FLAG_IPV6: Global<u64> = Global::new(0);

/// Time to live to destination of an IPv4 header.
#[repr(C)]
#[derive(Clone, Copy)]
struct PartV4 {
    /// Time to live and protocol.
    word: u16,
    checksum: u16,
    from: u32,
    to: u32,
}

/// Payload length to destination of an IPv6 header.
#[repr(C)]
#[derive(Clone, Copy)]
struct PartV6 {
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    from: Address,
    to: Address,
}

const PART_V4: u32 = ETHERNET_LENGTH + 8;
const PART_V6: u32 = ETHERNET_LENGTH + 4;

/// The frame down to the ports of a TCP or UDP packet without options: written in one piece.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct FrontV4 {
    macs: Macs,
    kind: u16,
    start: [u16; 4],
    ip: PartV4,
    ports: [u16; 2],
}

/// The same without extension headers.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct FrontV6 {
    macs: Macs,
    kind: u16,
    start: [u16; 2],
    ip: PartV6,
    ports: [u16; 2],
}

/// Rewrites a packet, or an ICMP error about one, as `work` says; the way out is the caller's.
#[inline(always)]
pub fn translate(frame: Frame, work: &Work) -> Result {
    outcome(if work.quoted != 0 {
        translate_error(frame.0)
    } else if is_plain(work) {
        translate_plain(frame.0)
    } else {
        translate_packet(frame.0)
    })
}

/// Whether it is the most common kind of packet, a [`FrontV4`] or [`FrontV6`].
#[inline(always)]
fn is_plain(work: &Work) -> bool {
    let ports = match work.is_v4() {
        true => core::mem::offset_of!(FrontV4, ports),
        false => core::mem::offset_of!(FrontV6, ports),
    };
    usize::from(work.headers.transport) == ports && matches!(work.headers.protocol, protocol::TCP | protocol::UDP)
}

#[unsafe(no_mangle)]
extern "C" fn translate_plain(skb: *mut __sk_buff) -> u32 {
    maps::work().map_or(DropReason::Malformed as u32, |work| {
        number(plain(Frame::new(skb), work))
    })
}

#[unsafe(no_mangle)]
extern "C" fn translate_packet(skb: *mut __sk_buff) -> u32 {
    maps::work().map_or(DropReason::Malformed as u32, |work| {
        number(packet(Frame::new(skb), work))
    })
}

#[unsafe(no_mangle)]
extern "C" fn translate_error(skb: *mut __sk_buff) -> u32 {
    maps::work().map_or(DropReason::Malformed as u32, |work| {
        number(error(Frame::new(skb), work))
    })
}

/// A [`FrontV4`] or [`FrontV6`].
#[inline(always)]
pub fn plain(frame: Frame, work: &Work) -> Result {
    checksums(frame, work)?;
    if work.is_v4() {
        let mut front: FrontV4 = frame.read(0).ok_or(DropReason::Malformed)?;
        front.change(work);
        store(frame, 0, &front, 0)
    } else {
        let mut front: FrontV6 = frame.read(0).ok_or(DropReason::Malformed)?;
        front.change(work);
        store(frame, 0, &front, 0)
    }
}

#[inline(always)]
fn packet(frame: Frame, work: &Work) -> Result {
    if work.headers.transport != 0 {
        transport(frame, work)?;
    }
    header(frame, work, work.translated.from, work.translated.to, work.address_sum)
}

#[inline(always)]
fn has_new_ports(work: &Work) -> bool {
    work.translated.from_port != work.tuple.from_port || work.translated.to_port != work.tuple.to_port
}

/// Checksum and ports behind the IP header.
#[inline(always)]
fn transport(frame: Frame, work: &Work) -> Result {
    let at = u32::from(work.headers.transport);
    if work.headers.protocol == protocol::SCTP {
        return match has_new_ports(work) {
            true => sctp(frame, work),
            false => Ok(()),
        };
    }
    checksums(frame, work)?;
    if !has_new_ports(work) || checksum_of(work.headers.protocol).is_none() {
        return Ok(());
    }
    if matches!(work.headers.protocol, protocol::ICMP | protocol::ICMPV6) {
        // the identifier stands on the asker's side of the tuple
        return store(frame, at + 4, &(work.translated.from_port | work.translated.to_port), 0);
    }
    store(frame, at, &[work.translated.from_port, work.translated.to_port], 0)
}

/// The checksum behind the IP header.
#[inline(always)]
fn checksums(frame: Frame, work: &Work) -> Result {
    let Some(checksum) = checksum_of(work.headers.protocol) else {
        return Ok(());
    };
    let at = u32::from(work.headers.transport & LONGEST) + checksum;
    let no_checksum = no_checksum(work.headers.protocol);
    // ICMP's covers no addresses
    if work.headers.protocol != protocol::ICMP {
        let before: u16 = frame.read(at).ok_or(DropReason::Malformed)?;
        add(frame, at, work.address_sum, no_checksum | pseudo_header(work))?;
        let after: u16 = frame.read(at).ok_or(DropReason::Malformed)?;
        if checksum::is_unfinished(before, after, work.address_sum) {
            return Ok(());
        }
    }
    match has_new_ports(work) {
        true => add(frame, at, work.port_sum, no_checksum),
        false => Ok(()),
    }
}

/// UDP's checksum of 0 stays: there is none. What comes to 0 becomes all ones, which UDP-Lite wants, too (RFC 3828, 3.1).
#[inline(always)]
pub fn no_checksum(protocol: u8) -> u64 {
    match protocol {
        protocol::UDP | protocol::UDP_LITE => u64::from(BPF_F_MARK_MANGLED_0),
        _ => 0,
    }
}

#[inline(always)]
fn pseudo_header(work: &Work) -> u64 {
    let family = if work.is_v4() { 0 } else { FLAG_IPV6.load() };
    u64::from(BPF_F_PSEUDO_HDR) | family
}

/// Adds to a transport checksum, or to what a device will still add to.
#[inline(always)]
pub fn add(frame: Frame, offset: u32, sum: u32, flags: u64) -> Result {
    // SAFETY: the context of the running program
    match unsafe { bpf_l4_csum_replace(frame.0, offset, 0, sum.into(), flags) } {
        0 => Ok(()),
        _ => Err(DropReason::Malformed),
    }
}

impl FrontV4 {
    #[inline(always)]
    pub fn change(&mut self, work: &Work) {
        let mut ip = self.ip;
        ip.change(work.hops, work.translated.from, work.translated.to, work.address_sum);
        self.ip = ip;
        self.macs = work.macs;
        self.ports = [work.translated.from_port, work.translated.to_port];
    }
}

impl FrontV6 {
    #[inline(always)]
    pub fn change(&mut self, work: &Work) {
        let mut ip = self.ip;
        ip.change(work.hops, work.translated.from, work.translated.to);
        self.ip = ip;
        self.macs = work.macs;
        self.ports = [work.translated.from_port, work.translated.to_port];
    }
}

impl PartV4 {
    /// So many hops less, other addresses, and the checksum that follows from it.
    #[inline(always)]
    fn change(&mut self, hops: u8, from: Address, to: Address, sum: u32) {
        const HOP: u16 = 0x0100_u16.to_be();
        let word = self.word.wrapping_sub(u16::from(hops) * HOP);
        let total = u32::from(!self.checksum) + u32::from(!self.word) + u32::from(word) + (sum & 0xffff) + (sum >> 16);
        self.word = word;
        self.checksum = checksum::fold(total);
        self.from = from.0[3];
        self.to = to.0[3];
    }
}

impl PartV6 {
    /// So many hops less and other addresses.
    #[inline(always)]
    fn change(&mut self, hops: u8, from: Address, to: Address) {
        self.hop_limit = self.hop_limit.wrapping_sub(hops);
        self.from = from;
        self.to = to;
    }
}

/// Ethernet and IP header of what is not written in one piece.
#[inline(always)]
fn header(frame: Frame, work: &Work, from: Address, to: Address, sum: u32) -> Result {
    if work.is_v4() {
        let mut part = MaybeUninit::<PartV4>::uninit();
        let part = frame.fill(PART_V4, &mut part)?;
        part.change(work.hops, from, to, sum);
        store(frame, PART_V4, part, 0)?;
    } else {
        let mut part = MaybeUninit::<PartV6>::uninit();
        let part = frame.fill(PART_V6, &mut part)?;
        part.change(work.hops, from, to);
        store(frame, PART_V6, part, 0)?;
    }
    store(frame, 0, &work.macs, 0)
}

/// SCTP's checksum covers no addresses, and its ports by a CRC (RFC 9260, 6.8): what changes in the first
/// four bytes changes it in a way that only depends on how many bytes follow. A sum of 0 is one that a device will
/// fill in (CHECKSUM_PARTIAL with csum_not_inet): it sums the field as it finds it, so that stays 0.
#[inline(always)]
fn sctp(frame: Frame, work: &Work) -> Result {
    let at = u32::from(work.headers.transport);
    let mut header = [0_u32; 3];
    frame.load(at, &mut header)?;
    let ports = u32::from(work.translated.from_port) | u32::from(work.translated.to_port) << 16;
    let difference = header[0] ^ ports;
    header[0] = ports;
    if header[2] != 0 {
        let length = frame.ip_length(work.headers.family)? - at;
        let mut change = Crc32cChange::new(difference, length - 4);
        // SAFETY: the callback has the signature that the helper wants and runs before this returns
        unsafe {
            bpf_loop(
                Crc32cChange::STEPS,
                crc32c_step as *mut c_void,
                (&raw mut change).cast(),
                0,
            );
        }
        header[2] ^= change.finish();
    }
    store(frame, at, &header, 0)
}

extern "C" fn crc32c_step(_step: u64, change: &mut Crc32cChange) -> i64 {
    change.step();
    0
}

/// An ICMP error is about a packet that went the other way: that one gets its own addresses and ports
/// back, and so does the error if it comes from the flow's end and not from a router on the way.
#[inline(always)]
fn error(frame: Frame, work: &mut Work) -> Result {
    let outer = frame.addresses(work.headers.family)?;
    let from = if outer.from == work.tuple.from {
        work.translated.from
    } else {
        outer.from
    };
    let to = work.translated.to;
    work.pairs = [[outer.from, outer.to], [from, to]];
    let length = size_of_val(&work.pairs[0]) as u32;
    // SAFETY: both are in a map's value, with this length
    let outer_sum = unsafe {
        bpf_csum_diff(
            (&raw mut work.pairs[0]).cast(),
            length,
            (&raw mut work.pairs[1]).cast(),
            length,
            0,
        )
    } as u32;
    let checksum = u32::from(work.headers.transport) + 2;
    if work.is_v4() {
        // the quoted header's own checksum evens its addresses out
        let mut quoted = [0_u16; 5];
        frame.load(work.quoted + 10, &mut quoted)?;
        let sum = work.address_sum;
        quoted[0] = checksum::fold(u32::from(!quoted[0]) + (sum & 0xffff) + (sum >> 16));
        let words = |address: Address| [address.0[3] as u16, (address.0[3] >> 16) as u16];
        [quoted[1], quoted[2]] = words(work.translated.to);
        [quoted[3], quoted[4]] = words(work.translated.from);
        store(frame, work.quoted + 10, &quoted, 0)?;
    } else {
        work.pairs[0] = [work.translated.to, work.translated.from];
        store(frame, work.quoted + 8, &work.pairs[0], 0)?;
        add(frame, checksum, work.address_sum, 0)?;
        add(frame, checksum, outer_sum, pseudo_header(work))?;
    }
    quoted_ports(frame, work, checksum)?;
    header(frame, work, from, to, outer_sum)
}

/// The ports of the quoted packet, whose sender is the error's receiver.
#[inline(always)]
fn quoted_ports(frame: Frame, work: &Work, checksum: u32) -> Result {
    if !has_new_ports(work) {
        return Ok(());
    }
    add(frame, checksum, work.port_sum, 0)?;
    match work.tuple.protocol as u8 {
        protocol::ICMP | protocol::ICMPV6 => store(
            frame,
            work.quoted_transport + 4,
            &(work.translated.from_port | work.translated.to_port),
            0,
        ),
        _ => store(
            frame,
            work.quoted_transport,
            &[work.translated.to_port, work.translated.from_port],
            0,
        ),
    }
}
