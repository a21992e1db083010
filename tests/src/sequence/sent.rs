//! What a step puts on the wire.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::datagram::{ETHERNET, Tuple, headers, is_v4, leave_sum, rewrite, sum_at, sum_transport, tuple};
use super::scene::{Place, ROUTER, one};
use super::step::{Complaint, Content, Cut, Flaw, Form, Sum};
use super::wire::Offload;
use crate::packet::{
    DESTINATION_OPTIONS, Ip, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP,
    PROTOCOL_UDPLITE, ip,
};
use crate::random::Random;

/// A packet that enters the switch.
#[derive(Clone, Debug)]
pub struct Sent {
    pub place: Place,
    pub tuple: Tuple,
    pub hops: u8,
    /// Of TCP.
    pub flags: u8,
    /// The whole packet, with a right sum.
    pub frame: Vec<u8>,
    pub offload: Option<Offload>,
    /// Whether it is sent with a wrong sum.
    pub is_wrong: bool,
    /// Which bytes behind the IP header its fragments have, in their order; none: it is sent whole.
    pub pieces: Vec<Range<usize>>,
    pub identification: u16,
    /// Of an ICMP error: of the packet that it quotes.
    pub quoted: Option<Tuple>,
    /// Whether something is missing that its protocol needs.
    pub is_short: bool,
    /// Whether it, or one of its segments, is longer than [`MTU`].
    pub is_too_big: bool,
}

/// Of the uplink and of every container here.
pub const MTU: u16 = 1_500;

impl Sent {
    /// A packet of this tuple; `translated` is the one with which it will leave, where that is known.
    pub fn packet(
        place: Place,
        tuple: Tuple,
        translated: Option<Tuple>,
        content: &Content,
        identification: u16,
    ) -> Self {
        let is_v4 = tuple.from.is_ipv4();
        let mut content = *content;
        // it is refused at a port that changes: its sum depends on the whole packet's length
        if matches!(content.form, Form::Cut(_)) && tuple.protocol == PROTOCOL_SCTP {
            content.form = Form::Plain;
        }
        let mut packet = ip(place.macs_to(tuple.to.ip()), tuple.from.ip(), tuple.to.ip()).hops(content.hops);
        if content.size > usize::from(MTU) {
            packet = packet.dont_fragment(); // else it is cut
        }
        match content.form {
            Form::Options if is_v4 => packet = packet.options(&[1; 4]),
            Form::Options => packet = packet.extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]),
            Form::Plain | Form::Cut(_) => {}
        }
        let size = match (content.form, content.sum, tuple.protocol) {
            (Form::Cut(_), ..) => 40 + content.size,
            (Form::Plain, Sum::Segments(_), PROTOCOL_TCP | PROTOCOL_UDP) => 1_000 + 50 * content.size,
            _ => content.size,
        };
        let mut random = Random(content.fill);
        let data: Vec<u8> = (0..size).map(|_| random.word().to_le_bytes()[0]).collect();
        let mut sent = Self {
            place,
            tuple,
            hops: content.hops,
            flags: content.flags,
            frame: build(&packet, &tuple, content.flags, &data),
            offload: None,
            is_wrong: false,
            pieces: Vec::new(),
            identification,
            quoted: None,
            is_short: false,
            is_too_big: false,
        };
        if let Form::Cut(cut) = content.form {
            let at = headers(&sent.frame[ETHERNET..]).transport + ETHERNET;
            sent.pieces = pieces(&cut, sent.frame.len() - at);
        }
        sent.set_sum(content.sum, translated);
        sent
    }

    /// An ICMP error about a packet that was received at `place`.
    pub fn complaint(place: Place, received: &[u8], complaint: &Complaint) -> Self {
        let packet = &received[ETHERNET..];
        let quoted = tuple(packet);
        let is_v4 = is_v4(packet);
        let from = match (complaint.by_router, place) {
            (true, Place::World) => one(ROUTER, is_v4),
            _ => quoted.to.ip(),
        };
        let length = if complaint.is_short {
            (headers(packet).transport + 8).min(packet.len())
        } else {
            packet.len()
        };
        Self::error(place, from, &packet[..length], complaint)
    }

    /// An ICMP error that quotes this.
    pub fn error(place: Place, from: IpAddr, quote: &[u8], complaint: &Complaint) -> Self {
        let quoted = tuple(quote);
        let to = quoted.from.ip();
        let (kinds, protocol) = if to.is_ipv4() {
            ([(3, 1), (3, 4), (11, 0)], PROTOCOL_ICMP)
        } else {
            ([(1, 0), (2, 0), (3, 0)], PROTOCOL_ICMPV6)
        };
        let (kind, code) = kinds[complaint.kind];
        // with the MTU that is known: the host's stack hears some of these, too
        let rest = [&u32::from(MTU).to_be_bytes()[..], quote].concat();
        let frame = ip(place.macs_to(to), from, to)
            .hops(complaint.hops)
            .icmp(kind, code, &rest);
        Self {
            place,
            tuple: Tuple {
                protocol,
                from: SocketAddr::new(from, 0),
                to: SocketAddr::new(to, 0),
            },
            hops: complaint.hops,
            flags: 0,
            frame,
            offload: None,
            is_wrong: false,
            pieces: Vec::new(),
            identification: 0,
            quoted: Some(quoted),
            is_short: false,
            is_too_big: false,
        }
    }

    /// Leaves out its sum and what is behind it, or all but the ports.
    pub fn shorten(&mut self, has_flags: bool) {
        let (from, to) = (self.tuple.from.ip(), self.tuple.to.ip());
        let packet = ip(self.place.macs_to(to), from, to).hops(self.hops);
        let at = headers(&self.frame[ETHERNET..]).transport + ETHERNET;
        let length = match self.tuple.protocol {
            PROTOCOL_TCP if has_flags => 16,
            _ => 4,
        };
        self.frame = packet.protocol(self.tuple.protocol, &self.frame[at..at + length]);
        self.is_short = true;
        self.offload = None;
        self.is_wrong = false;
        self.pieces.clear();
    }

    /// Of its fragments, none but the last one is sent.
    pub fn leave_last(&mut self) {
        let at = headers(&self.frame[ETHERNET..]).transport + ETHERNET;
        let length = self.frame.len() - at;
        let last = (length - 1).min(16) / 8 * 8..length;
        self.pieces = std::iter::once(last).collect();
        self.offload = None;
        self.is_wrong = false;
    }

    /// What is sent, in this order.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        if !self.pieces.is_empty() {
            return self.pieces.iter().map(|piece| self.piece(&self.frame, piece)).collect();
        }
        let mut frame = self.frame.clone();
        let packet = &mut frame[ETHERNET..];
        if self.offload.is_some() {
            leave_sum(packet);
        }
        if let Some(at) = sum_at(packet).filter(|_| self.is_wrong) {
            // not the one that says in UDP that there is none
            let wrong = if packet[at] == 0x55 { 0x33 } else { 0x55 };
            packet[at] ^= wrong;
        }
        vec![frame]
    }

    /// A fragment of this packet, or of what becomes of it.
    pub fn piece(&self, frame: &[u8], piece: &Range<usize>) -> Vec<u8> {
        let packet = &frame[ETHERNET..];
        let at = headers(packet).transport;
        let tuple = tuple(packet);
        let mac = |at: usize| netswitch_common::address::Mac(frame[at..at + 6].try_into().expect("six bytes"));
        let hops = if is_v4(packet) { packet[8] } else { packet[7] };
        ip((mac(6), mac(0)), tuple.from.ip(), tuple.to.ip())
            .hops(hops)
            .identification(self.identification)
            .fragment(
                u16::try_from(piece.start).expect("a short packet"),
                at + piece.end < packet.len(),
            )
            .protocol(tuple.protocol, &packet[at + piece.start..at + piece.end])
    }

    fn set_sum(&mut self, sum: Sum, translated: Option<Tuple>) {
        let packet = &mut self.frame[ETHERNET..];
        let Some(at) = sum_at(packet) else { return };
        let transport = headers(packet).transport;
        let is_whole = self.pieces.is_empty();
        let short = |length: usize| u16::try_from(length).expect("headers are short");
        let offload = Offload {
            start: short(transport + ETHERNET),
            offset: short(at - transport),
            kind: 0,
            segment: 0,
        };
        let is_plain = transport == if is_v4(packet) { 20 } else { 40 };
        match (sum, self.tuple.protocol) {
            (Sum::None, PROTOCOL_UDP) if is_v4(packet) => packet[at..at + 2].fill(0),
            (Sum::None, PROTOCOL_SCTP) if is_whole => packet[at..at + 4].fill(0),
            (Sum::Segments(segment), PROTOCOL_TCP | PROTOCOL_UDP) if is_whole && is_plain => {
                // `VIRTIO_NET_HDR_GSO_TCPV4`, `_TCPV6`, `_UDP_L4`
                let kind = match (self.tuple.protocol, is_v4(packet)) {
                    (PROTOCOL_UDP, _) => 5,
                    (_, true) => 1,
                    (_, false) => 4,
                };
                self.offload = Some(Offload {
                    kind,
                    segment,
                    ..offload
                });
            }
            (Sum::Left | Sum::Segments(_), PROTOCOL_TCP | PROTOCOL_UDP) if is_whole => self.offload = Some(offload),
            (Sum::Wrong, _) if is_whole => self.is_wrong = true,
            (Sum::Zero, protocol) if protocol != PROTOCOL_SCTP => {
                let data = transport + if protocol == PROTOCOL_TCP { 20 } else { 8 };
                packet[data..data + 2].fill(0);
                sum_transport(packet);
                let leaves = rewrite(&self.frame, &translated.unwrap_or(self.tuple), self.place.macs_out(), 1);
                // one more such word makes it 0
                let word = [leaves[ETHERNET + at], leaves[ETHERNET + at + 1]];
                let packet = &mut self.frame[ETHERNET..];
                packet[data..data + 2].copy_from_slice(&word);
                sum_transport(packet);
            }
            _ => {}
        }
    }
}

fn build(packet: &Ip, tuple: &Tuple, flags: u8, data: &[u8]) -> Vec<u8> {
    let (from, to) = (tuple.from.port(), tuple.to.port());
    match tuple.protocol {
        PROTOCOL_TCP => {
            let mut frame = packet.tcp(from, to, data);
            let packet = &mut frame[ETHERNET..];
            let at = headers(packet).transport + 13;
            packet[at] = flags;
            sum_transport(packet);
            frame
        }
        PROTOCOL_UDP => packet.udp(from, to, data),
        PROTOCOL_UDPLITE => {
            // a coverage of 0 is all of it (RFC 3828, 3.1)
            let head = [from, to, 0, 0].map(u16::to_be_bytes).concat();
            let mut frame = packet.protocol(PROTOCOL_UDPLITE, &[&head, data].concat());
            sum_transport(&mut frame[ETHERNET..]);
            frame
        }
        PROTOCOL_SCTP => packet.sctp(from, to, 7, data),
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => {
            let kind = match (tuple.protocol, from != 0) {
                (PROTOCOL_ICMP, true) => 8,
                (PROTOCOL_ICMP, false) => 0,
                (_, true) => 128,
                (_, false) => 129,
            };
            let identifier = from.max(to).to_be_bytes();
            packet.icmp(kind, 0, &[&identifier[..], &[0, 1], data].concat())
        }
        protocol => packet.protocol(protocol, data),
    }
}

fn pieces(cut: &Cut, length: usize) -> Vec<Range<usize>> {
    let size = cut.units * 8;
    let mut pieces: Vec<_> = (0..length)
        .step_by(size)
        .map(|start| start..(start + size).min(length))
        .collect();
    let mut random = Random(cut.order);
    match cut.flaw {
        Flaw::None => {}
        Flaw::Missing => {
            pieces.remove(random.below(pieces.len()));
        }
        Flaw::Double => pieces.push(random.pick(&pieces).clone()),
        // not over TCP's sum: only the first fragment's is translated
        Flaw::Overlap => pieces.push((size - 8).max(24)..(2 * size - 8).min(length)),
    }
    for place in (1..pieces.len()).rev() {
        pieces.swap(place, random.below(place + 1));
    }
    pieces
}
