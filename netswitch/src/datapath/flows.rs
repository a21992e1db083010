//! The flows that are alive, and the end of those that are not: housekeeping, which flows do not wait for.

use std::{collections::HashMap, path::Path};

use aya::maps::{self, MapData, MapError};
use netswitch_common::flow::{
    EXTENT, Flow, FlowIndex, FlowKey, Tuple, direction,
    mapping::{Mapping, MappingKey},
};
use netswitch_common::{host::Config, progress};

use super::{
    Error, Result,
    array::Array,
    inward::{Kept, Ports},
    raw::RawMap,
    tables::{absent_is_fine, pinned},
};

/// The maps of flows, for whoever reads and sweeps them: descriptors of its own, and no lock shared with who writes the
/// tables.
pub struct Flows {
    /// aya's handle cannot read many at once, nor take one out.
    records: RawMap,
    by_tuple: maps::HashMap<MapData, Tuple, FlowIndex>,
    mappings: maps::HashMap<MapData, MappingKey, Mapping>,
    extents: Array<u32>,
    kept: Kept,
    config: maps::Array<MapData, Config>,
}

impl Flows {
    /// Opens the maps that are pinned in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            records: RawMap::open(&folder.join("RECORDS"))?,
            by_tuple: pinned(folder, "FLOWS")?,
            mappings: pinned(folder, "MAPPINGS")?,
            extents: pinned(folder, "EXTENTS")?,
            kept: Kept::new(pinned(folder, "KEPT")?),
            config: pinned(folder, "CONFIG")?,
        })
    }

    /// Calls `each` with every flow that is alive at `now`.
    pub fn each(&self, now: u64, mut each: impl FnMut(FlowKey, &Flow)) -> Result<()> {
        self.each_record(|key, flow| {
            if flow.is_alive(now) && flow.progress & progress::WRITING == 0 {
                each(key, &flow);
            }
        })
    }

    /// Every flow that is alive, with its key, and the time that their deadlines are of.
    pub fn list(&self) -> Result<(Vec<(FlowKey, Flow)>, u64)> {
        let now = now();
        let mut flows = Vec::new();
        self.each(now, |key, flow| flows.push((key, *flow)))?;
        Ok((flows, now))
    }

    /// Removes flows whose time is over, and those for which `is_gone` says so. Lowers the extents of `owners` to what
    /// they use, and notes how much of them lies beyond their shares.
    pub fn sweep(&mut self, owners: impl Iterator<Item = u32>, is_gone: impl Fn(&Flow) -> bool) -> Result<()> {
        let used = self.remove_dead(is_gone)?;
        let share = self.config.get(&0, 0).map_err(Error::map("CONFIG"))?.flow_share;
        let mut beyond = 0_u32;
        for owner in owners {
            let used = used.get(&owner).copied().unwrap_or(0);
            beyond = beyond.saturating_add(self.trim_extent(owner, used, share)?);
        }
        self.extents.set(0, beyond).map_err(Error::map("EXTENTS"))
    }

    /// How many slots from 0 hold what is left, by owner.
    fn remove_dead(&mut self, is_gone: impl Fn(&Flow) -> bool) -> Result<HashMap<u32, u32>> {
        let half = self.kept.turn()?;
        let now = now();
        let mut dead = Vec::new();
        let mut used = HashMap::new();
        let mut kept = Ports::default();
        self.each_record(|key, flow| {
            if !flow.is_alive(now) || is_gone(&flow) {
                dead.push(key);
            } else {
                kept.add_masqueraded(&flow);
                let used = used.entry(key.owner).or_default();
                *used = key.slot.saturating_add(1).max(*used);
            }
        })?;
        for key in dead {
            self.end_flow(key, &is_gone)?;
        }
        self.kept.rewrite(half, &kept)?;
        Ok(used)
    }

    /// Lowers an endpoint's extent to the slots that it uses; returns how much of it lies beyond its share.
    ///
    /// A program that makes it larger at the same time may be undone: then it does so again for its next flow.
    fn trim_extent(&mut self, owner: u32, used: u32, share: u32) -> Result<u32> {
        let grown = self.extents.get(owner).map_err(Error::map("EXTENTS"))?;
        let needed = used.next_multiple_of(EXTENT).saturating_sub(EXTENT);
        if needed < grown {
            self.extents.set(owner, needed).map_err(Error::map("EXTENTS"))?;
        }
        let extent = EXTENT + needed.min(grown);
        Ok(extent.saturating_sub(share.max(EXTENT)))
    }

    pub(super) fn each_record(&self, mut each: impl FnMut(FlowKey, Flow)) -> Result<()> {
        self.records.each(|key, value| {
            // SAFETY: the layout was checked when the object was loaded: a key's bytes, any of which are valid
            let key = unsafe { key.as_ptr().cast::<FlowKey>().read_unaligned() };
            each(key, flow_of(value));
        })
    }

    /// The record first: from then on its index entries lead nowhere. If a new flow has taken the slot since it was
    /// looked at, that one's record comes back.
    fn end_flow(&mut self, key: FlowKey, is_gone: &impl Fn(&Flow) -> bool) -> Result<()> {
        let bytes = [key.owner.to_ne_bytes(), key.slot.to_ne_bytes()].concat();
        let Some(value) = self.records.take(&bytes)? else {
            return Ok(());
        };
        let flow = flow_of(&value);
        if flow.is_alive(now()) && !is_gone(&flow) {
            return self.records.put_new(&bytes, &value);
        }
        if flow.is_masqueraded() {
            let [original, reply] = &flow.tuples;
            for mapping in [MappingKey::of_socket(original, reply.to), MappingKey::of_port(reply)] {
                let own = Mapping {
                    key,
                    serial: flow.serial,
                };
                match self.mappings.get(&mapping, 0) {
                    Ok(found) if found == own => absent_is_fine("MAPPINGS", self.mappings.remove(&mapping))?,
                    Ok(_) | Err(MapError::KeyNotFound) => {}
                    Err(error) => return Err(Error::map("MAPPINGS")(error)),
                }
            }
        }
        for (tuple, direction) in flow.tuples.iter().zip([direction::ORIGINAL, direction::REPLY]) {
            let own = FlowIndex {
                key,
                serial: flow.serial,
                direction,
            };
            match self.by_tuple.get(tuple, 0) {
                Ok(index) if index == own => absent_is_fine("FLOWS", self.by_tuple.remove(tuple))?,
                Ok(_) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(Error::map("FLOWS")(error)),
            }
        }
        Ok(())
    }
}

/// The layout was checked when the object was loaded: `value` is as long as a record.
fn flow_of(value: &[u8]) -> Flow {
    // SAFETY: a Flow's bytes, any of which are valid
    unsafe { value.as_ptr().cast::<Flow>().read_unaligned() }
}

/// What `bpf_ktime_get_ns` says.
pub fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
