//! Directory: what a name or an address means to the container that asks.
//!
//! Each network has its names, and each sandbox sees those of its networks. Following a change costs as much
//! as it touches.

mod host;
mod names;
mod table;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use names::{Holder, Names};
pub use table::Question;
pub use view::{Forward, View};

use super::{Id, changes::Changes, state::State};

/// Of the switch's own names, in seconds: a container that is made anew is found by the next question, so
/// nobody may keep an answer.
pub const TIME_TO_LIVE: u32 = 0;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    networks: HashMap<Id, Names>,
    /// By endpoint.
    holders: HashMap<Id, Arc<Holder>>,
    /// By sandbox.
    views: HashMap<Id, View>,
    /// Of the host's own programs.
    host: View,
}

/// What a change concerns, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    networks: BTreeSet<Id>,
    endpoints: BTreeSet<Id>,
    pub sandboxes: BTreeSet<Id>,
}

impl Touched {
    pub fn of(before: &State, changes: &Changes) -> Self {
        let mut touched = Self {
            networks: changes.networks.keys().cloned().collect(),
            endpoints: changes.endpoints.keys().cloned().collect(),
            sandboxes: changes.sandboxes.keys().cloned().collect(),
        };
        let former = changes.endpoints.keys().filter_map(|id| before.endpoints.get(id));
        for endpoint in former.chain(changes.endpoints.values().flatten()) {
            touched.sandboxes.insert(endpoint.sandbox.clone());
        }
        touched
    }

    pub fn extend(&mut self, other: &Self) {
        self.networks.extend(other.networks.iter().cloned());
        self.endpoints.extend(other.endpoints.iter().cloned());
        self.sandboxes.extend(other.sandboxes.iter().cloned());
    }
}

impl Directory {
    pub fn new(state: &State) -> Self {
        let mut directory = Self::default();
        directory.follow(
            state,
            &Touched {
                networks: state.networks.keys().cloned().collect(),
                endpoints: state.endpoints.keys().cloned().collect(),
                sandboxes: state.sandboxes.keys().cloned().collect(),
            },
        );
        directory
    }

    /// Everything in it.
    pub fn all(&self) -> Touched {
        Touched {
            networks: self.networks.keys().cloned().collect(),
            endpoints: self.holders.keys().cloned().collect(),
            sandboxes: self.views.keys().cloned().collect(),
        }
    }

    /// Says of everything touched what the state says now, however often it has changed.
    pub fn follow(&mut self, state: &State, touched: &Touched) {
        for id in &touched.endpoints {
            if let Some(holder) = self.holders.remove(id)
                && let Some(names) = self.networks.get_mut(&holder.network)
            {
                names.remove(&holder);
            }
        }
        for id in &touched.networks {
            match state.networks.get(id) {
                Some(network) => match self.networks.get_mut(id) {
                    // what else changes of a network is no name's business
                    Some(names) => names.subnets = names::subnets(network),
                    None => drop(self.networks.insert(id.clone(), Names::new(network))),
                },
                None => drop(self.networks.remove(id)),
            }
            self.host.follow(id, state.networks.get(id));
        }
        for endpoint in touched.endpoints.iter().filter_map(|id| state.endpoints.get(id)) {
            let network = state.networks.get(&endpoint.network);
            let container = state.containers.get(&endpoint.container);
            if let (Some(network), Some(container)) = (network, container) {
                let holder = Arc::new(Holder::new(network, endpoint, container));
                if let Some(names) = self.networks.get_mut(&network.id) {
                    names.add(&holder);
                }
                self.holders.insert(endpoint.id.clone(), holder);
            }
        }
        for id in &touched.sandboxes {
            match View::of_sandbox(state, id) {
                Some(view) => self.views.insert(id.clone(), view),
                None => self.views.remove(id),
            };
        }
    }

    /// What whoever asks on `network` from this address sees: a container all its networks, others this one. No
    /// network: the host's own programs.
    pub fn view(&self, network: Option<&Id>, from: IpAddr) -> Option<&View> {
        let Some(network) = network else {
            return Some(&self.host);
        };
        let names = self.networks.get(network)?;
        let view = names.sandbox(from).and_then(|sandbox| self.views.get(sandbox));
        Some(view.map_or(names.strangers(), |view| view))
    }

    /// The addresses of a name, in lower case and without the dot at its end: of the first network that has it.
    /// A name may have none of the family that is asked for. The engine's order: first the whole as a name, then
    /// its front on the network that its rest names, at every dot from the right.
    pub fn addresses(&self, view: &View, name: &str) -> Option<&[IpAddr]> {
        let dots = name.rmatch_indices('.').map(|(at, _)| at);
        let whole = (!view.full_names_only()).then_some((name, None));
        let parts = whole
            .into_iter()
            .chain(dots.map(|at| (&name[..at], Some(&name[at + 1..]))));
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
