//! The flows of a sequence as somebody knows them who sees both ends: what the first packet was, and as what it left.

use std::net::SocketAddr;

use netswitch_common::flow::mapping;

use super::datagram::Tuple;
use super::scene::{PUBLICATIONS, Place, host};
use super::step::{Room, tcp};
use crate::packet::{PROTOCOL_TCP, PROTOCOL_UDP};

/// A flow whose first packet has left.
#[derive(Clone, Debug)]
pub struct Flow {
    pub opener: Place,
    pub responder: Place,
    /// As its opener sends, and as that reaches the responder.
    pub inner: Tuple,
    pub outer: Tuple,
    /// Whose quota it is of.
    pub owner: Place,
    answered: bool,
    /// Its opener was heard after the answer.
    assured: bool,
    /// Its last packet was a reset.
    reset: bool,
    /// Both sides have said that they have finished.
    finished: [bool; 2],
    /// Its owner has opened more flows than it may have: this one may have given way.
    pressed: bool,
    pub ended: bool,
    /// The host has its port by now; it has its slot until its opener speaks.
    claimed: bool,
    /// It had ended as a connection ends, and another flow has what it was known by.
    pub replaced: bool,
}

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Original,
    Reply,
}

impl Flow {
    pub fn new(opener: Place, responder: Place, inner: Tuple, outer: Tuple) -> Self {
        Self {
            opener,
            responder,
            inner,
            outer,
            owner: if opener == Place::World { responder } else { opener },
            answered: false,
            assured: false,
            reset: false,
            finished: [false; 2],
            pressed: false,
            ended: false,
            claimed: false,
            replaced: false,
        }
    }

    /// Whether it has to be there: nothing has happened that could have ended it.
    pub fn is_sure(&self) -> bool {
        !(self.ended || self.pressed || self.is_closed())
    }

    fn is_closed(&self) -> bool {
        self.reset || self.finished == [true; 2]
    }

    /// Where its packets of a direction go, and as what.
    pub fn way(&self, direction: Direction) -> (Place, Tuple) {
        match direction {
            Direction::Original => (self.responder, self.outer),
            Direction::Reply => (self.opener, self.inner.reversed()),
        }
    }

    /// Where they come from.
    pub fn end(&self, direction: Direction) -> Place {
        match direction {
            Direction::Original => self.opener,
            Direction::Reply => self.responder,
        }
    }

    /// A packet of it has passed.
    fn passed(&mut self, direction: Direction, flags: u8) {
        let is_tcp = self.inner.protocol == PROTOCOL_TCP;
        let has = |flag: u8| is_tcp && flags & flag != 0;
        if direction == Direction::Original && !self.is_sure() {
            // perhaps it has ended meanwhile, and this is another one like it
            let begins_anew = is_tcp && flags & (tcp::SYN | tcp::ACK) == tcp::SYN;
            (self.answered, self.assured) = (false, false);
            if begins_anew {
                self.finished = [false; 2];
            }
        }
        self.pressed = false;
        self.reset = has(tcp::RST);
        if has(tcp::FIN) {
            self.finished[usize::from(direction == Direction::Reply)] = true;
        }
        if self.reset {
            return;
        }
        match direction {
            Direction::Reply => self.answered = true,
            Direction::Original if self.answered => {
                self.assured |= !is_tcp || flags & (tcp::SYN | tcp::ACK) == tcp::ACK;
            }
            Direction::Original => {}
        }
    }
}

pub struct Model {
    pub room: Room,
    pub flows: Vec<Flow>,
    /// Where sockets of the host hear UDP.
    claimed: Vec<SocketAddr>,
}

impl Model {
    pub fn new(room: Room) -> Self {
        Self {
            room,
            flows: Vec::new(),
            claimed: Vec::new(),
        }
    }

    /// What comes to this address over UDP is for the host from now on.
    pub fn claim(&mut self, socket: SocketAddr) {
        self.claimed.push(socket);
        let is_its = |flow: &&mut Flow| {
            flow.responder == Place::World && flow.outer.protocol == PROTOCOL_UDP && flow.outer.from == socket
        };
        for flow in self.flows.iter_mut().filter(is_its) {
            flow.claimed = !flow.ended;
            flow.ended = true;
        }
    }

    pub fn is_claimed(&self, tuple: &Tuple) -> bool {
        tuple.protocol == PROTOCOL_UDP && self.claimed.contains(&tuple.from)
    }

    /// The flow of a packet with this tuple that enters the switch here.
    pub fn find(&self, place: Place, tuple: &Tuple) -> Option<(usize, Direction)> {
        let mut living = self.flows.iter().enumerate().rev().filter(|(_, flow)| !flow.ended);
        living.find_map(|(number, flow)| {
            if flow.opener.zone() == place.zone() && flow.inner == *tuple {
                Some((number, Direction::Original))
            } else if flow.responder.zone() == place.zone() && flow.outer.reversed() == *tuple {
                Some((number, Direction::Reply))
            } else {
                None
            }
        })
    }

    /// A flow has begun. Whatever could be taken for it must have ended.
    pub fn open(&mut self, flow: Flow) -> Result<usize, String> {
        // what gives way to it may leave it its port
        self.press(flow.owner);
        let keys = [
            (flow.opener.zone(), flow.inner),
            (flow.responder.zone(), flow.outer.reversed()),
        ];
        for other in self.flows.iter_mut().filter(|other| !other.ended) {
            let others = [
                (other.opener.zone(), other.inner),
                (other.responder.zone(), other.outer.reversed()),
            ];
            if !keys.iter().any(|key| others.contains(key)) {
                continue;
            }
            if other.is_sure() {
                return Err(format!("it leaves as a living flow does: {other:?}"));
            }
            other.replaced = other.is_closed();
            other.ended = true;
        }
        self.flows.push(flow);
        Ok(self.flows.len() - 1)
    }

    /// A packet of a flow has passed.
    pub fn passed(&mut self, number: usize, direction: Direction, flags: u8) {
        let flow = &self.flows[number];
        if direction == Direction::Original && !flow.is_sure() {
            // perhaps it has begun anew
            self.press(flow.owner);
        }
        self.flows[number].passed(direction, flags);
    }

    /// An endpoint opens a flow: if it has all that it may have, one of them gives way that nobody has used twice.
    pub fn press(&mut self, owner: Place) {
        if self.is_full(owner) {
            let yielding = |other: &&mut Flow| other.owner == owner && !other.assured;
            for other in self.flows.iter_mut().filter(yielding) {
                other.pressed = true;
            }
        }
    }

    /// Whether an endpoint may have as many flows as it is allowed.
    pub fn is_full(&self, owner: Place) -> bool {
        // with more slots than a new flow tries, those of ended flows count
        const TRIED: u32 = 16;
        let flows = self.flows.iter().filter(|flow| flow.owner == owner);
        let held = flows.filter(|flow| self.room.quota > TRIED || !flow.ended || flow.claimed);
        held.count() >= usize::try_from(self.room.quota).expect("a small number")
    }

    /// Whether a flow that leaves as `outer`, to `responder`, may find no port; `has_ports`: it may take another one.
    pub fn lacks_port(&self, responder: Place, outer: &Tuple, has_ports: bool) -> bool {
        let living = self.flows.iter().filter(|flow| !flow.ended || flow.claimed);
        let shown = living.flat_map(|flow| {
            [
                (flow.responder.zone(), flow.outer),
                (flow.opener.zone(), flow.inner.reversed()),
            ]
        });
        let mut taken = shown.filter(|(zone, other)| *zone == responder.zone() && is_beside(other, outer));
        if !has_ports {
            return taken.any(|(_, other)| other == *outer);
        }
        let (first, count) = self.range(responder, outer);
        let taken = taken.filter(|(_, other)| (first..first + count).contains(&other.from.port()));
        taken.count() >= usize::from(count - self.barred((first, count), outer))
    }

    /// Whether no flow has had the socket or the port of what begins as `inner` and would leave as `outer`.
    pub fn is_new_socket(&self, inner: &Tuple, outer: &Tuple) -> bool {
        let mut flows = self.flows.iter().filter(|flow| flow.inner.protocol == inner.protocol);
        !self.is_claimed(outer) && !flows.any(|flow| flow.inner.from == inner.from || flow.outer.from == outer.from)
    }

    /// Ports among which another one is chosen for what would leave as `outer`: a privileged port stays one.
    fn range(&self, responder: Place, outer: &Tuple) -> (u16, u16) {
        match mapping::class(outer.protocol, outer.from.port()) {
            Some(class) if responder == Place::World => class,
            _ => self.room.ports,
        }
    }

    /// How many of these ports are published, or have a socket of the host.
    fn barred(&self, (first, count): (u16, u16), outer: &Tuple) -> u16 {
        let is_v4 = outer.from.is_ipv4();
        let is_barred = |port: &u16| {
            let tuple = Tuple {
                from: SocketAddr::new(outer.from.ip(), *port),
                ..*outer
            };
            let mut publications = PUBLICATIONS.iter();
            let is_published = publications.any(|published| published.leads(is_v4, outer.protocol, *port).is_some());
            self.is_claimed(&tuple) || is_published && outer.from.ip() == host(is_v4)
        };
        match count {
            ..=64 => u16::try_from((first..first + count).filter(is_barred).count()).expect("few"),
            _ => 0,
        }
    }

    /// Whether what would leave as `outer` may have another port, and this one.
    pub fn may_have_port(&self, responder: Place, outer: &Tuple, port: u16) -> bool {
        let (first, count) = self.range(responder, outer);
        (first..first + count).contains(&port)
    }
}

/// Whether two tuples differ by the port of `from` at most.
fn is_beside(one: &Tuple, two: &Tuple) -> bool {
    one.protocol == two.protocol && one.to == two.to && one.from.ip() == two.from.ip()
}
