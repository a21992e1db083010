//! The flows that are alive, and the end of those that are not: housekeeping, which flows do not wait for.

use aya::maps::{HashMap, MapData, MapError};
use netswitch_common::flow::{Flow, FlowIndex, FlowKey, Tuple, direction};

use super::{Error, Result, Tables, tables::absent_is_fine};

impl Tables {
    /// Every flow that is alive, with its key, and the time that their deadlines are of.
    pub fn flows(&self) -> Result<(Vec<(FlowKey, Flow)>, u64)> {
        let now = now();
        let mut flows = Vec::new();
        for row in &self.records {
            let (key, flow) = row.map_err(Error::map("RECORDS"))?;
            if flow.is_alive(now) {
                flows.push((key, flow));
            }
        }
        Ok((flows, now))
    }

    /// Removes flows whose time is over, and those for which `is_gone` says so. How many.
    pub fn sweep_flows(&mut self, is_gone: impl Fn(&Flow) -> bool) -> Result<usize> {
        let now = now();
        let dead: Vec<(FlowKey, Flow)> = self
            .records
            .iter()
            .filter_map(std::result::Result::ok)
            .filter(|(_, flow)| !flow.is_alive(now) || is_gone(flow))
            .collect();
        for (key, flow) in &dead {
            end_flow(&mut self.flows, &mut self.records, *key, flow)?;
        }
        Ok(dead.len())
    }
}

/// The record first: from then on its index entries lead nowhere.
fn end_flow(
    flows: &mut HashMap<MapData, Tuple, FlowIndex>,
    records: &mut HashMap<MapData, FlowKey, Flow>,
    key: FlowKey,
    flow: &Flow,
) -> Result<()> {
    // its slot may be another flow's by now
    match records.get(&key, 0) {
        Ok(current) if current.serial != flow.serial => return Ok(()),
        Ok(_) => absent_is_fine("RECORDS", records.remove(&key))?,
        Err(MapError::KeyNotFound) => {}
        Err(error) => return Err(Error::map("RECORDS")(error)),
    }
    for (tuple, direction) in flow.tuples.iter().zip([direction::ORIGINAL, direction::REPLY]) {
        let own = FlowIndex {
            key,
            serial: flow.serial,
            direction,
        };
        match flows.get(tuple, 0) {
            Ok(index) if index == own => absent_is_fine("FLOWS", flows.remove(tuple))?,
            Ok(_) | Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(Error::map("FLOWS")(error)),
        }
    }
    Ok(())
}

/// What `bpf_ktime_get_ns` says.
pub(super) fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
