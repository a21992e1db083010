//! Time for flows: no test waits as long as they live.

use std::path::Path;

use aya::maps::{HashMap, Map, MapData};
use netswitch_common::{
    ABI_VERSION,
    flow::{Flow, FlowKey},
};

/// Ends the flows below an agent's bpffs folder for which `ends` says so, as if their time were over. How many.
pub fn expire(bpffs: &Path, ends: impl Fn(&Flow) -> bool) -> usize {
    let pin = bpffs.join(format!("v{ABI_VERSION}/RECORDS"));
    let map = Map::HashMap(MapData::from_pin(&pin).expect("the pinned records"));
    let mut records: HashMap<MapData, FlowKey, Flow> = map.try_into().expect("a hash");
    let ended: Vec<_> = records.iter().flatten().filter(|(_, flow)| ends(flow)).collect();
    for (key, flow) in &ended {
        records.insert(key, Flow { deadline: 1, ..*flow }, 0).expect("a record");
    }
    ended.len()
}
