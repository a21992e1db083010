//! What the programs tell `netswitch monitor`: the ring of events, what found no room in it, and the switch
//! that turns it on.

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use netswitch_common::event::Event;

use super::{Datapath, Error, Result, tables::take};

/// The variables of the programs.
const VARIABLES: &str = ".bss";

/// Of the programs that this agent has loaded: another agent's have their own.
pub struct Events {
    ring: RingBuf<MapData>,
    missed: PerCpuArray<MapData, u64>,
    /// LISTENING, the only variable.
    listening: Array<MapData, u64>,
}

impl Datapath {
    /// For one reader.
    pub fn take_events(&mut self) -> Result<Events> {
        Ok(Events {
            ring: take(&mut self.ebpf, "EVENTS")?,
            missed: take(&mut self.ebpf, "MISSED")?,
            listening: take(&mut self.ebpf, VARIABLES)?,
        })
    }
}

impl Events {
    /// From now on the programs tell this much, a [`netswitch_common::event::level`].
    pub fn listen(&mut self, level: u64) -> Result<()> {
        self.listening.set(0, level, 0).map_err(Error::map(VARIABLES))
    }

    /// The oldest that nobody has read; it counts as read.
    pub fn oldest(&mut self) -> Option<Event> {
        self.ring.next().and_then(|bytes| Event::read(&bytes))
    }

    /// How many found no room since the programs were loaded.
    pub fn missed(&self) -> Result<u64> {
        let counts = self.missed.get(&0, 0).map_err(Error::map("MISSED"))?;
        Ok(counts.iter().sum())
    }
}
