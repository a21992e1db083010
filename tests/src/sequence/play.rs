//! Plays a sequence: sends what each step says, and has it judged.

use std::collections::BTreeMap;

use netswitch_common::address::Address;
use netswitch_common::flow::{FlowIndex, FlowKey, Tuple as Key};

use super::Tally;
use super::datagram::Tuple;
use super::game::Game;
use super::judge::judge;
use super::known;
use super::model::{Flow, Model};
use super::scene::{self, CONTAINERS, Place};
use super::sent::Sent;
use super::step::{Room, Step};
use super::wire::{Arrival, Wire};
use crate::fixture::uplink;
use crate::loaded::Loaded;
use crate::packet::describe;
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
        let mut game = Game::new(room);
        let mut result = Ok(());
        for (number, step) in steps {
            match self.take(loaded, &mut game, *number, *step, tally) {
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

    fn take(
        &mut self,
        loaded: &mut Loaded,
        game: &mut Game,
        number: usize,
        step: Step,
        tally: &mut Tally,
    ) -> Result<Next, String> {
        match step {
            Step::Expire(flow) => self.expire(game, flow),
            Step::Raise => self.configure(loaded, game.model.room),
            Step::Claim(flow) => {
                game.claim(flow);
                // so do the hooks at the host's sockets
                self.configure(loaded, game.model.room);
            }
            Step::Open(..) | Step::Speak(..) | Step::Complain(..) | Step::Stray(..) => {
                if let Some(sent) = game.sent(step, self.identification) {
                    return self.send(game, number, step, &sent, tally);
                }
            }
        }
        Ok(Next::Step)
    }

    fn send(
        &mut self,
        game: &mut Game,
        number: usize,
        step: Step,
        sent: &Sent,
        tally: &mut Tally,
    ) -> Result<Next, String> {
        // no fragment may meet what an earlier packet has left
        self.identification = self.identification.wrapping_add(u16::from(!sent.pieces.is_empty()));
        let before = self.lives(&game.model);
        let Some(arrivals) = self.exchange(sent, tally) else {
            return Ok(Next::Step);
        };
        let told = |fault: String| {
            let frames: Vec<_> = sent.frames().iter().map(|frame| describe(frame)).collect();
            let offload = sent.offload.map_or(String::new(), |offload| format!(" {offload:?}"));
            format!("{fault}\nat {:?} came{offload} {}", sent.place, frames.join("\n"))
        };
        if known::speaks_as_another(&game.model, sent, &arrivals) {
            return Ok(Next::Sequence);
        }
        let begun = judge(&mut game.model, sent, &arrivals).map_err(told)?;
        if let Some(begun) = begun {
            game.begins(number, step, begun);
        }
        // an error is not of the flow, and what is dropped is of nothing
        if arrivals.is_empty() || sent.quoted.is_some() {
            let after = self.lives(&game.model);
            let sure = before.into_iter().filter(|(key, _)| game.model.flows[*key].is_sure());
            for (key, life) in sure.filter(|_| !known::is_dropped_too_late(sent)) {
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
