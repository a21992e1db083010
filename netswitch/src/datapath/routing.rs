//! The maps of IPv6's routing rules.

use netswitch_common::{host::first_key, routing::PrefixKey};

use super::{Error, Result, Tables, halves::ROUTING, prefixes::numbered_key, tables::absent_is_fine};
use crate::model::routing::Compiled;

impl Tables {
    /// Makes these the rules that the programs go through, all at once. Those before stay in their half of the maps: a
    /// program may be reading them.
    pub fn set_routing(&mut self, compiled: &Compiled) -> Result<()> {
        let half = self.free_half(ROUTING)?;
        self.clear_routing(half)?;
        for (number, rule) in (first_key(half)..).zip(&compiled.rules) {
            self.rules.insert(number, rule, 0).map_err(Error::map("RULES"))?;
        }
        for (table, prefix) in &compiled.prefixes {
            let table = first_key(half) | table;
            let key = numbered_key(prefix, |address| PrefixKey { table, address });
            self.prefixes
                .insert(&key, u32::from(prefix.prefix()), 0)
                .map_err(Error::map("PREFIXES"))?;
        }
        self.turn_to(ROUTING, half, !compiled.rules.is_empty())
    }

    fn clear_routing(&mut self, half: u32) -> Result<()> {
        let is_of_half = |number: u32| number & first_key(1) == first_key(half);
        let numbers: Vec<_> = self.rules.keys().collect();
        for number in numbers {
            let number = number.map_err(Error::map("RULES"))?;
            if is_of_half(number) {
                absent_is_fine("RULES", self.rules.remove(&number))?;
            }
        }
        let keys: Vec<_> = self.prefixes.keys().collect();
        for key in keys {
            let key = key.map_err(Error::map("PREFIXES"))?;
            if is_of_half(key.data().table) {
                absent_is_fine("PREFIXES", self.prefixes.remove(&key))?;
            }
        }
        Ok(())
    }
}
