//! What the host's own programs find: `name.network` and addresses, of the networks that allow it. Everything
//! else they ask others for, so it matters what is ours.

use std::sync::Arc;

use std::collections::HashMap;
use std::net::IpAddr;

use super::{
    Directory,
    names::Names,
    view::{Forward, Seen, View},
};
use crate::model::{Id, network::Network};

impl Default for View {
    /// The host's, of no network.
    fn default() -> Self {
        Self {
            number: 0,
            networks: Vec::new(),
            forward: Forward::Others,
            leashes: Arc::default(),
            in_kernel: false,
        }
    }
}

impl View {
    /// The host's names are its own: those of containers have their network's behind them.
    pub(super) fn full_names_only(&self) -> bool {
        self.forward == Forward::Others
    }

    /// For the host's: a network as it is now, or is no more.
    pub(super) fn follow(&mut self, id: &Id, network: Option<&Network>) {
        let place = self.networks.binary_search_by(|seen| seen.network.cmp(id));
        match (place, network.is_some_and(Network::has_host_names)) {
            (Ok(place), false) => drop(self.networks.remove(place)),
            (Err(place), true) => self.networks.insert(
                place,
                Seen {
                    network: id.clone(),
                    links: HashMap::new(),
                },
            ),
            _ => {}
        }
    }
}

impl Directory {
    /// Whether a name, in lower case and without the dot at its end, is on one of the networks, or is a network's:
    /// nobody else knows of it then.
    pub fn is_ours(&self, view: &View, name: &str) -> bool {
        let suffixes = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
        std::iter::once(name)
            .chain(suffixes)
            .any(|suffix| self.seen(view).any(|names| names.is_called(suffix)))
    }

    /// Whether the name is a network's.
    pub fn is_network(&self, view: &View, name: &str) -> bool {
        self.seen(view).any(|names| names.is_called(name))
    }

    /// Whether the address is in one of the networks' subnets.
    pub fn is_our_address(&self, view: &View, address: IpAddr) -> bool {
        let mut subnets = self.seen(view).flat_map(|names| &names.subnets);
        subnets.any(|subnet| subnet.contains(address))
    }

    fn seen<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a Names> {
        view.networks.iter().filter_map(|seen| self.networks.get(&seen.network))
    }
}
