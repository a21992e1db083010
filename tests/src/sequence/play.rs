//! Plays a sequence: sends what each step says, and has it judged.

use std::collections::BTreeMap;

use netswitch_common::address::Address;
use netswitch_common::flow::{FlowIndex, FlowKey, Tuple as Key};

use super::Tally;
use super::datagram::{ETHERNET, Tuple, identification};
use super::game::Game;
use super::judge::judge;
use super::model::{Flow, Model};
use super::scene::{self, CONTAINERS, Place};
use super::sent::Sent;
use super::step::{Room, Step};
use super::wire::{Arrival, Wire};
use crate::fixture::uplink;
use crate::loaded::Loaded;
use crate::packet::describe;
use crate::records::{Index, Pieces, Records};

/// The fixed world, its wire, and the maps of flows.
pub struct Stage {
    wire: Wire,
    index: Index,
    records: Records,
    pieces: Pieces,
    generation: u32,
    identification: u16,
}

/// A step after which something was wrong.
#[derive(Debug)]
pub struct Fault {
    pub step: usize,
    pub text: String,
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
            pieces: Pieces::open(&loaded.maps()),
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
            if let Err(text) = self.take(loaded, &mut game, *number, *step, tally) {
                result = Err(Fault { step: *number, text });
                break;
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
    ) -> Result<(), String> {
        // no fragment may meet what an earlier packet has left
        self.identification = self.identification.wrapping_add(step.cuts());
        match step {
            Step::Expire(flow) => self.expire(game, flow),
            Step::Raise => self.configure(loaded, game.model.room),
            Step::Claim(flow) => {
                game.claim(flow);
                // so do the hooks at the host's sockets
                self.configure(loaded, game.model.room);
            }
            Step::Together(speakers) => {
                if let Some(pair) = game.pair(&speakers, self.identification) {
                    self.send_both(game, &pair, tally)?;
                }
            }
            Step::Open(..) | Step::Speak(..) | Step::Complain(..) | Step::Stray(..) => {
                if let Some(sent) = game.sent(step, self.identification) {
                    return self.send(game, number, step, &sent, tally);
                }
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        game: &mut Game,
        number: usize,
        step: Step,
        sent: &Sent,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let before = self.lives(&game.model);
        let Some(arrivals) = self.exchange(sent, tally) else {
            return Ok(());
        };
        let told = |fault: String| format!("{fault}\n{}", tell(sent));
        let begun = judge(&mut game.model, sent, &arrivals).map_err(told)?;
        if let Some(begun) = begun {
            game.begins(number, step, begun);
        }
        // an error is not of the flow, and what is dropped is of nothing
        if arrivals.is_empty() || sent.quoted.is_some() {
            let after = self.lives(&game.model);
            let sure = before.into_iter().filter(|(key, _)| game.model.flows[*key].is_sure());
            for (key, life) in sure {
                if after.get(&key).is_none_or(|after| *after != life) {
                    let flow = &game.model.flows[key];
                    let now = after.get(&key);
                    return Err(told(format!(
                        "a packet that is none of its own changes the flow {flow:?}\nfrom {life:?}\nto   {now:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Fragments of two packets, in turns: each is judged by what is its own.
    fn send_both(&mut self, game: &mut Game, pair: &[Sent; 2], tally: &mut Tally) -> Result<(), String> {
        let frames = pair.each_ref().map(Sent::frames);
        let mut arrivals = Vec::new();
        for turn in 0..frames[0].len().max(frames[1].len()) {
            for (sent, frames) in pair.iter().zip(&frames) {
                let arrived = frames.get(turn).and_then(|frame| self.pass(sent, frame, tally));
                arrivals.extend(arrived.into_iter().flatten());
            }
        }
        for sent in pair {
            let is_its = |arrival: &Arrival| identification(&arrival.frame[ETHERNET..]) == sent.identification;
            let its: Vec<Arrival>;
            (its, arrivals) = arrivals.into_iter().partition(is_its);
            tally.count(sent, &its);
            judge(&mut game.model, sent, &its)
                .map_err(|fault| format!("{fault}\n{}\nin turns with {}", tell(&pair[0]), tell(&pair[1])))?;
        }
        match arrivals.first() {
            None => Ok(()),
            Some(arrival) => Err(format!("what is of none leaves: {}", describe(&arrival.frame))),
        }
    }

    /// What comes out. `None`: the kernel does not send such a thing.
    fn exchange(&mut self, sent: &Sent, tally: &mut Tally) -> Option<Vec<Arrival>> {
        let mut arrivals = Vec::new();
        for frame in sent.frames() {
            arrivals.extend(self.pass(sent, &frame, tally)?);
        }
        tally.count(sent, &arrivals);
        Some(arrivals)
    }

    fn pass(&mut self, sent: &Sent, frame: &[u8], tally: &mut Tally) -> Option<Vec<Arrival>> {
        tally.packets += 1;
        match self.wire.exchange(sent.place, frame, sent.offload) {
            Ok(arrived) => Some(arrived),
            // before 6.2 it cuts no UDP
            Err(error) if sent.offload.is_some() && error.raw_os_error() == Some(libc::EINVAL) => None,
            Err(error) => panic!("{error}: {}", describe(frame)),
        }
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

    /// Takes every flow and fragment out of the maps.
    fn clear(&mut self, model: &Model) {
        self.identification = 0;
        self.pieces.forget();
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

/// What was sent, in words.
fn tell(sent: &Sent) -> String {
    let frames: Vec<_> = sent.frames().iter().map(|frame| describe(frame)).collect();
    let offload = sent.offload.map_or(String::new(), |offload| format!(" {offload:?}"));
    format!("at {:?} came{offload} {}", sent.place, frames.join("\n"))
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
