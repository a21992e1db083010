//! How much of the agent one client may keep busy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Id;

/// Who asks: an address on a network, which the data path vouches for, or one of the host's own programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub network: Option<Arc<Id>>,
    pub address: IpAddr,
}

/// Counts what is under way, by client and in all.
#[derive(Debug)]
pub struct Limits {
    per_client: usize,
    in_all: usize,
    busy: Mutex<Busy>,
}

#[derive(Debug, Default)]
struct Busy {
    by_client: HashMap<Client, usize>,
    in_all: usize,
}

/// One thing under way; over when dropped.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<Limits>,
    client: Client,
}

impl Limits {
    pub fn new(per_client: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self {
            per_client,
            in_all,
            busy: Mutex::default(),
        })
    }

    /// `None` if the client, or all of them together, have as much as they may.
    pub fn admit(self: &Arc<Self>, client: &Client) -> Option<Admission> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = busy.by_client.get(client).copied().unwrap_or(0);
        if of_client >= self.per_client || busy.in_all >= self.in_all {
            return None;
        }
        busy.by_client.insert(client.clone(), of_client + 1);
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
        if let Some(of_client) = busy.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                busy.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_the_others() {
        let limits = Limits::new(2, 3);
        let client = |last: u8| Client {
            network: Some(Arc::new(Id("n".into()))),
            address: [10, 0, 0, last].into(),
        };
        let first = limits.admit(&client(1));
        let second = limits.admit(&client(1));
        assert!(first.is_some() && second.is_some() && limits.admit(&client(1)).is_none());
        let third = limits.admit(&client(2));
        assert!(third.is_some() && limits.admit(&client(3)).is_none());
        drop(first);
        assert!(limits.admit(&client(3)).is_some());
        drop((second, third));
        assert_eq!(limits.busy.lock().unwrap().by_client.len(), 0);
    }
}
