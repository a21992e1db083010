//! What the programs have counted, summed over the CPUs.

use std::path::Path;

use netswitch_common::{
    limit::Rations,
    verdict::{Count, DropKey, DropReason, Verdict},
};

use super::{Error, Result, Tables, raw::RawMap, tables::absent_is_fine};

/// What is counted, for whoever reads it: descriptors of its own.
pub struct Counters {
    drops: RawMap,
    paths: RawMap,
}

impl Counters {
    /// Opens the maps that are pinned in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            drops: RawMap::open(&folder.join("DROPS"))?,
            paths: RawMap::open(&folder.join("PATHS"))?,
        })
    }

    /// Frames dropped, by sender and reason.
    pub fn drops(&self) -> Result<Vec<(DropKey, Count)>> {
        let mut drops = Vec::new();
        self.drops.each(|key, counts| {
            // SAFETY: the layout was checked when the object was loaded: a key's bytes, any of which are valid
            let key = unsafe { key.as_ptr().cast::<DropKey>().read_unaligned() };
            drops.push((key, sum(counts)));
        })?;
        Ok(drops)
    }

    /// Frames by verdict; every verdict is listed.
    pub fn paths(&self) -> Result<Vec<(Verdict, Count)>> {
        let mut paths = Vec::new();
        self.paths.each(|key, counts| {
            let number = key.try_into().map(u32::from_ne_bytes);
            if let Some(verdict) = number.ok().and_then(Verdict::from_number) {
                paths.push((verdict, sum(counts)));
            }
        })?;
        Ok(paths)
    }
}

impl Tables {
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

/// Every CPU's, one after the other.
fn sum(counts: &[u8]) -> Count {
    counts
        .chunks_exact(size_of::<Count>())
        .fold(Count::default(), |total, count| {
            // SAFETY: a Count's bytes, any of which are valid
            let count = unsafe { count.as_ptr().cast::<Count>().read_unaligned() };
            Count {
                packets: total.packets + count.packets,
                bytes: total.bytes + count.bytes,
            }
        })
}
