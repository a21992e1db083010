//! IPv6's routing rules: the programs go through those that the kernel's look-up does not heed.

use super::core::Core;
use crate::model::routing::{compile, suppressed_tables};

impl Core {
    /// The programs follow the rules that the host has now.
    pub fn refresh_routing(&mut self) {
        if let Err(error) = self.try_refresh_routing() {
            tracing::warn!(%error, "cannot look at the rules of IPv6's routing tables");
        }
    }

    fn try_refresh_routing(&mut self) -> anyhow::Result<()> {
        let rules = self.kernel.routing_rules()?;
        let tables: Vec<u32> = suppressed_tables(&rules).collect();
        let prefixes = if tables.is_empty() {
            Vec::new()
        } else {
            self.kernel.prefixes(&tables)?
        };
        // few rules name devices, and a host may have thousands
        let links = if rules.iter().any(|rule| rule.device.is_some()) {
            self.kernel.links()?
        } else {
            Vec::new()
        };
        let index = |name: &str| links.iter().find(|link| link.name == name).map(|link| link.index);
        let compiled = compile(&rules, prefixes, index, self.datapath.can_ask_tables());
        if self.routing.as_ref() != Some(&compiled) {
            self.routing = None;
            self.datapath.tables().set_routing(&compiled)?;
            self.routing = Some(compiled);
        }
        Ok(())
    }
}
