//! The maps of the host's `IPsec` policies.

use aya::maps::lpm_trie::Key;
use netswitch_common::{
    host::config_flags,
    ipsec::{PolicyList, SelectorKey, first_key, scope, side},
};

use super::{Error, Result, Tables, prefixes::key_of, tables::absent_is_fine};
use crate::model::ipsec::Compiled;

/// Bits in front of the address in a [`SelectorKey`].
const SCOPE_BITS: u32 = 32;

impl Tables {
    /// Makes these the policies that packets are compared with, all at once. What was compared with before stays in its
    /// half of the maps: a program may be reading it.
    pub fn set_ipsec(&mut self, compiled: &Compiled) -> Result<()> {
        let config = self.config()?;
        let half = config.ipsec_half() ^ 1;
        self.clear_ipsec(half)?;
        for (number, policy) in (first_key(half)..).zip(&compiled.policies) {
            self.security
                .insert(number, policy, 0)
                .map_err(Error::map("SECURITY"))?;
        }
        for (side, prefix, list) in &compiled.lists {
            let address = key_of(prefix);
            let data = SelectorKey {
                scope: scope(half, side.number()),
                address: address.data(),
            };
            let list = PolicyList {
                first: list.first + first_key(half),
                count: list.count,
            };
            self.selectors
                .insert(&Key::new(SCOPE_BITS + address.prefix_len(), data), list, 0)
                .map_err(Error::map("SELECTORS"))?;
        }
        let mut flags = config.flags & !(config_flags::IPSEC | config_flags::IPSEC_HALF);
        if !compiled.lists.is_empty() {
            flags |= config_flags::IPSEC;
        }
        if half == 1 {
            flags |= config_flags::IPSEC_HALF;
        }
        let config = self.config()?;
        self.set_config(&netswitch_common::host::Config { flags, ..config })
    }

    fn clear_ipsec(&mut self, half: u32) -> Result<()> {
        let scopes = [scope(half, side::OUT), scope(half, side::FORWARD)];
        let selectors: Vec<_> = self.selectors.keys().collect();
        for key in selectors {
            let key = key.map_err(Error::map("SELECTORS"))?;
            if scopes.contains(&key.data().scope) {
                absent_is_fine("SELECTORS", self.selectors.remove(&key))?;
            }
        }
        let numbers: Vec<_> = self.security.keys().collect();
        for number in numbers {
            let number = number.map_err(Error::map("SECURITY"))?;
            if number & first_key(1) == first_key(half) {
                absent_is_fine("SECURITY", self.security.remove(&number))?;
            }
        }
        Ok(())
    }
}
