//! Tuple: what identifies a packet's flow, read from the packet.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{address::Address, fragment::Piece, verdict::DropReason};

use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Ipv4, Ipv6, SCTP_LENGTH, TCP_LENGTH, UDP_LENGTH, icmp, icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers, LONGEST, plain::word},
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Fills in what a packet from `zone` is; its headers are an IP packet's.
#[inline(always)]
pub fn read(frame: Frame, headers: Headers, zone: u32) -> Result {
    outcome(read_tuple(frame.0, headers.bits(), zone))
}

#[unsafe(no_mangle)]
extern "C" fn read_tuple(skb: *mut __sk_buff, headers: u64, zone: u32) -> u32 {
    let Some(work) = maps::work() else {
        return DropReason::Malformed as u32;
    };
    // SAFETY: from `read`
    let headers = unsafe { Headers::from_bits(headers) };
    number(fill(Frame::new(skb), headers, zone, work))
}

#[inline(always)]
fn fill(frame: Frame, headers: Headers, zone: u32, work: &mut Work) -> Result {
    work.set_time();
    work.headers = headers;
    network_header(frame, headers, work)?;
    work.destination = work.tuple.to;
    work.tuple.zone = zone;
    work.tuple.protocol = headers.protocol.into();
    work.tuple.from_port = 0;
    work.tuple.to_port = 0;
    work.quoted = 0;
    work.tcp_flags = 0;
    work.hops = 1;
    work.identified = 0;
    work.is_orphan = 0;
    work.clear_found();
    work.rule = 0;
    work.replaced_serial = 0;
    if work.is_fragment() {
        fragment_key(frame, work)?;
    }
    if headers.transport == 0 {
        match maps::fragments(&work.fragment).filter(|packet| packet.is_alive(work.now)) {
            Some(ports) => {
                work.tuple.from_port = ports.from_port;
                work.tuple.to_port = ports.to_port;
            }
            None => work.is_orphan = 1,
        }
        return Ok(());
    }
    transport(frame, headers, work)
}

/// Addresses and hop limit.
#[inline(always)]
fn network_header(frame: Frame, headers: Headers, work: &mut Work) -> Result {
    if headers.family == Family::V6 {
        let addresses: Addresses = frame.read(ETHERNET_LENGTH + 8).ok_or(DropReason::Malformed)?;
        work.tuple.from = addresses.from;
        work.tuple.to = addresses.to;
        work.hop_limit = headers.hop_limit;
    } else {
        let header: Ipv4 = frame.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)?;
        work.tuple.from = Address::v4(header.source);
        work.tuple.to = Address::v4(header.destination);
        work.hop_limit = header.time_to_live;
    }
    Ok(())
}

#[inline(always)]
fn transport(frame: Frame, headers: Headers, work: &mut Work) -> Result {
    let at = u32::from(headers.transport & LONGEST);
    // what commit rewrites has to be there before a flow changes for the packet
    if frame.packet_end(headers.family)? < at + least(headers.protocol) {
        return Err(DropReason::Malformed);
    }
    match headers.protocol {
        protocol::TCP => {
            // ports, sequence numbers, data offset and flags
            let words: [u16; 7] = frame.read(at).ok_or(DropReason::Malformed)?;
            work.sequence = word(words[2], words[3]);
            work.acknowledgement = word(words[4], words[5]);
            work.tcp_flags = words[6].to_ne_bytes()[1];
            (work.tuple.from_port, work.tuple.to_port) = (words[0], words[1]);
        }
        protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
            let ports: [u16; 2] = frame.read(at).ok_or(DropReason::Malformed)?;
            (work.tuple.from_port, work.tuple.to_port) = (ports[0], ports[1]);
        }
        protocol::ICMP if headers.family == Family::V4 => return message(frame, headers, work),
        protocol::ICMPV6 if headers.family == Family::V6 => return message(frame, headers, work),
        _ => {}
    }
    Ok(())
}

/// Bytes that a transport header has at least.
#[inline(always)]
fn least(protocol: u8) -> u32 {
    match protocol {
        protocol::TCP => TCP_LENGTH,
        protocol::SCTP => SCTP_LENGTH,
        protocol::UDP | protocol::UDP_LITE => UDP_LENGTH,
        _ => 0,
    }
}

/// An ICMP message: a question, an answer, or an error about another packet.
#[inline(always)]
fn message(frame: Frame, headers: Headers, work: &mut Work) -> Result {
    let at = u32::from(headers.transport);
    let mut start = [0_u16; 4];
    frame.load(at, &mut start)?;
    let kind = start[0].to_ne_bytes()[0];
    match side(headers.family, kind) {
        Side::Asker => {
            work.tuple.from_port = start[2];
            work.identified = ASKER;
        }
        Side::Asked => {
            work.tuple.to_port = start[2];
            work.identified = ASKED;
        }
        Side::Error => return quoted(frame, headers.family, at + 8, work),
        Side::None => {}
    }
    Ok(())
}

/// [`Work::identified`].
pub const ASKER: u8 = 1;
pub const ASKED: u8 = 2;

/// On which side of the tuple a message's identifier stands.
enum Side {
    Asker,
    Asked,
    /// It quotes another packet.
    Error,
    None,
}

#[inline(always)]
fn side(family: Family, kind: u8) -> Side {
    match (family, kind) {
        (Family::V4, icmp::ECHO_REQUEST | icmp::TIMESTAMP) | (Family::V6, icmpv6::ECHO_REQUEST) => Side::Asker,
        (Family::V4, icmp::ECHO_REPLY | icmp::TIMESTAMP_REPLY) | (Family::V6, icmpv6::ECHO_REPLY) => Side::Asked,
        (
            Family::V4,
            icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::REDIRECT | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM,
        ) => Side::Error,
        (Family::V6, 1..=4) => Side::Error,
        _ => Side::None,
    }
}

/// The packet that an error quotes went the other way: reversed it is what flows with the error.
#[inline(always)]
fn quoted(frame: Frame, family: Family, at: u32, work: &mut Work) -> Result {
    let mut start = [0_u16; 4];
    let (inner_protocol, transport) = if family == Family::V4 {
        frame.load(at, &mut start)?;
        let length = u32::from(start[0].to_ne_bytes()[0] & 0xf) * 4;
        // only a first fragment, or a whole packet, has ports
        if length < 20 || start[3] & 0x1fff_u16.to_be() != 0 {
            return Err(DropReason::NoFlow);
        }
        let mut words = [0_u32; 3];
        frame.load(at + 8, &mut words)?;
        work.tuple.from = Address::v4(words[2]);
        work.tuple.to = Address::v4(words[1]);
        (words[0].to_ne_bytes()[1], at + length)
    } else {
        frame.load(at, &mut start)?;
        frame.load(at + 8, &mut work.tuple.to)?;
        frame.load(at + 24, &mut work.tuple.from)?;
        (start[3].to_ne_bytes()[0], at + size_of::<Ipv6>() as u32)
    };
    work.quoted = at;
    work.quoted_transport = transport;
    work.tuple.protocol = inner_protocol.into();
    match inner_protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
            frame.load(transport, &mut start)?;
            work.tuple.from_port = start[1];
            work.tuple.to_port = start[0];
        }
        protocol::ICMP | protocol::ICMPV6 => {
            frame.load(transport, &mut start)?;
            match side(family, start[0].to_ne_bytes()[0]) {
                Side::Asker => work.tuple.to_port = start[2],
                Side::Asked => work.tuple.from_port = start[2],
                Side::Error | Side::None => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// What a fragment shares with the others of its packet, and where it lies there.
#[inline(always)]
fn fragment_key(frame: Frame, work: &mut Work) -> Result {
    work.fragment.from = work.tuple.from;
    work.fragment.to = work.tuple.to;
    work.fragment.zone = work.tuple.zone;
    work.fragment.protocol = work.tuple.protocol;
    if work.is_v4() {
        let mut words = [0_u16; 4];
        frame.load(ETHERNET_LENGTH, &mut words)?;
        let [start, length, identification, place] = words;
        let header = u32::from(start.to_ne_bytes()[0] & 0xf) * 4;
        let place = u16::from_be(place);
        let bytes = u32::from(u16::from_be(length)).saturating_sub(header);
        work.fragment.identification = identification.into();
        work.piece = Piece::new(place & 0x1fff, bytes, place & 0x2000 == 0);
        Ok(())
    } else {
        fragment_v6(frame, work)
    }
}

/// The fragment header is the first extension header of what senders fragment (RFC 8200, 4.5), or the
/// second behind hop-by-hop options.
#[inline(always)]
fn fragment_v6(frame: Frame, work: &mut Work) -> Result {
    let mut at = ETHERNET_LENGTH + size_of::<Ipv6>() as u32;
    let end = frame.ip_length(Family::V6)?;
    let mut next = [0_u8; 2];
    frame.load(ETHERNET_LENGTH + 6, &mut next)?;
    let mut header = next[0];
    for _ in 0..3 {
        let mut words = [0_u8; 8];
        frame.load(at, &mut words)?;
        if header == protocol::FRAGMENT {
            let place = u16::from_be_bytes([words[2], words[3]]);
            work.fragment.identification = u32::from_ne_bytes([words[4], words[5], words[6], words[7]]);
            work.piece = Piece::new(place >> 3, end.saturating_sub(at + 8), place & 1 == 0);
            return Ok(());
        }
        header = words[0];
        at += (u32::from(words[1]) + 1) * 8;
    }
    Err(DropReason::Fragment)
}
