//! One network's names, and whose its addresses are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::view::View;
use crate::model::{
    Id,
    container::Container,
    endpoint::Endpoint,
    names,
    network::{Driver, Network},
    state::State,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The network's.
    name: String,
    /// In lower case. A shared alias has the addresses of all who have it.
    by_name: HashMap<String, Vec<IpAddr>>,
    by_address: HashMap<IpAddr, Arc<Holder>>,
    strangers: View,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    /// The container's name; none on a network without names.
    name: Option<String>,
    sandbox: Id,
}

impl Names {
    pub(super) fn new(state: &State, network: &Network) -> Self {
        let mut names = Self {
            name: network.name.clone(),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            strangers: View::of_network(network),
        };
        for endpoint in state.endpoints_of_network(&network.id) {
            if let Some(container) = state.containers.get(&endpoint.container) {
                names.add(network, endpoint, container);
            }
        }
        names
    }

    fn add(&mut self, network: &Network, endpoint: &Endpoint, container: &Container) {
        let addresses: Vec<IpAddr> = endpoint.addresses().map(|address| address.ip()).collect();
        let serves = serves_names(network);
        let holder = Arc::new(Holder {
            name: serves.then(|| container.name.clone()),
            sandbox: endpoint.sandbox.clone(),
        });
        let link_local = network.enable_ipv6.then(|| IpAddr::from(endpoint.mac.link_local()));
        for address in addresses.iter().copied().chain(link_local) {
            self.by_address.insert(address, holder.clone());
        }
        if serves {
            for name in names_of(container, network) {
                self.by_name.entry(name).or_default().extend(&addresses);
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
        let name = self.by_address.get(&address)?.name.as_ref()?;
        Some(format!("{name}.{}", self.name))
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

/// The default network has no names (SEED S14).
pub fn serves_names(network: &Network) -> bool {
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
