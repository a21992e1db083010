//! The maps of IPv6's routing rules.

use aya::maps::lpm_trie::Key;
use netswitch_common::{
    host::{Config, config_flags},
    routing::{PrefixKey, first_key},
};

use super::{Error, Result, Tables, prefixes::key_of, tables::absent_is_fine};
use crate::model::routing::Compiled;

/// Bits in front of the address in a [`PrefixKey`].
const TABLE_BITS: u32 = 32;

impl Tables {
    /// Makes these the rules that the programs go through, all at once. Those before stay in their half of the maps: a
    /// program may be reading them.
    pub fn set_routing(&mut self, compiled: &Compiled) -> Result<()> {
        let config = self.config()?;
        let half = config.routing_half() ^ 1;
        self.clear_routing(half)?;
        for (number, rule) in (first_key(half)..).zip(&compiled.rules) {
            self.rules.insert(number, rule, 0).map_err(Error::map("RULES"))?;
        }
        for (table, prefix) in &compiled.prefixes {
            let address = key_of(prefix);
            let data = PrefixKey {
                table: first_key(half) | table,
                address: address.data(),
            };
            self.prefixes
                .insert(
                    &Key::new(TABLE_BITS + address.prefix_len(), data),
                    u32::from(prefix.prefix()),
                    0,
                )
                .map_err(Error::map("PREFIXES"))?;
        }
        let mut flags = config.flags & !(config_flags::ROUTING | config_flags::ROUTING_HALF);
        if !compiled.rules.is_empty() {
            flags |= config_flags::ROUTING;
        }
        if half == 1 {
            flags |= config_flags::ROUTING_HALF;
        }
        let config = self.config()?;
        self.set_config(&Config { flags, ..config })
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
