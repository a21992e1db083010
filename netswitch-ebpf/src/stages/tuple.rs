//! Tuple: what identifies a packet's flow, read from the packet.

use core::cell::Cell;

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{address::Address, flow::Tuple, fragment::Piece, verdict::DropReason};

use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, Ipv4, Ipv6, SCTP_LENGTH, TCP_LENGTH, UDP_LENGTH, icmp, icmpv6, protocol},
    maps,
    packet::{
        Addresses, Family, Frame, Headers, LONGEST,
        plain::{set_ports, word},
    },
    place::{copy, part},
    work::{Fragment, Read, Work},
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
        return DropReason::Internal as u32;
    };
    // SAFETY: from `read`
    let headers = unsafe { Headers::from_bits(headers) };
    number(fill(Frame::new(skb), headers, zone, work))
}

#[inline(always)]
fn fill(frame: Frame, headers: Headers, zone: u32, work: &Work) -> Result {
    let read = work.start_read();
    read.set_time();
    read.headers.set(headers);
    network_header(frame, headers, &read)?;
    let destination = work.start_destination();
    copy(part!(read.tuple, to), &destination);
    destination.done();
    part!(read.tuple, zone).set(zone);
    part!(read.tuple, protocol).set(headers.protocol.into());
    set_ports(&read.tuple, 0, 0);
    read.quoted.set(0);
    read.quoted_transport.set(0);
    read.sequence.set(0);
    read.acknowledgement.set(0);
    read.tcp_flags.set(0);
    read.identified.set(0);
    read.is_orphan.set(false);
    if headers.is_fragment() {
        fragment(frame, &read, work)?;
    }
    match headers.transport {
        0 => {}
        _ => transport(frame, headers, &read)?,
    }
    read.done();
    Ok(())
}

/// Addresses and hop limit.
#[inline(always)]
fn network_header(frame: Frame, headers: Headers, read: &Read) -> Result {
    if headers.family == Family::V6 {
        let addresses: Addresses = frame.read(ETHERNET_LENGTH + 8).ok_or(DropReason::Malformed)?;
        set_addresses(&read.tuple, addresses.from, addresses.to);
        read.hop_limit.set(headers.hop_limit);
    } else {
        let header: Ipv4 = frame.read(ETHERNET_LENGTH).ok_or(DropReason::Malformed)?;
        set_addresses(&read.tuple, Address::v4(header.source), Address::v4(header.destination));
        read.hop_limit.set(header.time_to_live);
    }
    Ok(())
}

#[inline(always)]
fn set_addresses(tuple: &Cell<Tuple>, from: Address, to: Address) {
    part!(tuple, from).set(from);
    part!(tuple, to).set(to);
}

#[inline(always)]
fn transport(frame: Frame, headers: Headers, read: &Read) -> Result {
    let at = u32::from(headers.transport & LONGEST);
    // what commit rewrites has to be there before a flow changes for the packet
    if frame.packet_end(headers.family)? < at + least(headers.protocol) {
        return Err(DropReason::Malformed);
    }
    match headers.protocol {
        protocol::TCP => {
            // ports, sequence numbers, data offset and flags
            let words: [u16; 7] = frame.read(at).ok_or(DropReason::Malformed)?;
            read.sequence.set(word(words[2], words[3]));
            read.acknowledgement.set(word(words[4], words[5]));
            read.tcp_flags.set(words[6].to_ne_bytes()[1]);
            set_ports(&read.tuple, words[0], words[1]);
        }
        protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
            let ports: [u16; 2] = frame.read(at).ok_or(DropReason::Malformed)?;
            set_ports(&read.tuple, ports[0], ports[1]);
        }
        protocol::ICMP if headers.family == Family::V4 => return message(frame, headers, read),
        protocol::ICMPV6 if headers.family == Family::V6 => return message(frame, headers, read),
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
fn message(frame: Frame, headers: Headers, read: &Read) -> Result {
    let at = u32::from(headers.transport);
    let mut start = [0_u16; 4];
    frame.load(at, &mut start)?;
    let kind = start[0].to_ne_bytes()[0];
    match side(headers.family, kind) {
        Side::Asker => {
            part!(read.tuple, from_port).set(start[2]);
            read.identified.set(ASKER);
        }
        Side::Asked => {
            part!(read.tuple, to_port).set(start[2]);
            read.identified.set(ASKED);
        }
        Side::Error => return quoted(frame, headers.family, at + 8, read),
        Side::None => {}
    }
    Ok(())
}

/// [`Read::identified`].
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
fn quoted(frame: Frame, family: Family, at: u32, read: &Read) -> Result {
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
        set_addresses(&read.tuple, Address::v4(words[2]), Address::v4(words[1]));
        (words[0].to_ne_bytes()[1], at + length)
    } else {
        frame.load(at, &mut start)?;
        frame.load_into(at + 8, part!(read.tuple, to))?;
        frame.load_into(at + 24, part!(read.tuple, from))?;
        (start[3].to_ne_bytes()[0], at + size_of::<Ipv6>() as u32)
    };
    read.quoted.set(at);
    read.quoted_transport.set(transport);
    part!(read.tuple, protocol).set(inner_protocol.into());
    match inner_protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
            frame.load(transport, &mut start)?;
            set_ports(&read.tuple, start[1], start[0]);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            frame.load(transport, &mut start)?;
            match side(family, start[0].to_ne_bytes()[0]) {
                Side::Asker => part!(read.tuple, to_port).set(start[2]),
                Side::Asked => part!(read.tuple, from_port).set(start[2]),
                Side::Error | Side::None => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// What a fragment shares with the others of its packet, and where it lies there. A later one gets its packet's ports, if
/// the first one has told them.
#[inline(always)]
fn fragment(frame: Frame, read: &Read, work: &Work) -> Result {
    let fragment = work.start_fragment();
    copy(part!(read.tuple, from), part!(fragment, key.from));
    copy(part!(read.tuple, to), part!(fragment, key.to));
    part!(fragment, key.zone).set(read.tuple.get().zone);
    part!(fragment, key.protocol).set(read.tuple.get().protocol);
    match read.is_v4() {
        true => piece_v4(frame, &fragment)?,
        false => piece_v6(frame, &fragment)?,
    }
    let fragment = fragment.done();
    if read.headers.get().transport != 0 {
        return Ok(());
    }
    match maps::fragments(part!(fragment, key)).filter(|packet| packet.is_alive(read.now.get())) {
        Some(ports) => {
            set_ports(&read.tuple, ports.from_port, ports.to_port);
            if matches!(read.protocol(), protocol::ICMP | protocol::ICMPV6) {
                // the first fragment may be on its way round: this one may begin the flow
                read.identified.set(match (ports.from_port, ports.to_port) {
                    (0, 0) => 0,
                    (0, _) => ASKED,
                    _ => ASKER,
                });
            }
        }
        None => read.is_orphan.set(true),
    }
    Ok(())
}

#[inline(always)]
fn piece_v4(frame: Frame, fragment: &Cell<Fragment>) -> Result {
    let mut words = [0_u16; 4];
    frame.load(ETHERNET_LENGTH, &mut words)?;
    let [start, length, identification, place] = words;
    let header = u32::from(start.to_ne_bytes()[0] & 0xf) * 4;
    let place = u16::from_be(place);
    let bytes = u32::from(u16::from_be(length)).saturating_sub(header);
    part!(fragment, key.identification).set(identification.into());
    part!(fragment, piece).set(Piece::new(place & 0x1fff, bytes, place & 0x2000 == 0));
    Ok(())
}

/// The fragment header is the first extension header of what senders fragment (RFC 8200, 4.5), or the
/// second behind hop-by-hop options.
#[inline(always)]
fn piece_v6(frame: Frame, fragment: &Cell<Fragment>) -> Result {
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
            let identification = u32::from_ne_bytes([words[4], words[5], words[6], words[7]]);
            part!(fragment, key.identification).set(identification);
            part!(fragment, piece).set(Piece::new(place >> 3, end.saturating_sub(at + 8), place & 1 == 0));
            return Ok(());
        }
        header = words[0];
        at += (u32::from(words[1]) + 1) * 8;
    }
    Err(DropReason::Fragment)
}
