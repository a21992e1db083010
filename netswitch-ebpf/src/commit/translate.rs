//! Translate: a packet of a flow gets the flow's other addresses and ports. All writes go through
//! helpers (see `packet/frame.rs`); checksums are changed by what the translation adds, never summed anew.

mod sctp;

use core::{cell::Cell, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::{bpf_csum_diff, bpf_l4_csum_replace},
};
use netswitch_common::{address::Address, checksum, flow::Tuple, verdict::DropReason};

use super::rewrite::store;
use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Macs, checksum_of, protocol},
    maps,
    packet::{Frame, LONGEST},
    place::{copy, part},
    work::{Leaving, Read, Translation, Work},
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
    pub macs: Macs,
    kind: u16,
    start: [u16; 4],
    ip: PartV4,
    ports: [u16; 2],
}

/// The same without extension headers.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct FrontV6 {
    pub macs: Macs,
    kind: u16,
    start: [u16; 2],
    ip: PartV6,
    ports: [u16; 2],
}

/// Rewrites a packet, or an ICMP error about one, as the sheet says; the way out is the caller's.
#[inline(always)]
pub fn translate(frame: Frame, read: &Read) -> Result {
    outcome(if read.is_quoting() {
        translate_error(frame.0)
    } else if is_plain(read) {
        translate_plain(frame.0)
    } else {
        translate_packet(frame.0)
    })
}

/// Whether it is the most common kind of packet, a [`FrontV4`] or [`FrontV6`].
#[inline(always)]
fn is_plain(read: &Read) -> bool {
    let ports = match read.is_v4() {
        true => core::mem::offset_of!(FrontV4, ports),
        false => core::mem::offset_of!(FrontV6, ports),
    };
    let headers = read.headers.get();
    usize::from(headers.transport) == ports && matches!(headers.protocol, protocol::TCP | protocol::UDP)
}

#[unsafe(no_mangle)]
extern "C" fn translate_plain(skb: *mut __sk_buff) -> u32 {
    with_sheet(skb, |frame, _, read, translation, leaving| {
        plain(
            frame,
            read,
            translation,
            |macs| *macs = leaving.get().macs,
            leaving.get().hops,
        )
    })
}

#[unsafe(no_mangle)]
extern "C" fn translate_packet(skb: *mut __sk_buff) -> u32 {
    with_sheet(skb, |frame, _, read, translation, leaving| {
        packet(frame, read, translation, leaving)
    })
}

#[unsafe(no_mangle)]
extern "C" fn translate_error(skb: *mut __sk_buff) -> u32 {
    with_sheet(skb, error)
}

/// Rewrites with what the sheet says of the packet.
#[inline(always)]
fn with_sheet(
    skb: *mut __sk_buff,
    rewrite: impl FnOnce(Frame, &Work, &Read, &Translation, &Cell<Leaving>) -> Result,
) -> u32 {
    let Some(work) = maps::work() else {
        return DropReason::Internal as u32;
    };
    match (work.read(), work.translation(), work.leaving()) {
        (Some(read), Some(translation), Some(leaving)) => {
            number(rewrite(Frame::new(skb), work, read, translation, leaving))
        }
        _ => DropReason::Internal as u32,
    }
}

/// A [`FrontV4`] or [`FrontV6`].
#[inline(always)]
pub fn plain(
    frame: Frame,
    read: &Read,
    translation: &Translation,
    set_macs: impl FnOnce(&mut Macs),
    hops: u8,
) -> Result {
    checksums(frame, read, translation)?;
    if read.is_v4() {
        let mut front: FrontV4 = frame.read(0).ok_or(DropReason::Malformed)?;
        front.change(translation, hops);
        set_macs(&mut front.macs);
        store(frame, 0, &front, 0)
    } else {
        let mut front: FrontV6 = frame.read(0).ok_or(DropReason::Malformed)?;
        front.change(translation, hops);
        set_macs(&mut front.macs);
        store(frame, 0, &front, 0)
    }
}

#[inline(always)]
fn packet(frame: Frame, read: &Read, translation: &Translation, leaving: &Cell<Leaving>) -> Result {
    if read.headers.get().transport != 0 {
        transport(frame, read, translation)?;
    }
    let (from, to) = (part!(translation.tuple, from), part!(translation.tuple, to));
    header(frame, read, leaving, from, to, translation.address_sum.get())
}

/// Checksum and ports behind the IP header.
#[inline(always)]
fn transport(frame: Frame, read: &Read, translation: &Translation) -> Result {
    let headers = read.headers.get();
    let at = u32::from(headers.transport);
    if headers.protocol == protocol::SCTP {
        return match translation.has_new_ports(read) {
            true => sctp::rewrite(frame, headers, translation.tuple.get()),
            false => Ok(()),
        };
    }
    checksums(frame, read, translation)?;
    if !translation.has_new_ports(read) || checksum_of(headers.protocol).is_none() {
        return Ok(());
    }
    let Tuple { from_port, to_port, .. } = translation.tuple.get();
    if matches!(headers.protocol, protocol::ICMP | protocol::ICMPV6) {
        // the identifier stands on the asker's side of the tuple
        return store(frame, at + 4, &(from_port | to_port), 0);
    }
    store(frame, at, &[from_port, to_port], 0)
}

/// The checksum behind the IP header.
#[inline(always)]
fn checksums(frame: Frame, read: &Read, translation: &Translation) -> Result {
    let headers = read.headers.get();
    let Some(checksum) = checksum_of(headers.protocol) else {
        return Ok(());
    };
    let at = u32::from(headers.transport & LONGEST) + checksum;
    let no_checksum = no_checksum(headers.protocol);
    // ICMP's covers no addresses
    if headers.protocol != protocol::ICMP {
        let change = translation.address_sum.get();
        let before: u16 = frame.read(at).ok_or(DropReason::Malformed)?;
        add(frame, at, change, no_checksum | pseudo_header(read))?;
        let after: u16 = frame.read(at).ok_or(DropReason::Malformed)?;
        if checksum::is_unfinished(before, after, change) {
            return Ok(());
        }
    }
    match translation.has_new_ports(read) {
        true => add(frame, at, translation.port_sum.get(), no_checksum),
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
fn pseudo_header(read: &Read) -> u64 {
    let family = if read.is_v4() { 0 } else { FLAG_IPV6.load() };
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
    pub fn change(&mut self, translation: &Translation, hops: u8) {
        let after = translation.tuple.get();
        let mut ip = self.ip;
        ip.change(hops, after.from, after.to, translation.address_sum.get());
        self.ip = ip;
        self.ports = [after.from_port, after.to_port];
    }
}

impl FrontV6 {
    #[inline(always)]
    pub fn change(&mut self, translation: &Translation, hops: u8) {
        let after = translation.tuple.get();
        let mut ip = self.ip;
        ip.change(hops, after.from, after.to);
        self.ip = ip;
        self.ports = [after.from_port, after.to_port];
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
fn header(
    frame: Frame,
    read: &Read,
    leaving: &Cell<Leaving>,
    from: &Cell<Address>,
    to: &Cell<Address>,
    sum: u32,
) -> Result {
    let hops = leaving.get().hops;
    if read.is_v4() {
        let mut part = MaybeUninit::<PartV4>::uninit();
        let part = frame.fill(PART_V4, &mut part)?;
        part.change(hops, from.get(), to.get(), sum);
        store(frame, PART_V4, part, 0)?;
    } else {
        let mut part = MaybeUninit::<PartV6>::uninit();
        let part = frame.fill(PART_V6, &mut part)?;
        part.change(hops, from.get(), to.get());
        store(frame, PART_V6, part, 0)?;
    }
    store(frame, 0, part!(leaving, macs), 0)
}

/// An ICMP error is about a packet that went the other way: that one gets its own addresses and ports
/// back, and so does the error if it comes from the flow's end and not from a router on the way.
#[inline(always)]
fn error(frame: Frame, work: &Work, read: &Read, translation: &Translation, leaving: &Cell<Leaving>) -> Result {
    let outer = frame.addresses(read.headers.get().family)?;
    let [before, after] = work.pairs.put([[Address::NONE; 2]; 2]).as_array_of_cells();
    let ([old_from, old_to], [from, to]) = (before.as_array_of_cells(), after.as_array_of_cells());
    old_from.set(outer.from);
    old_to.set(outer.to);
    copy(part!(translation.tuple, to), to);
    match outer.from == read.tuple.get().from {
        true => copy(part!(translation.tuple, from), from),
        false => copy(old_from, from),
    }
    let length = size_of::<[Address; 2]>() as u32;
    // SAFETY: both are in a map's value, with this length
    let outer_sum = unsafe { bpf_csum_diff(before.as_ptr().cast(), length, after.as_ptr().cast(), length, 0) } as u32;
    let checksum = u32::from(read.headers.get().transport) + 2;
    let quoted_at = read.quoted.get();
    let sum = translation.address_sum.get();
    if read.is_v4() {
        // the quoted header's own checksum evens its addresses out
        let mut quoted = [0_u16; 5];
        frame.load(quoted_at + 10, &mut quoted)?;
        quoted[0] = checksum::fold(u32::from(!quoted[0]) + (sum & 0xffff) + (sum >> 16));
        let words = |address: Address| [address.0[3] as u16, (address.0[3] >> 16) as u16];
        [quoted[1], quoted[2]] = words(translation.tuple.get().to);
        [quoted[3], quoted[4]] = words(translation.tuple.get().from);
        store(frame, quoted_at + 10, &quoted, 0)?;
    } else {
        copy(part!(translation.tuple, to), old_from);
        copy(part!(translation.tuple, from), old_to);
        store(frame, quoted_at + 8, before, 0)?;
        add(frame, checksum, sum, 0)?;
        add(frame, checksum, outer_sum, pseudo_header(read))?;
    }
    quoted_ports(frame, read, translation, checksum)?;
    header(frame, read, leaving, from, to, outer_sum)
}

/// The ports of the quoted packet, whose sender is the error's receiver.
#[inline(always)]
fn quoted_ports(frame: Frame, read: &Read, translation: &Translation, checksum: u32) -> Result {
    if !translation.has_new_ports(read) {
        return Ok(());
    }
    add(frame, checksum, translation.port_sum.get(), 0)?;
    let at = read.quoted_transport.get();
    let Tuple { from_port, to_port, .. } = translation.tuple.get();
    match read.protocol() {
        protocol::ICMP | protocol::ICMPV6 => store(frame, at + 4, &(from_port | to_port), 0),
        _ => store(frame, at, &[to_port, from_port], 0),
    }
}
