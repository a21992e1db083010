//! What each step of a sequence sends, by the flows that have begun.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use super::datagram::{ETHERNET, Tuple, rewrite};
use super::model::{Direction, Flow, Model};
use super::scene::{CONTAINERS, PEERS, Place, address, host, one};
use super::sent::{MTU, Sent};
use super::step::{Complaint, Content, Form, Goal, Room, Side, Step, Stray, Sum, Way, other, tcp};
use crate::packet::{PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP};

/// A sequence while it is played.
pub struct Game {
    pub model: Model,
    /// Which flow the step with this number has opened.
    pub opened: BTreeMap<usize, usize>,
    /// Of the host.
    sockets: Vec<UdpSocket>,
}

impl Game {
    pub fn new(room: Room) -> Self {
        Self {
            model: Model::new(room),
            opened: BTreeMap::new(),
            sockets: Vec::new(),
        }
    }

    /// A flow has begun with a packet of this step.
    pub fn begins(&mut self, number: usize, step: Step, flow: usize) {
        match step {
            Step::Open(..) => {
                self.opened.insert(number, flow);
            }
            // the opener goes on: it is the same to him
            Step::Speak(opened, Side::Opener, _) => {
                self.opened.insert(opened, flow);
            }
            _ => {}
        }
    }

    /// The host binds the port that the world knows a flow by: what is sent there is for the host from now on.
    pub fn claim(&mut self, step: usize) {
        let Some(number) = self.opened.get(&step) else { return };
        let Flow { outer, responder, .. } = &self.model.flows[*number];
        if outer.protocol != PROTOCOL_UDP || *responder != Place::World {
            return;
        }
        if let Ok(socket) = UdpSocket::bind(outer.from) {
            self.model.claim(outer.from);
            self.sockets.push(socket);
        }
    }

    /// What two flows send at once, if both have to be there; their packets have different identifications.
    pub fn pair(&self, speakers: &[(usize, Side, Content); 2], identification: u16) -> Option<[Sent; 2]> {
        let [one, two] = speakers;
        if self.opened.get(&one.0) == self.opened.get(&two.0) && one.1 != two.1 {
            // whether an answer came first would be for the order of the fragments to say
            return None;
        }
        let speak = |number: usize| {
            let (step, side, content) = &speakers[number];
            let flow = &self.model.flows[*self.opened.get(step)?];
            let identification = identification.wrapping_sub(u16::from(number == 1));
            let sent = speaks(flow, *side, content, identification);
            (flow.is_sure() && !sent.pieces.is_empty()).then_some(sent)
        };
        Some([speak(0)?, speak(1)?])
    }

    /// What a step sends; nothing if it sends nothing, or is about a flow that has never begun.
    pub fn sent(&self, step: Step, identification: u16) -> Option<Sent> {
        let of = |step: usize| self.opened.get(&step).map(|number| &self.model.flows[*number]);
        Some(match step {
            Step::Open(way, content) => first(&way, &content, identification),
            Step::Speak(step, side, content) => speaks(of(step)?, side, &content, identification),
            Step::Complain(step, side, complaint) => {
                let flow = of(step)?;
                Sent::complaint(place(flow, side), &received(flow, side), &complaint)
            }
            Step::Stray(step, Stray::Short(_), _) if !needs_sum(of(step)?) => return None,
            // once the flow has ended it is a neighbour's own, and goes straight
            Step::Stray(step, Stray::Piece(Side::Responder), _)
                if is_between_neighbours(of(step)?) && !of(step)?.is_sure() =>
            {
                return None;
            }
            // the wire to the uplink takes nothing that it could not pass on
            Step::Stray(step, Stray::TooBig { .. }, _) if of(step)?.opener == Place::World => return None,
            Step::Stray(step, stray, content) => strays(of(step)?, stray, &content, identification),
            Step::Together(_) | Step::Expire(_) | Step::Claim(_) | Step::Raise => return None,
        })
    }
}

/// Whether the flow's two ends are neighbours, so that answers do not go by the gateway.
fn is_between_neighbours(flow: &Flow) -> bool {
    flow.opener != Place::World && flow.opener != flow.responder && flow.opener.zone() == flow.responder.zone()
}

/// A neighbour's packet outside a flow goes straight. Its fragments may wait for the first one, so it is sent whole.
fn keep_whole(flow: &Flow, content: &mut Content) {
    if is_between_neighbours(flow) && matches!(content.form, Form::Cut(_)) {
        content.form = Form::Plain;
    }
}

/// Whether a packet of the flow cannot be translated without its sum.
fn needs_sum(flow: &Flow) -> bool {
    let ports = |tuple: &Tuple| (tuple.from.port(), tuple.to.port());
    let has_sum = match flow.inner.protocol {
        PROTOCOL_GRE => false,
        PROTOCOL_SCTP => ports(&flow.inner) != ports(&flow.outer),
        _ => true,
    };
    has_sum && flow.is_sure()
}

fn first(way: &Way, content: &Content, identification: u16) -> Sent {
    let from = match way.opener {
        Place::World => one(PEERS[way.peer], way.is_v4),
        Place::Container(number) => address(CONTAINERS[number], way.is_v4),
    };
    let (to, port) = match way.to {
        Goal::Peer(peer, port) => (one(PEERS[peer], way.is_v4), port),
        Goal::Host(port) => (host(way.is_v4), port),
    };
    // a question has an identifier, and the protocols without ports have nothing
    let has_port = !matches!(way.protocol, PROTOCOL_GRE | PROTOCOL_ICMP | PROTOCOL_ICMPV6);
    let tuple = Tuple {
        protocol: way.protocol,
        from: SocketAddr::new(from, way.port),
        to: SocketAddr::new(to, if has_port { port } else { 0 }),
    };
    Sent::packet(way.opener, tuple, None, content, identification)
}

/// As one side of a flow sends, and as it reaches the other.
fn tuples(flow: &Flow, side: Side) -> (Tuple, Tuple) {
    match side {
        Side::Opener => (flow.inner, flow.way(Direction::Original).1),
        Side::Responder => (flow.outer.reversed(), flow.way(Direction::Reply).1),
    }
}

fn place(flow: &Flow, side: Side) -> Place {
    match side {
        Side::Opener => flow.opener,
        Side::Responder => flow.responder,
    }
}

fn speaks(flow: &Flow, side: Side, content: &Content, identification: u16) -> Sent {
    let (tuple, translated) = tuples(flow, side);
    let mut content = *content;
    if side == Side::Responder && !flow.is_sure() {
        keep_whole(flow, &mut content);
    }
    Sent::packet(place(flow, side), tuple, Some(translated), &content, identification)
}

const PLAIN: Content = Content {
    size: 40,
    fill: 7,
    hops: 64,
    flags: tcp::ACK,
    form: Form::Plain,
    sum: Sum::Right,
};

/// A packet that this side has got.
fn received(flow: &Flow, side: Side) -> Vec<u8> {
    let from = match side {
        Side::Opener => Side::Responder,
        Side::Responder => Side::Opener,
    };
    let sent = speaks(flow, from, &PLAIN, 0);
    let (_, translated) = tuples(flow, from);
    rewrite(&sent.frame, &translated, place(flow, side).macs_out(), 63)
}

fn strays(flow: &Flow, stray: Stray, content: &Content, identification: u16) -> Sent {
    let (mut tuple, _) = tuples(flow, Side::Responder);
    let mut place = flow.responder;
    let mut content = *content;
    let beside = |socket: SocketAddr| SocketAddr::new(socket.ip(), socket.port().wrapping_add(1).max(1));
    let has_ports = tuple.from.port() != 0;
    let complaint = Complaint {
        by_router: true,
        is_short: false,
        kind: 0,
        hops: 64,
    };
    let is_v4 = tuple.from.is_ipv4();
    keep_whole(flow, &mut content);
    match stray {
        Stray::OtherPeer if place == Place::World => {
            let number = usize::from(tuple.from.ip() == one(PEERS[0], is_v4));
            tuple.from.set_ip(one(PEERS[number], is_v4));
        }
        Stray::OtherPort | Stray::OtherPeer if has_ports => tuple.from = beside(tuple.from),
        Stray::BesidePort if tuple.to.port() != 0 => tuple.to = beside(tuple.to),
        Stray::Inside => {
            let (container, port) = match flow.opener {
                Place::World => (flow.responder, flow.outer.to.port()),
                opener @ Place::Container(_) => (opener, flow.inner.from.port()),
            };
            let inside = address(container.port().expect("a container"), is_v4);
            tuple = Tuple {
                from: SocketAddr::new(one(PEERS[0], is_v4), tuple.from.port()),
                to: SocketAddr::new(inside, port),
                ..tuple
            };
            place = Place::World;
        }
        Stray::Forged => {
            place = Place::World;
            tuple = Tuple {
                from: SocketAddr::new(address(CONTAINERS[usize::from(!is_v4)], is_v4), tuple.from.port()),
                to: SocketAddr::new(host(is_v4), tuple.to.port()),
                ..tuple
            };
        }
        Stray::Spoofed => {
            place = other(flow.opener);
            tuple = flow.inner;
        }
        Stray::LastHop(side) => {
            content.hops = 1;
            content.form = Form::Plain;
            content.sum = Sum::Right;
            return speaks(flow, side, &content, identification);
        }
        Stray::TooBig { in_segments } => {
            let is_cut = in_segments && matches!(flow.inner.protocol, PROTOCOL_TCP | PROTOCOL_UDP);
            content.form = Form::Plain;
            (content.size, content.sum) = if is_cut {
                (40, Sum::Segments(MTU - 20))
            } else {
                (usize::from(MTU) + 100, Sum::Right)
            };
            let mut sent = speaks(flow, Side::Opener, &content, identification);
            sent.is_too_big = true;
            return sent;
        }
        Stray::Complaint => {
            let mut quoted = flow.outer;
            quoted.to = beside(quoted.to);
            let quote = rewrite(&received(flow, Side::Responder), &quoted, place.macs_out(), 63);
            return Sent::complaint(place, &quote, &complaint);
        }
        Stray::ForeignComplaint => {
            let foreign = other(flow.responder);
            let from = address(foreign.port().expect("a container"), is_v4);
            let quote = received(flow, Side::Responder);
            return Sent::error(foreign, from, &quote[ETHERNET..], &complaint);
        }
        Stray::Piece(side) => {
            (content.form, content.sum) = (Form::Plain, Sum::Right);
            let mut sent = speaks(flow, side, &content, identification);
            sent.leave_last();
            return sent;
        }
        Stray::Short(side) => {
            let mut sent = speaks(flow, side, &content, identification);
            sent.shorten(content.fill & 1 == 0);
            return sent;
        }
        // it has nothing of the kind: one of the flow's own
        Stray::OtherPeer | Stray::OtherPort | Stray::BesidePort => {}
    }
    Sent::packet(place, tuple, None, &content, identification)
}
