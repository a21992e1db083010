//! One network's names, and whose its addresses are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::view::View;
use crate::model::{
    Id,
    container::Container,
    endpoint::Endpoint,
    names,
    network::{Driver, Network},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The network's, in the maps.
    pub(super) number: u32,
    /// The network's.
    name: String,
    pub(super) subnets: Vec<IpNetwork>,
    /// In lower case, with addresses in their order. A shared alias has those of all who have it.
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, Arc<Holder>>,
    strangers: View,
}

/// What one endpoint is called, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) network: Id,
    sandbox: Id,
    /// The container's own name; none on a network without names.
    name: Option<String>,
    /// Every one, in lower case.
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    link_local: Option<IpAddr>,
}

impl Names {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            number: network.bridge.as_ref().map_or(0, |bridge| bridge.number),
            name: network.name.clone(),
            subnets: subnets(network),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            strangers: View::of_network(network),
        }
    }

    pub(super) fn add(&mut self, holder: &Arc<Holder>) {
        for address in holder.addresses.iter().copied().chain(holder.link_local) {
            self.by_address.insert(address, holder.clone());
        }
        for name in &holder.names {
            let addresses = self.by_name.entry(name.clone()).or_default();
            addresses.extend(&holder.addresses);
            addresses.sort_unstable();
        }
    }

    pub(super) fn remove(&mut self, holder: &Holder) {
        for address in holder.addresses.iter().copied().chain(holder.link_local) {
            self.by_address.remove(&address);
        }
        for name in &holder.names {
            if let Some(addresses) = self.by_name.get_mut(name) {
                addresses.retain(|address| !holder.addresses.contains(address));
                if addresses.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    pub(super) fn full_name(&self, address: IpAddr) -> Option<String> {
        Some(self.full(self.by_address.get(&address)?.name.as_ref()?))
    }

    /// `name.network`.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{name}.{}", self.name)
    }

    /// Whether a name could be taken for one on another network.
    pub(super) fn has_dots(&self) -> bool {
        self.by_name.keys().any(|name| name.contains('.'))
    }

    /// Whose address it is.
    pub(super) fn sandbox(&self, address: IpAddr) -> Option<&Id> {
        self.by_address.get(&address).map(|holder| &holder.sandbox)
    }

    /// What whoever has no address of the network's sees.
    pub(super) const fn strangers(&self) -> &View {
        &self.strangers
    }
}

impl Holder {
    pub(super) fn new(network: &Network, endpoint: &Endpoint, container: &Container) -> Self {
        let serves = serves_names(network);
        Self {
            network: network.id.clone(),
            sandbox: endpoint.sandbox.clone(),
            name: serves.then(|| container.name.clone()),
            names: if serves {
                names_of(container, network)
            } else {
                Vec::new()
            },
            addresses: endpoint.addresses().map(|address| address.ip()).collect(),
            link_local: network.enable_ipv6.then(|| endpoint.mac.link_local().into()),
        }
    }
}

pub(super) fn subnets(network: &Network) -> Vec<IpNetwork> {
    network.pools.iter().map(|pool| pool.subnet).collect()
}

/// The default network has no names (SEED S14).
fn serves_names(network: &Network) -> bool {
    network.driver == Driver::Bridge && !names::is_predefined(&network.name)
}

/// Every name of a container on one network, once, in lower case.
fn names_of(container: &Container, network: &Network) -> Vec<String> {
    let aliases = container
        .attachments
        .get(&network.name)
        .map_or(&[][..], |settings| &settings.aliases);
    let own = [container.name.as_str(), container.id.short(), &container.hostname];
    let mut names: Vec<String> = own
        .into_iter()
        .chain(aliases.iter().map(String::as_str))
        .filter(|name| !name.is_empty())
        .map(str::to_lowercase)
        .collect();
    names.sort();
    names.dedup();
    names
}
