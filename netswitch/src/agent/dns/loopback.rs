//! 127.0.0.11, where Docker's resolver is and many configurations expect it: what containers' sockets send
//! there the socket hooks lead to a gateway. They know a container by its network namespace's cookie.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use crate::agent::core::Core;
use crate::agent::uplinks::namespace_cookie;
use crate::kernel::{Namespace, namespace::in_namespace};
use crate::model::{Id, container::files};
use crate::plan::view::namespace;

/// Cookies of the sandboxes that the hooks know.
pub type Cookies = HashMap<Id, u64>;

impl Core {
    /// At start: every sandbox as it is now, and none that is gone.
    pub fn lead_loopback_of_all(&mut self) {
        let sandboxes: BTreeSet<Id> = self.state.sandboxes.keys().cloned().collect();
        self.lead_loopback(&sandboxes);
        let Some(names) = &self.names else { return };
        let known: BTreeSet<u64> = names.cookies.values().copied().collect();
        let tables = self.datapath.tables();
        let removed = tables.resolvers().and_then(|found| {
            let mut gone = found.into_iter().filter(|cookie| !known.contains(cookie));
            gone.try_for_each(|cookie| tables.set_resolver(cookie, None))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "resolvers of sandboxes that are gone stay");
        }
    }

    /// After a network's gateway has moved: its containers' resolver is elsewhere.
    pub fn resolver_moved(&mut self, network: &Id) {
        let endpoints: Vec<(Id, Id)> = self
            .state
            .endpoints_of_network(network)
            .map(|endpoint| (endpoint.sandbox.clone(), endpoint.container.clone()))
            .collect();
        for (_, container) in &endpoints {
            self.write_files_of(&container.0);
        }
        self.lead_loopback(&endpoints.into_iter().map(|(sandbox, _)| sandbox).collect());
    }

    /// After a change of these sandboxes.
    pub fn lead_loopback(&mut self, sandboxes: &BTreeSet<Id>) {
        for sandbox in sandboxes {
            if let Err(error) = self.try_lead_loopback(sandbox) {
                tracing::warn!(%error, sandbox = sandbox.short(), "127.0.0.11 does not answer");
            }
        }
    }

    fn try_lead_loopback(&mut self, sandbox: &Id) -> anyhow::Result<()> {
        let Some(names) = &mut self.names else { return Ok(()) };
        let gateway: Option<Ipv4Addr> = files::resolver_v4(&self.state, sandbox);
        let tables = self.datapath.tables();
        match (names.cookies.get(sandbox).copied(), gateway) {
            (None, None) => {}
            (Some(cookie), Some(gateway)) => tables.set_resolver(cookie, Some(gateway))?,
            (Some(cookie), None) => {
                names.cookies.remove(sandbox);
                tables.set_resolver(cookie, None)?;
            }
            (None, Some(gateway)) => {
                let origin = self
                    .state
                    .sandboxes
                    .get(sandbox)
                    .map(|sandbox| namespace(&sandbox.origin));
                if let Some(inside) = origin.filter(|origin| *origin != Namespace::Host) {
                    let cookie = in_namespace(&inside, namespace_cookie)??;
                    tables.set_resolver(cookie, Some(gateway))?;
                    names.cookies.insert(sandbox.clone(), cookie);
                }
            }
        }
        Ok(())
    }
}
