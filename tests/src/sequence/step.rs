//! Steps of a sequence, and how they are chosen.

use super::scene::{CLIENTS, CONTAINERS, PEERS, PUBLICATIONS, Place};
use crate::packet::{
    PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE,
};
use crate::random::Random;

/// One step. Those about a flow name the step that opened it: they mean the same when others are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first packet of a flow, or one more of one that is there.
    Open(Way, Content),
    /// One end of a flow sends.
    Speak(usize, Side, Content),
    /// The same of two flows, and of their packets in fragments: one of these, one of those.
    Together([(usize, Side, Content); 2]),
    /// An ICMP error about what this end has received.
    Complain(usize, Side, Complaint),
    /// A packet that is nearly one of the flow's.
    Stray(usize, Stray, Content),
    /// The flow's time is over.
    Expire(usize),
    /// A UDP socket of the host binds the port by which the world knows the flow.
    Claim(usize),
    /// Routes, links or publications have changed, as far as the switch knows: CONFIG's generation is raised.
    Raise,
}

impl Step {
    /// How many packets it may send in fragments.
    pub fn cuts(self) -> u16 {
        match self {
            Self::Open(_, content) | Self::Speak(_, _, content) => u16::from(matches!(content.form, Form::Cut(_))),
            Self::Stray(..) => 1,
            Self::Together(_) => 2,
            Self::Complain(..) | Self::Expire(_) | Self::Claim(_) | Self::Raise => 0,
        }
    }
}

/// Between whom a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub is_v4: bool,
    pub protocol: u8,
    pub opener: Place,
    /// Which one, of a peer's opener.
    pub peer: usize,
    pub port: u16,
    pub to: Goal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// One of the peers, and its port.
    Peer(usize, u16),
    /// A port of the host.
    Host(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Opener,
    Responder,
}

/// What a packet is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes of data, and what they are made from.
    pub size: usize,
    pub fill: u64,
    pub hops: u8,
    /// Of TCP.
    pub flags: u8,
    pub form: Form,
    pub sum: Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// With options, or extension headers.
    Options,
    /// In fragments.
    Cut(Cut),
}

/// Fragments of so many units of eight bytes, in a shuffled order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub units: usize,
    pub order: u64,
    pub flaw: Flaw,
}

/// Of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// One of them is not sent.
    Missing,
    /// One comes twice.
    Double,
    /// One more lies over others.
    Overlap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Right,
    /// UDP over IPv4 without one; SCTP's is left to the device.
    None,
    /// Left to the device.
    Left,
    /// And so is cutting into segments of so many bytes.
    Segments(u16),
    Wrong,
    /// Such that the packet, as it leaves, has a sum of 0.
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Not the end itself, but a router before it.
    pub by_router: bool,
    /// Not more than eight bytes behind the IP header are quoted.
    pub is_short: bool,
    pub kind: usize,
    pub hops: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// An answer from another peer.
    OtherPeer,
    /// From another port.
    OtherPort,
    /// To another port of the host.
    BesidePort,
    /// To the container's own address, past the host's.
    Inside,
    /// From the world with a container's address.
    Forged,
    /// The opener's packet, sent by another container under the opener's address.
    Spoofed,
    /// The responder's, or the opener's, with its last hop.
    LastHop(Side),
    /// The opener's, longer than where it goes can take; or in segments that are.
    TooBig { in_segments: bool },
    /// An error that quotes a packet which nobody sent.
    Complaint,
    /// An error about the flow from a container that has nothing to do with it.
    ForeignComplaint,
    /// A piece of a packet whose beginning never comes.
    Piece(Side),
    /// It ends before its sum.
    Short(Side),
}

pub mod tcp {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

/// How scarce ports and slots are: the range of ports for masquerade, and the flows that each endpoint may have.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub ports: (u16, u16),
    pub quota: u32,
}

/// Steps of a sequence.
pub const STEPS: usize = 120;

/// The sequence with this seed.
pub fn sequence(seed: u64) -> (Room, Vec<Step>) {
    let mut random = Random(seed);
    let ports = *random.pick(&[(20_000, 2), (20_000, 8), (20_000, 64), (20_000, 300), (10_240, 22_528)]);
    let quota = *random.pick(&[3, 8, 16, 64]);
    let mut opened = Vec::new();
    let steps = (0..STEPS)
        .map(|number| {
            let step = step(&mut random, &opened);
            if matches!(step, Step::Open(..)) {
                opened.push(number);
            }
            step
        })
        .collect();
    (Room { ports, quota }, steps)
}

fn step(random: &mut Random, opened: &[usize]) -> Step {
    if opened.is_empty() || random.below(100) < 14 {
        let content = content(random, true);
        return Step::Open(way(random), content);
    }
    // mostly one of the last flows: a conversation needs several packets
    let recent = opened.len() - random.below(opened.len().min(4)) - 1;
    let flow = match random.below(4) {
        0 => *random.pick(opened),
        _ => opened[recent],
    };
    match random.below(100) {
        0..58 => Step::Speak(flow, side(random), content(random, false)),
        58..62 => Step::Together([flow, *random.pick(opened)].map(|flow| (flow, side(random), pieces(random)))),
        62..72 => Step::Complain(flow, side(random), complaint(random)),
        72..92 => Step::Stray(flow, stray(random), content(random, false)),
        92..96 => Step::Expire(flow),
        96 => Step::Claim(flow),
        _ => Step::Raise,
    }
}

fn way(random: &mut Random) -> Way {
    let is_v4 = random.below(5) < 3;
    let protocols = [
        PROTOCOL_TCP,
        PROTOCOL_TCP,
        PROTOCOL_UDP,
        PROTOCOL_UDP,
        PROTOCOL_UDPLITE,
        PROTOCOL_SCTP,
        PROTOCOL_GRE,
        if is_v4 { PROTOCOL_ICMP } else { PROTOCOL_ICMPV6 },
    ];
    let with_port = [PROTOCOL_TCP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDP, PROTOCOL_SCTP];
    let clients = if is_v4 { CLIENTS } else { 2 };
    let opener = Place::Container(random.below(clients));
    let outward = random.below(5) < 3;
    let port = *random.pick(&[4000, 4001, 20_000]);
    if outward {
        let to = Goal::Peer(random.below(PEERS.len()), *random.pick(&[53, 80, 4000]));
        let protocol = *random.pick(&protocols);
        let has_ports = protocol != PROTOCOL_GRE;
        return Way {
            is_v4,
            protocol,
            opener,
            peer: 0,
            port: if has_ports { port } else { 0 },
            to,
        };
    }
    let publication = random.pick(&PUBLICATIONS);
    let opener = if random.below(3) == 0 { opener } else { Place::World };
    Way {
        is_v4,
        protocol: *random.pick(&with_port),
        opener,
        peer: random.below(PEERS.len()),
        port: *random.pick(&[4000, 4001, 53, 80, 20_000]),
        to: Goal::Host(publication.first + u16::from(random.below(8) == 0)),
    }
}

fn side(random: &mut Random) -> Side {
    *random.pick(&[Side::Opener, Side::Responder])
}

fn content(random: &mut Random, is_first: bool) -> Content {
    let flags = match random.below(16) {
        0 => tcp::FIN | tcp::ACK,
        1 => tcp::RST,
        2 => tcp::SYN | tcp::ACK,
        3..6 => tcp::SYN,
        6 => 0,
        _ if is_first => tcp::SYN,
        _ => tcp::ACK,
    };
    let form = match random.below(12) {
        0 => Form::Options,
        1 | 2 => Form::Cut(cut(random)),
        _ => Form::Plain,
    };
    let sum = match random.below(20) {
        0 => Sum::None,
        1..4 => Sum::Left,
        4 | 5 => Sum::Segments(*random.pick(&[100, 536, 1000])),
        6 => Sum::Wrong,
        7 => Sum::Zero,
        _ => Sum::Right,
    };
    Content {
        size: 2 + random.below(60),
        fill: random.word(),
        hops: *random.pick(&[2, 3, 64, 64, 64, 128, 255]),
        flags,
        form,
        sum,
    }
}

/// A packet in fragments that ends nothing.
fn pieces(random: &mut Random) -> Content {
    Content {
        flags: tcp::ACK,
        form: Form::Cut(cut(random)),
        ..content(random, false)
    }
}

fn cut(random: &mut Random) -> Cut {
    Cut {
        // TCP's header is in the first
        units: 3 + random.below(3),
        order: random.word(),
        flaw: *random.pick(&[
            Flaw::None,
            Flaw::None,
            Flaw::None,
            Flaw::Missing,
            Flaw::Double,
            Flaw::Overlap,
        ]),
    }
}

fn complaint(random: &mut Random) -> Complaint {
    Complaint {
        by_router: random.below(2) == 0,
        is_short: random.below(2) == 0,
        kind: random.below(3),
        hops: *random.pick(&[2, 64, 255]),
    }
}

fn stray(random: &mut Random) -> Stray {
    let side = side(random);
    *random.pick(&[
        Stray::OtherPeer,
        Stray::OtherPort,
        Stray::BesidePort,
        Stray::Inside,
        Stray::Forged,
        Stray::Spoofed,
        Stray::LastHop(side),
        Stray::TooBig {
            in_segments: side == Side::Opener,
        },
        Stray::Complaint,
        Stray::ForeignComplaint,
        Stray::Piece(side),
        Stray::Short(side),
    ])
}

/// Another container of the opener's.
pub fn other(place: Place) -> Place {
    match place {
        Place::World => Place::Container(0),
        Place::Container(number) => Place::Container((number + 1) % CONTAINERS.len()),
    }
}
