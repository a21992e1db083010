//! The policy's maps.

use aya::maps::lpm_trie::Key;
use netswitch_common::{
    host::Config,
    policy::{CidrKey, Standing},
};

use super::{
    Error, Result, Tables,
    prefixes::{NUMBER_BITS, numbered_key, subnet_of},
    tables::absent_is_fine,
};
use crate::action::Entry;

impl Tables {
    /// [`Tables::write`] of the policy's entries.
    pub(super) fn write_policy(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Standing { endpoint, value } => {
                self.standings.set(*endpoint, *value).map_err(Error::map("STANDINGS"))
            }
            Entry::Cidr { identity, .. } => match cidr_key(entry) {
                Some(key) => self.cidrs.insert(&key, identity, 0).map_err(Error::map("CIDRS")),
                None => Ok(()),
            },
            Entry::Pair { key, set } => self.pairs.insert(key, set, 0).map_err(Error::map("PAIRS")),
            Entry::Ruling { key, length, value } => {
                let key = Key::new(*length, *key);
                self.rulings.insert(&key, value, 0).map_err(Error::map("RULINGS"))
            }
            Entry::PolicyEpoch(policy_epoch) => {
                let config = self.config()?;
                self.set_config(&Config {
                    policy_epoch: *policy_epoch,
                    ..config
                })
            }
            _ => Ok(()),
        }
    }

    /// [`Tables::remove`] of the same.
    pub(super) fn remove_policy(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Standing { endpoint, .. } => {
                let nobody = Standing::default();
                self.standings.set(*endpoint, nobody).map_err(Error::map("STANDINGS"))
            }
            Entry::Cidr { .. } => match cidr_key(entry) {
                Some(key) => absent_is_fine("CIDRS", self.cidrs.remove(&key)),
                None => Ok(()),
            },
            Entry::Pair { key, .. } => absent_is_fine("PAIRS", self.pairs.remove(key)),
            Entry::Ruling { key, length, .. } => {
                absent_is_fine("RULINGS", self.rulings.remove(&Key::new(*length, *key)))
            }
            Entry::PolicyEpoch(_) => self.write_policy(&Entry::PolicyEpoch(0)),
            _ => Ok(()),
        }
    }

    /// What the maps hold of the policy, of every epoch.
    pub fn policy_entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let standings = self.standings.written().map_err(Error::map("STANDINGS"))?;
        entries.extend(
            standings
                .into_iter()
                .map(|(endpoint, value)| Entry::Standing { endpoint, value }),
        );
        for row in &self.cidrs {
            let (key, identity) = row.map_err(Error::map("CIDRS"))?;
            let CidrKey { epoch, address } = key.data();
            let length = key.prefix_len().saturating_sub(NUMBER_BITS);
            entries.extend(subnet_of(&Key::new(length, address)).map(|network| Entry::Cidr {
                epoch,
                network,
                identity,
            }));
        }
        for row in &self.pairs {
            let (key, set) = row.map_err(Error::map("PAIRS"))?;
            entries.push(Entry::Pair { key, set });
        }
        for row in &self.rulings {
            let (key, value) = row.map_err(Error::map("RULINGS"))?;
            entries.push(Entry::Ruling {
                key: key.data(),
                length: key.prefix_len(),
                value,
            });
        }
        Ok(entries)
    }
}

fn cidr_key(entry: &Entry) -> Option<Key<CidrKey>> {
    let Entry::Cidr { epoch, network, .. } = entry else {
        return None;
    };
    Some(numbered_key(network, |address| CidrKey { epoch: *epoch, address }))
}
