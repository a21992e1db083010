//! What the programs have counted, summed over the CPUs.

use aya::maps::PerCpuValues;
use netswitch_common::{
    limit::Rations,
    verdict::{Count, DropKey, DropReason, Verdict},
};

use super::{Error, Result, Tables, tables::absent_is_fine};

impl Tables {
    /// Frames dropped, by sender and reason.
    pub fn drops(&self) -> Result<Vec<(DropKey, Count)>> {
        let rows = self.drops.iter();
        rows.map(|row| row.map(|(key, counts)| (key, sum(&counts))))
            .collect::<Result<_, _>>()
            .map_err(Error::map("DROPS"))
    }

    /// Frames by verdict; every verdict is listed.
    pub fn paths(&self) -> Result<Vec<(Verdict, Count)>> {
        let count = |verdict: &Verdict| {
            let counts = self.paths.get(&(*verdict as u32), 0).map_err(Error::map("PATHS"))?;
            Ok((*verdict, sum(&counts)))
        };
        Verdict::ALL.iter().map(count).collect()
    }

    /// Removes what was counted for an endpoint, before its id is given to another.
    pub fn forget_endpoint(&mut self, id: u32) -> Result<()> {
        for reason in DropReason::ALL {
            let key = DropKey {
                endpoint: id,
                reason: *reason as u32,
            };
            absent_is_fine("DROPS", self.drops.remove(&key))?;
        }
        let rations = Rations::default();
        self.rations.set(id, rations).map_err(Error::map("RATIONS"))?;
        // QUOTAS stays: its hand goes on, so that a flow's serial is never another's in the same slot
        self.hairpins.set(id, 0).map_err(Error::map("HAIRPINS"))?;
        self.extents.set(id, 0).map_err(Error::map("EXTENTS"))
    }
}

fn sum(counts: &PerCpuValues<Count>) -> Count {
    counts.iter().fold(Count::default(), |total, count| Count {
        packets: total.packets + count.packets,
        bytes: total.bytes + count.bytes,
    })
}
