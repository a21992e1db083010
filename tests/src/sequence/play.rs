//! Plays a sequence: sends what each step says, and has it judged.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netswitch_common::address::Address;
use netswitch_common::flow::{FlowIndex, FlowKey, Tuple as Key};

use super::Tally;
use super::datagram::{ETHERNET, Tuple, rewrite};
use super::judge::judge;
use super::known;
use super::model::{Direction, Flow, Model};
use super::scene::{self, CONTAINERS, PEERS, Place, address, host, one};
use super::sent::Sent;
use super::step::{Complaint, Content, Form, Goal, Room, Side, Step, Stray, Sum, Way, other, tcp};
use super::wire::{Arrival, Wire};
use crate::fixture::uplink;
use crate::loaded::Loaded;
use crate::packet::{PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, describe};
use crate::records::{Index, Records};

/// The fixed world, its wire, and the maps of flows.
pub struct Stage {
    wire: Wire,
    index: Index,
    records: Records,
    generation: u32,
    identification: u16,
}

/// A step after which something was wrong.
#[derive(Debug)]
pub struct Fault {
    pub step: usize,
    pub text: String,
}

/// What is played next.
enum Next {
    Step,
    Sequence,
}

/// What a living flow is, in its record.
type Life = (u64, u32, u32, [Key; 2]);

impl Stage {
    pub fn prepare(loaded: &mut Loaded) -> Self {
        scene::prepare(loaded);
        Self {
            wire: Wire::lay(),
            index: Index::open(&loaded.maps()),
            records: Records::open(&loaded.maps()),
            generation: 0,
            identification: 0,
        }
    }

    /// Plays these steps in a switch without flows.
    pub fn play(
        &mut self,
        loaded: &mut Loaded,
        room: Room,
        steps: &[(usize, Step)],
        tally: &mut Tally,
    ) -> Result<(), Fault> {
        self.configure(loaded, room);
        let mut game = Game {
            model: Model::new(room),
            opened: BTreeMap::new(),
        };
        let mut result = Ok(());
        for (number, step) in steps {
            if let Step::Raise = step {
                self.configure(loaded, room);
                continue;
            }
            match self.take(&mut game, *number, *step, tally) {
                Ok(Next::Step) => {}
                Ok(Next::Sequence) => break,
                Err(text) => {
                    result = Err(Fault { step: *number, text });
                    break;
                }
            }
        }
        tally.sequences += 1;
        tally.flows += game.model.flows.len() as u64;
        self.clear(&game.model);
        result
    }

    /// Each time with another generation: flows look again where they go.
    fn configure(&mut self, loaded: &mut Loaded, room: Room) {
        self.generation += 1;
        let mut config = uplink::config(room.ports, room.quota);
        config.generation = self.generation;
        loaded.datapath.tables().set_config(&config).expect("a configuration");
    }

    fn take(&mut self, game: &mut Game, number: usize, step: Step, tally: &mut Tally) -> Result<Next, String> {
        if let Step::Expire(flow) = step {
            self.expire(game, flow);
            return Ok(Next::Step);
        }
        let Some(sent) = game.sent(step, self.identification) else {
            return Ok(Next::Step);
        };
        // no fragment may meet what an earlier packet has left
        self.identification = self.identification.wrapping_add(u16::from(!sent.pieces.is_empty()));
        let before = self.lives(&game.model);
        let Some(arrivals) = self.exchange(&sent, tally) else {
            return Ok(Next::Step);
        };
        let told = |fault: String| {
            let frames: Vec<_> = sent.frames().iter().map(|frame| describe(frame)).collect();
            let offload = sent.offload.map_or(String::new(), |offload| format!(" {offload:?}"));
            format!("{fault}\nat {:?} came{offload} {}", sent.place, frames.join("\n"))
        };
        if known::speaks_as_another(&game.model, &sent, &arrivals) {
            return Ok(Next::Sequence);
        }
        let begun = judge(&mut game.model, &sent, &arrivals).map_err(told)?;
        if let Some(begun) = begun {
            game.begins(number, step, begun);
        }
        // an error is not of the flow, and what is dropped is of nothing
        if arrivals.is_empty() || sent.quoted.is_some() {
            let after = self.lives(&game.model);
            let sure = before.into_iter().filter(|(key, _)| game.model.flows[*key].is_sure());
            for (key, life) in sure.filter(|_| !known::is_dropped_too_late(&sent)) {
                if after.get(&key).is_none_or(|after| *after != life) {
                    let flow = &game.model.flows[key];
                    let now = after.get(&key);
                    return Err(told(format!(
                        "a packet that is none of its own changes the flow {flow:?}\nfrom {life:?}\nto   {now:?}"
                    )));
                }
            }
        }
        Ok(Next::Step)
    }

    /// What comes out. `None`: the kernel does not send such a thing.
    fn exchange(&mut self, sent: &Sent, tally: &mut Tally) -> Option<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        for frame in sent.frames() {
            tally.packets += 1;
            match self.wire.exchange(sent.place, &frame, sent.offload) {
                Ok(arrived) => arrivals.extend(arrived),
                // before 6.2 it cuts no UDP
                Err(error) if sent.offload.is_some() && error.raw_os_error() == Some(libc::EINVAL) => return None,
                Err(error) => panic!("{error}: {}", describe(&frame)),
            }
        }
        tally.left += arrivals.len() as u64;
        tally.fragments += sent.pieces.len() as u64;
        tally.segments += u64::from(sent.offload.is_some_and(|offload| offload.kind != 0));
        tally.errors += u64::from(sent.quoted.is_some());
        Some(arrivals)
    }

    /// The records of the flows that have to be there.
    fn lives(&self, model: &Model) -> BTreeMap<usize, Life> {
        let sure = model.flows.iter().enumerate().filter(|(_, flow)| flow.is_sure());
        sure.filter_map(|(number, flow)| {
            let record = self.records.get(self.find(flow)?.key)?;
            Some((number, (record.deadline, record.serial, record.progress, record.tuples)))
        })
        .collect()
    }

    fn find(&self, flow: &Flow) -> Option<FlowIndex> {
        self.index.get(&key(&flow.inner, flow.opener))
    }

    fn expire(&mut self, game: &mut Game, step: usize) {
        let Some(number) = game.opened.get(&step) else { return };
        let flow = &mut game.model.flows[*number];
        if flow.ended {
            return;
        }
        flow.ended = true;
        let flow = flow.clone();
        if let Some(index) = self.find(&flow)
            && let Some(mut record) = self.records.get(index.key)
            && record.serial == index.serial
        {
            record.deadline = 0;
            self.records.put(index.key, &record);
        }
    }

    /// Takes every flow out of the maps.
    fn clear(&mut self, model: &Model) {
        for flow in &model.flows {
            self.index.remove(&key(&flow.inner, flow.opener));
            self.index.remove(&key(&flow.outer.reversed(), flow.responder));
        }
        for port in CONTAINERS {
            for slot in 0..model.room.quota {
                self.records.remove(FlowKey { owner: port.id, slot });
            }
        }
    }
}

/// The key of FLOWS by which a packet with this tuple is found.
fn key(tuple: &Tuple, place: Place) -> Key {
    Key {
        from: Address::from(tuple.from.ip()),
        to: Address::from(tuple.to.ip()),
        from_port: tuple.from.port().to_be(),
        to_port: tuple.to.port().to_be(),
        zone: place.zone().into(),
        protocol: tuple.protocol.into(),
    }
}

/// A sequence while it is played.
struct Game {
    model: Model,
    /// Which flow the step with this number has opened.
    opened: BTreeMap<usize, usize>,
}

impl Game {
    /// A flow has begun with a packet of this step.
    fn begins(&mut self, number: usize, step: Step, flow: usize) {
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

    /// What a step sends; nothing if it is about a flow that has never begun.
    fn sent(&self, step: Step, identification: u16) -> Option<Sent> {
        let of = |step: usize| self.opened.get(&step).map(|number| &self.model.flows[*number]);
        Some(match step {
            Step::Open(way, content) => first(&way, &content, identification),
            Step::Speak(step, side, content) => speaks(of(step)?, side, &content, identification),
            Step::Complain(step, side, complaint) => {
                let flow = of(step)?;
                Sent::complaint(place(flow, side), &received(flow, side), &complaint)
            }
            Step::Stray(step, Stray::Short(_), _) if !needs_sum(of(step)?) => return None,
            Step::Stray(step, Stray::Piece(side), _) if known::goes_straight(of(step)?, side) => return None,
            Step::Stray(step, stray, content) => strays(of(step)?, stray, &content, identification),
            Step::Expire(_) | Step::Raise => return None,
        })
    }
}

/// Whether a packet of the flow cannot be translated without its sum; and see [`known::is_dropped_too_late`].
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
    if known::goes_straight(flow, side) {
        content.form = Form::Plain;
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
            // see `known::is_dropped_too_late`
            content.flags = tcp::ACK;
            let mut sent = speaks(flow, side, &content, identification);
            sent.shorten(content.fill & 1 == 0);
            return sent;
        }
        Stray::OtherPeer | Stray::OtherPort | Stray::BesidePort => content.flags = tcp::RST,
    }
    Sent::packet(place, tuple, None, &content, identification)
}
