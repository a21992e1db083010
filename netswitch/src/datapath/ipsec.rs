//! The maps of the host's `IPsec` policies.

use netswitch_common::{
    host::first_key,
    ipsec::{PolicyList, SelectorKey, scope, side},
};

use super::{Error, Result, Tables, halves::IPSEC, prefixes::numbered_key, tables::absent_is_fine};
use crate::model::ipsec::Compiled;

impl Tables {
    /// Makes these the policies that packets are compared with, all at once. What was compared with before stays in its
    /// half of the maps: a program may be reading it.
    pub fn set_ipsec(&mut self, compiled: &Compiled) -> Result<()> {
        let half = self.free_half(IPSEC)?;
        self.clear_ipsec(half)?;
        for (number, policy) in (first_key(half)..).zip(&compiled.policies) {
            self.security
                .insert(number, policy, 0)
                .map_err(Error::map("SECURITY"))?;
        }
        for (side, prefix, list) in &compiled.lists {
            let scope = scope(half, side.number());
            let key = numbered_key(prefix, |address| SelectorKey { scope, address });
            let list = PolicyList {
                first: list.first + first_key(half),
                count: list.count,
            };
            self.selectors.insert(&key, list, 0).map_err(Error::map("SELECTORS"))?;
        }
        self.turn_to(IPSEC, half, !compiled.lists.is_empty())
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
