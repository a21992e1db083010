//! Random sequences of packets through the loaded programs, and what must hold whatever came before: each packet that
//! leaves is, byte by byte, what a second hand makes of it; answers find who asked; no flow leaves as another; what is
//! dropped changes nothing.
//!
//! Frames go in and come out at the far ends of real devices, not by test runs of the programs: there the kernel
//! carries out what the programs return, sends fragments round, and leaves sums and segments to the device.

mod datagram;
mod game;
mod judge;
mod model;
mod play;
mod scene;
mod sent;
mod step;
mod wire;

use std::fmt;

use self::play::{Fault, Stage};
use self::sent::Sent;
use self::step::{Room, Step, sequence};
use self::wire::Arrival;
use crate::loaded::{Loaded, in_the_world};

/// How often a sequence is played again that has failed once: the switch chooses ports by chance.
const REPLAYS: usize = 16;

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub sequences: u64,
    pub packets: u64,
    /// Of these: so many left the switch, were fragments, or were left to the device to be cut into segments.
    pub left: u64,
    pub fragments: u64,
    pub segments: u64,
    /// ICMP errors about flows.
    pub errors: u64,
    pub flows: u64,
}

/// A sequence that fails, without the steps that it fails without.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    steps: Vec<(usize, Step)>,
    fault: String,
}

/// Plays sequences until so many packets have been sent, or one fails; the first has this seed, the others follow.
pub fn run(seed: u64, packets: u64) -> Result<Tally, Failure> {
    in_the_world(move |loaded| {
        let mut stage = Stage::prepare(loaded);
        let mut tally = Tally::default();
        for seed in seed.. {
            if tally.packets >= packets {
                break;
            }
            let (room, steps) = sequence(seed);
            let steps: Vec<_> = steps.into_iter().enumerate().collect();
            if let Err(fault) = stage.play(loaded, room, &steps, &mut tally) {
                return Err(shrink(&mut stage, loaded, seed, fault));
            }
        }
        Ok(tally)
    })
}

/// Plays one sequence again, or only these steps of it.
pub fn replay(seed: u64, kept: Option<&[usize]>) -> Result<Tally, Failure> {
    let kept = kept.map(<[usize]>::to_vec);
    in_the_world(move |loaded| {
        let mut stage = Stage::prepare(loaded);
        let mut tally = Tally::default();
        let (room, steps) = sequence(seed);
        let is_kept = |number: &usize| kept.as_ref().is_none_or(|kept| kept.contains(number));
        let steps: Vec<_> = steps
            .into_iter()
            .enumerate()
            .filter(|(number, _)| is_kept(number))
            .collect();
        for _ in 0..REPLAYS {
            if let Err(fault) = stage.play(loaded, room, &steps, &mut tally) {
                return Err(match kept {
                    None => shrink(&mut stage, loaded, seed, fault),
                    Some(_) => Failure {
                        seed,
                        steps,
                        fault: fault.text,
                    },
                });
            }
        }
        Ok(tally)
    })
}

/// Leaves out steps as long as the sequence fails without them.
fn shrink(stage: &mut Stage, loaded: &mut Loaded, seed: u64, fault: Fault) -> Failure {
    let (room, steps) = sequence(seed);
    let mut steps: Vec<_> = steps.into_iter().enumerate().take(fault.step + 1).collect();
    let mut text = fault.text;
    let mut fails = |steps: &[(usize, Step)]| {
        (0..REPLAYS).find_map(|_| stage.play(loaded, room, steps, &mut Tally::default()).err())
    };
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at + size < steps.len() {
            let without = [&steps[..at], &steps[at + size..]].concat();
            match fails(&without) {
                Some(fault) => {
                    steps = without;
                    steps.retain(|(number, _)| *number <= fault.step);
                    text = fault.text;
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    Failure {
        seed,
        steps,
        fault: text,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Room { ports, quota }, _) = sequence(self.seed);
        writeln!(
            formatter,
            "{}\nafter these steps of the sequence {}, with {} ports from {} on and {quota} flows for each container:",
            self.fault, self.seed, ports.1, ports.0
        )?;
        for (number, step) in &self.steps {
            writeln!(formatter, "{number:4} {step:?}")?;
        }
        let numbers: Vec<_> = self.steps.iter().map(|(number, _)| number.to_string()).collect();
        write!(
            formatter,
            "once more: cargo xtask fuzz packets --seed {} --steps {}",
            self.seed,
            numbers.join(",")
        )
    }
}

impl Tally {
    fn count(&mut self, sent: &Sent, arrivals: &[Arrival]) {
        self.left += arrivals.len() as u64;
        self.fragments += sent.pieces.len() as u64;
        self.segments += u64::from(sent.offload.is_some_and(|offload| offload.kind != 0));
        self.errors += u64::from(sent.quoted.is_some());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequences,
            packets,
            left,
            fragments,
            segments,
            errors,
            flows,
        } = self;
        write!(
            formatter,
            "{packets} packets in {sequences} sequences: {left} left, {flows} flows began, {fragments} fragments, \
             {segments} to be cut into segments, {errors} ICMP errors"
        )
    }
}
