//! What the maps hold, as entries.

use aya::maps::lpm_trie::Key;
use netswitch_common::{
    limit::{Limits, Meters},
    publish::SourceKey,
};

use super::{
    Error, Result, Tables,
    prefixes::{NUMBER_BITS, subnet_of},
};
use crate::action::{Device, Entry};

impl Tables {
    /// What the maps hold of the host: its uplinks and its addresses.
    pub fn host_entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for row in &self.locals {
            let (address, _) = row.map_err(Error::map("LOCALS"))?;
            entries.push(Entry::Local {
                address: address.into(),
            });
        }
        for row in &self.trusted {
            let (key, _) = row.map_err(Error::map("TRUSTED"))?;
            entries.push(Entry::Trusted(key));
        }
        for row in &self.uplinks {
            let (ifindex, value) = row.map_err(Error::map("UPLINKS"))?;
            entries.push(Entry::Uplink {
                device: device(ifindex),
                value,
            });
        }
        Ok(entries)
    }

    /// Every entry of the maps that follow the state; devices have an index and no name.
    pub fn dump(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for row in &self.endpoints {
            let (ifindex, value) = row.map_err(Error::map("ENDPOINTS"))?;
            entries.push(Entry::Endpoint {
                device: device(ifindex),
                value,
            });
        }
        for row in &self.ports {
            let (key, value) = row.map_err(Error::map("PORTS"))?;
            entries.push(Entry::Port {
                key,
                device: device(value.ifindex),
                value,
            });
        }
        for row in &self.addresses {
            let (key, value) = row.map_err(Error::map("ADDRESSES"))?;
            entries.push(Entry::Address {
                key,
                device: device(value.port.ifindex),
                value,
            });
        }
        for (id, value) in self.slots.written().map_err(Error::map("SLOTS"))? {
            entries.push(Entry::Slot {
                id,
                device: device(value.ifindex),
                value,
            });
        }
        for (number, value) in self.networks.written().map_err(Error::map("NETWORKS"))? {
            entries.push(Entry::Network {
                number,
                host_end: device(value.host_end),
                switch_end: device(value.switch_end),
                value,
            });
        }
        for row in &self.members {
            let (key, value) = row.map_err(Error::map("MEMBERS"))?;
            entries.push(Entry::Member {
                key,
                device: device(value.ifindex),
                value,
            });
        }
        for row in &self.subnets {
            let (key, value) = row.map_err(Error::map("SUBNETS"))?;
            if let Some(subnet) = subnet_of(&key) {
                entries.push(Entry::Subnet { subnet, value });
            }
        }
        for row in &self.published {
            let (key, value) = row.map_err(Error::map("PUBLISHED"))?;
            entries.push(Entry::Published {
                key,
                value: Box::new(value),
            });
        }
        for row in &self.publications {
            let (number, value) = row.map_err(Error::map("PUBLICATIONS"))?;
            if let Ok(number) = u16::try_from(number) {
                entries.push(Entry::Publication { number, value });
            }
        }
        for row in &self.outward {
            let (key, value) = row.map_err(Error::map("OUTWARD"))?;
            entries.push(Entry::Outward {
                key,
                value: Box::new(value),
            });
        }
        for row in &self.sources {
            let (key, _) = row.map_err(Error::map("SOURCES"))?;
            entries.extend(source_of(&key));
        }
        entries.extend(self.leash_entries()?);
        for row in &self.limits {
            let (sandbox, value) = row.map_err(Error::map("LIMITS"))?;
            // how much of them is used is the switch's own
            let value = Limits {
                sent: Meters::default(),
                received: Meters::default(),
                ..value
            };
            entries.push(Entry::Limits { sandbox, value });
        }
        Ok(entries)
    }
}

fn device(index: u32) -> Device {
    Device {
        name: String::new(),
        index: Some(index),
    }
}

fn source_of(key: &Key<SourceKey>) -> Option<Entry> {
    let SourceKey { publication, address } = key.data();
    Some(Entry::Source {
        publication: u16::try_from(publication).ok()?,
        network: subnet_of(&Key::new(key.prefix_len().checked_sub(NUMBER_BITS)?, address))?,
    })
}
