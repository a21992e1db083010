//! How much of the agent one client may keep busy.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Id;

/// Who asks: an address on a network, which the data path vouches for, or one of the host's own programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub network: Option<Arc<Id>>,
    pub address: IpAddr,
}

/// Counts what is under way, by client, by network and in all.
#[derive(Debug)]
pub struct Limits {
    per_client: usize,
    per_network: usize,
    in_all: usize,
    busy: Mutex<Busy>,
}

#[derive(Debug, Default)]
struct Busy {
    by_client: HashMap<Client, usize>,
    by_network: HashMap<Option<Arc<Id>>, usize>,
    in_all: usize,
}

/// Of what is allowed in all, for each network whatever the others have.
const SHARE: usize = 64;

/// One thing under way; over when dropped.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<Limits>,
    client: Client,
}

impl Limits {
    pub fn new(per_client: usize, per_network: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self {
            per_client,
            per_network,
            in_all,
            busy: Mutex::default(),
        })
    }

    pub fn is_idle(&self) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).in_all == 0
    }

    /// `None` if the client, its network, or all of them together have as much as they may.
    pub fn admit(self: &Arc<Self>, client: &Client) -> Option<Admission> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = busy.by_client.get(client).copied().unwrap_or(0);
        let of_network = busy.by_network.get(&client.network).copied().unwrap_or(0);
        let is_full = busy.in_all >= self.in_all && of_network >= self.in_all.min(SHARE);
        if of_client >= self.per_client || of_network >= self.per_network || is_full {
            return None;
        }
        busy.by_client.insert(client.clone(), of_client + 1);
        busy.by_network.insert(client.network.clone(), of_network + 1);
        busy.in_all += 1;
        Some(Admission {
            limits: self.clone(),
            client: client.clone(),
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut busy = self.limits.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.in_all -= 1;
        less(&mut busy.by_client, &self.client);
        less(&mut busy.by_network, &self.client.network);
    }
}

/// Who has nothing is not counted.
fn less<Key: Eq + Hash>(counts: &mut HashMap<Key, usize>, key: &Key) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(network: &str, last: u8) -> Client {
        Client {
            network: Some(Arc::new(Id(network.into()))),
            address: [10, 0, 0, last].into(),
        }
    }

    #[test]
    fn one_client_leaves_room_for_its_neighbours() {
        let limits = Limits::new(2, 3, 100);
        let first = limits.admit(&client("n", 1));
        let second = limits.admit(&client("n", 1));
        assert!(first.is_some() && second.is_some() && limits.admit(&client("n", 1)).is_none());
        let third = limits.admit(&client("n", 2));
        assert!(third.is_some() && limits.admit(&client("n", 3)).is_none());
        drop(first);
        assert!(limits.admit(&client("n", 3)).is_some());
        drop((second, third));
        let busy = limits.busy.lock().unwrap();
        assert!(busy.by_client.is_empty() && busy.by_network.is_empty() && busy.in_all == 0);
    }

    #[test]
    fn networks_leave_room_for_another() {
        let limits = Limits::new(100, 100, 150);
        let admitted: Vec<Admission> = (0..200)
            .filter_map(|number| limits.admit(&client(if number < 100 { "a" } else { "b" }, 1)))
            .collect();
        // the second one has its share, and what the first one has left
        assert_eq!(admitted.len(), 164);
        let others = (0..100).filter_map(|_| limits.admit(&client("c", 1)));
        assert_eq!(others.collect::<Vec<_>>().len(), SHARE);
    }
}
