//! The records of flows, for tests in which time has to pass: their deadlines are moved instead.

use std::path::Path;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use netswitch_common::{
    ABI_VERSION,
    flow::{Flow, FlowIndex, FlowKey, Tuple},
    fragment::{FragmentKey, Fragments, Parked, ParkedKey},
};

use crate::world::World;

/// `BPF_EXIST`: an entry that has gone meanwhile is not made anew.
const EXIST: u64 = 2;

/// RECORDS, as pinned.
pub struct Records(HashMap<MapData, FlowKey, Flow>);

impl Records {
    /// From the folder that the maps are pinned in.
    pub fn open(maps: &Path) -> Self {
        let map = MapData::from_pin(maps.join("RECORDS")).expect("RECORDS is pinned");
        Self(HashMap::try_from(Map::HashMap(map)).expect("RECORDS is a hash of flows"))
    }

    /// Those of a world, with or without an agent.
    pub fn of(world: &World) -> Self {
        Self::open(&world.bpffs.join(format!("v{ABI_VERSION}")))
    }

    /// Every record, the dead ones among them.
    pub fn all(&self) -> Vec<(FlowKey, Flow)> {
        self.0.iter().filter_map(Result::ok).collect()
    }

    pub fn get(&self, key: FlowKey) -> Option<Flow> {
        self.0.get(&key, 0).ok()
    }

    /// Makes one, or changes it.
    pub fn put(&mut self, key: FlowKey, flow: &Flow) {
        self.0.insert(key, flow, 0).expect("a record");
    }

    pub fn remove(&mut self, key: FlowKey) {
        // it may be gone
        let _ = self.0.remove(&key);
    }

    /// So much time passes for every flow: those that would have ended by then have ended.
    pub fn pass(&mut self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).expect("less than centuries");
        for (key, mut flow) in self.all() {
            flow.deadline = flow.deadline.saturating_sub(time);
            let _ = self.0.insert(key, flow, EXIST);
        }
    }
}

/// FLOWS, as pinned.
pub struct Index(HashMap<MapData, Tuple, FlowIndex>);

impl Index {
    /// From the folder that the maps are pinned in.
    pub fn open(maps: &Path) -> Self {
        let map = MapData::from_pin(maps.join("FLOWS")).expect("FLOWS is pinned");
        Self(HashMap::try_from(Map::HashMap(map)).expect("FLOWS is a hash of tuples"))
    }

    pub fn get(&self, tuple: &Tuple) -> Option<FlowIndex> {
        self.0.get(tuple, 0).ok()
    }

    pub fn remove(&mut self, tuple: &Tuple) {
        // it may be gone
        let _ = self.0.remove(tuple);
    }
}

/// FRAGMENTS and PARKED, as pinned: what is known of packets in fragments.
pub struct Pieces {
    packets: HashMap<MapData, FragmentKey, Fragments>,
    parked: HashMap<MapData, ParkedKey, Parked>,
}

impl Pieces {
    /// From the folder that the maps are pinned in.
    pub fn open(maps: &Path) -> Self {
        let map = |name: &str| Map::LruHashMap(MapData::from_pin(maps.join(name)).expect(name));
        Self {
            packets: HashMap::try_from(map("FRAGMENTS")).expect("FRAGMENTS is a hash of packets"),
            parked: HashMap::try_from(map("PARKED")).expect("PARKED is a hash of fragments"),
        }
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        let packets: Vec<_> = self.packets.keys().filter_map(Result::ok).collect();
        let parked: Vec<_> = self.parked.keys().filter_map(Result::ok).collect();
        // they may be gone
        for key in packets {
            let _ = self.packets.remove(&key);
        }
        for key in parked {
            let _ = self.parked.remove(&key);
        }
    }
}

/// A state's name, as `netswitch flows` says it.
pub fn state(flow: &Flow) -> &'static str {
    flow.state().name()
}
