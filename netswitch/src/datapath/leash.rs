//! The maps of leashes. What names lead to is written by the thread that answers for names, before it does.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aya::maps::{LpmTrie, MapData, lpm_trie::Key};
use ipnetwork::IpNetwork;
use netswitch_common::{
    capacity,
    leash::{Classes, LeashKey, Leashed},
};

use super::{
    Error, Result, Tables,
    flows::now,
    prefixes::{NUMBER_BITS, numbered_key, subnet_of},
    tables::absent_is_fine,
};
use crate::action::Entry;

/// What one leash may have learnt at once: a container that asks for ever more names gets no further.
const LEARNT_MAX: usize = 4_096;
/// What all of them together may have learnt before each gets only [`LEARNT_LEAST`]: half of LEASHES.
const LEARNT_BY_ALL: usize = capacity::LEASHES as usize / 2;
/// What each leash may have learnt, whatever the others have: the other half is enough for 4,096 of them.
const LEARNT_LEAST: usize = 64;

/// LEASHES, shared by the agent's thread and the one that answers for names.
#[derive(Clone)]
pub struct Leashes(Arc<Mutex<Shared>>);

struct Shared {
    map: LpmTrie<MapData, LeashKey, Leashed>,
    /// How many addresses each leash has learnt.
    learnt: HashMap<u32, usize>,
}

/// How many addresses a leash may have learnt where all together have learnt so many: a part of the room that is left,
/// so that those who come early leave some.
fn share(learnt: usize) -> usize {
    (LEARNT_BY_ALL.saturating_sub(learnt) / 64).clamp(LEARNT_LEAST, LEARNT_MAX)
}

impl Leashes {
    pub(super) fn new(map: LpmTrie<MapData, LeashKey, Leashed>) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            map,
            learnt: HashMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name has led to an address, which is in the classes `always` anyway, and in `learnt` for a while.
    pub fn learn(&self, leash: u32, address: IpAddr, always: Classes, learnt: Classes, lasts: Duration) -> Result<()> {
        let key = key(leash, &address.into());
        let mut shared = self.lock();
        let now = now();
        // of a wider prefix nothing is learnt
        let before = shared.map.get(&key, 0).ok().filter(|before| now < before.until);
        if before.is_none() {
            let most = share(shared.learnt.values().sum());
            let count = shared.learnt.entry(leash).or_default();
            if *count >= most {
                return Err(Error::LeashFull);
            }
            *count += 1;
        }
        let before = before.unwrap_or_default();
        let until = now.saturating_add(u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX));
        let value = Leashed {
            always,
            learnt: [learnt[0] | before.learnt[0], learnt[1] | before.learnt[1]],
            until: until.max(before.until),
        };
        shared.map.insert(&key, value, 0).map_err(Error::map("LEASHES"))
    }

    /// Forgets what was learnt for a while that is over, and the leashes that nobody has any more.
    pub fn forget(&self, living: &HashSet<u32>) -> Result<()> {
        let mut shared = self.lock();
        let now = now();
        let rows: Vec<_> = shared
            .map
            .iter()
            .collect::<Result<_, _>>()
            .map_err(Error::map("LEASHES"))?;
        shared.learnt.clear();
        for (key, value) in rows {
            let leash = key.data().leash;
            let has_learnt = value.learnt != [0; 2];
            if !living.contains(&leash) {
                absent_is_fine("LEASHES", shared.map.remove(&key))?;
            } else if has_learnt && now < value.until {
                *shared.learnt.entry(leash).or_default() += 1;
            } else if has_learnt && value.always == [0; 2] {
                absent_is_fine("LEASHES", shared.map.remove(&key))?;
            } else if has_learnt {
                let value = Leashed {
                    always: value.always,
                    ..Leashed::default()
                };
                shared.map.insert(&key, value, 0).map_err(Error::map("LEASHES"))?;
            }
        }
        Ok(())
    }
}

impl Tables {
    /// For the thread that answers for names.
    pub fn leashes(&self) -> Leashes {
        self.leashes.clone()
    }

    /// [`Tables::write`] of a leash's entries. What names have led to stays.
    pub(super) fn write_leash(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Leashed {
                leash,
                network,
                classes,
            } => {
                let key = key(*leash, network);
                let map = &mut self.leashes.lock().map;
                let is_one = network.prefix() == if network.is_ipv4() { 32 } else { 128 };
                let before = map.get(&key, 0).ok().filter(|_| is_one).unwrap_or_default();
                let value = Leashed {
                    always: *classes,
                    ..before
                };
                map.insert(&key, value, 0).map_err(Error::map("LEASHES"))
            }
            Entry::LeashPorts { key, length, classes } => {
                let key = Key::new(*length, *key);
                self.leash_ports
                    .insert(&key, classes, 0)
                    .map_err(Error::map("LEASH_PORTS"))
            }
            _ => Ok(()),
        }
    }

    /// [`Tables::remove`] of the same.
    pub(super) fn remove_leash(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Leashed { leash, network, .. } => {
                absent_is_fine("LEASHES", self.leashes.lock().map.remove(&key(*leash, network)))
            }
            Entry::LeashPorts { key, length, .. } => {
                absent_is_fine("LEASH_PORTS", self.leash_ports.remove(&Key::new(*length, *key)))
            }
            _ => Ok(()),
        }
    }

    /// What the maps hold of leashes; without what names have led to.
    pub(super) fn leash_entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for row in &self.leashes.lock().map {
            let (key, Leashed { always, learnt, .. }) = row.map_err(Error::map("LEASHES"))?;
            let LeashKey { leash, address } = key.data();
            let length = key.prefix_len().saturating_sub(NUMBER_BITS);
            let network = subnet_of(&Key::new(length, address)).filter(|_| learnt == [0; 2]);
            entries.extend(network.map(|network| Entry::Leashed {
                leash,
                network,
                classes: always,
            }));
        }
        for row in &self.leash_ports {
            let (key, classes) = row.map_err(Error::map("LEASH_PORTS"))?;
            entries.push(Entry::LeashPorts {
                key: key.data(),
                length: key.prefix_len(),
                classes,
            });
        }
        Ok(entries)
    }
}

fn key(leash: u32, network: &IpNetwork) -> Key<LeashKey> {
    numbered_key(network, |address| LeashKey { leash, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_learnt_leaves_room_for_one_more() {
        let mut total = 0;
        for leash in 0..4_096 {
            let mut count = 0;
            while count < share(total) {
                count += 1;
                total += 1;
            }
            assert!(count >= LEARNT_LEAST, "{leash}: {count}");
            assert!(leash > 0 || count > LEARNT_MAX - LEARNT_LEAST, "{count}");
        }
        assert!(total <= capacity::LEASHES as usize, "{total}");
    }
}
