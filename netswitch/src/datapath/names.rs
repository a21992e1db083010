//! The maps about names.

use std::net::{IpAddr, Ipv4Addr};

use netswitch_common::address::Address;

use super::{Error, Result, Tables, tables::absent_is_fine};
use crate::action::Entry;

impl Tables {
    /// Cookies of the network namespaces in which 127.0.0.11 leads somewhere.
    pub fn resolvers(&self) -> Result<Vec<u64>> {
        self.resolvers
            .keys()
            .collect::<std::result::Result<_, _>>()
            .map_err(Error::map("RESOLVERS"))
    }

    /// Where it leads in one of them; `None`: nowhere any more.
    pub fn set_resolver(&mut self, cookie: u64, gateway: Option<Ipv4Addr>) -> Result<()> {
        match gateway {
            Some(gateway) => {
                let gateway = Address::from(IpAddr::V4(gateway));
                self.resolvers
                    .insert(cookie, gateway, 0)
                    .map_err(Error::map("RESOLVERS"))
            }
            None => absent_is_fine("RESOLVERS", self.resolvers.remove(&cookie)),
        }
    }

    /// What the switch answers names from.
    pub fn name_entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let views = self.views.written().map_err(Error::map("VIEWS"))?;
        entries.extend(views.into_iter().map(|(sandbox, value)| Entry::View { sandbox, value }));
        for row in &self.names {
            let (key, value) = row.map_err(Error::map("NAMES"))?;
            entries.push(Entry::Name {
                key,
                value: Box::new(value),
            });
        }
        Ok(entries)
    }
}
