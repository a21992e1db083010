//! Directory: what a name or an address means to the container that asks.
//!
//! Each network has its names, and each sandbox sees those of its networks. A directory is never changed:
//! who reads one keeps it, while the next takes over from it whatever did not change.

mod names;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use names::Names;
pub use view::{Forward, View};

use super::{Id, changes::Changes, state::State};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    networks: BTreeMap<Id, Arc<Names>>,
    /// By sandbox.
    views: BTreeMap<Id, Arc<View>>,
}

/// Networks and sandboxes whose part of the directory a change concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub networks: BTreeSet<Id>,
    pub sandboxes: BTreeSet<Id>,
}

impl Touched {
    pub fn of(before: &State, changes: &Changes) -> Self {
        let mut touched = Self {
            networks: changes.networks.keys().cloned().collect(),
            sandboxes: changes.sandboxes.keys().cloned().collect(),
        };
        let former = changes.endpoints.keys().filter_map(|id| before.endpoints.get(id));
        for endpoint in former.chain(changes.endpoints.values().flatten()) {
            touched.networks.insert(endpoint.network.clone());
            touched.sandboxes.insert(endpoint.sandbox.clone());
        }
        touched
    }
}

impl Directory {
    pub fn new(state: &State) -> Self {
        Self::default().next(
            state,
            &Touched {
                networks: state.networks.keys().cloned().collect(),
                sandboxes: state.sandboxes.keys().cloned().collect(),
            },
        )
    }

    /// The directory after a change.
    #[must_use]
    pub fn next(&self, after: &State, touched: &Touched) -> Self {
        let mut next = self.clone();
        for id in &touched.networks {
            match after.networks.get(id) {
                Some(network) => next.networks.insert(id.clone(), Arc::new(Names::new(after, network))),
                None => next.networks.remove(id),
            };
        }
        for id in &touched.sandboxes {
            match View::of_sandbox(after, id) {
                Some(view) => next.views.insert(id.clone(), Arc::new(view)),
                None => next.views.remove(id),
            };
        }
        next
    }

    /// What whoever asks on `network` from this address sees: a container all its networks, others this one.
    pub fn view(&self, network: &Id, from: IpAddr) -> Option<&View> {
        let names = self.networks.get(network)?;
        let view = names.sandbox(from).and_then(|sandbox| self.views.get(sandbox));
        Some(view.map_or(names.strangers(), |view| view))
    }

    /// The addresses of a name, in lower case and without the dot at its end: of the first network that has it.
    /// A name may have none of the family that is asked for. The engine's order: first the whole as a name, then
    /// its front on the network that its rest names, at every dot from the right.
    pub fn addresses(&self, view: &View, name: &str) -> Option<&[IpAddr]> {
        let dots = name.rmatch_indices('.').map(|(at, _)| at);
        let parts = std::iter::once((name, None)).chain(dots.map(|at| (&name[..at], Some(&name[at + 1..]))));
        parts
            .filter(|(name, _)| !name.is_empty())
            .find_map(|(name, network)| self.addresses_on(view, name, network))
    }

    fn addresses_on(&self, view: &View, name: &str, network: Option<&str>) -> Option<&[IpAddr]> {
        let seen = || {
            let networks = view.networks.iter();
            let networks = networks.filter_map(|seen| Some((seen, self.networks.get(&seen.network)?)));
            networks.filter(move |(_, names)| network.is_none_or(|network| names.is_called(network)))
        };
        let linked = seen().find_map(|(seen, names)| names.addresses(seen.links.get(name)?));
        linked.or_else(|| seen().find_map(|(_, names)| names.addresses(name)))
    }

    /// `name.network` of an address on one of the networks.
    pub fn name(&self, view: &View, address: IpAddr) -> Option<String> {
        let mut networks = view.networks.iter().filter_map(|seen| self.networks.get(&seen.network));
        networks.find_map(|names| names.full_name(address))
    }
}

#[cfg(test)]
mod tests;
