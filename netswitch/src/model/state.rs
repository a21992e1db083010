//! Everything the switch knows: networks, containers, sandboxes, endpoints, and how to find them.

mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use netswitch_common::address::Mac;
use serde::{Deserialize, Serialize};

pub use super::changes::Changes;
use super::{
    Id,
    container::Container,
    endpoint::Endpoint,
    network::Network,
    policy::Policy,
    publish::table::Table,
    sandbox::{Origin, Sandbox},
};
use crate::api::Error;
use index::Index;
pub use index::Role;

/// Highest endpoint number: SLOTS has one entry more.
pub const LAST_ENDPOINT: u32 = 65_535;
/// Highest network number: NETWORKS has one entry more.
pub const LAST_NETWORK: u32 = 4_095;
/// Highest sandbox number: VIEWS has one entry more.
pub const LAST_SANDBOX: u32 = 65_535;

/// The state, whole. Only [`State::apply`] changes it, so its indexes are always true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub networks: BTreeMap<Id, Network>,
    pub containers: BTreeMap<Id, Container>,
    pub sandboxes: BTreeMap<Id, Sandbox>,
    pub endpoints: BTreeMap<Id, Endpoint>,
    pub policy: Arc<Policy>,
    pub numbers: Numbers,
    index: Index,
}

/// Which numbers for the maps were given out last: the next search starts behind them, so that a
/// freed one is reused last. All zero at first; no number is ever 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// NETWORKS is an array.
    pub network: u32,
    /// SLOTS is an array.
    pub endpoint: u32,
    /// VIEWS is an array.
    pub sandbox: u32,
    /// Counts the endpoint numbers given out: each endpoint gets another generation than any before
    /// it, so also than the last one with its number.
    pub generation: u32,
    pub publication: u16,
    /// The host's port that was given out last where any would do.
    pub published_port: u16,
    /// Of the policy.
    pub policy_epoch: u32,
    pub rule: u32,
}

impl State {
    /// The state as the store has it.
    pub fn load(
        networks: impl IntoIterator<Item = Network>,
        containers: impl IntoIterator<Item = Container>,
        sandboxes: impl IntoIterator<Item = Sandbox>,
        endpoints: impl IntoIterator<Item = Endpoint>,
        policy: Arc<Policy>,
        numbers: Numbers,
    ) -> Self {
        let mut state = Self::default();
        state.apply(&Changes {
            networks: networks
                .into_iter()
                .map(|network| (network.id.clone(), Some(network)))
                .collect(),
            containers: containers
                .into_iter()
                .map(|container| (container.id.clone(), Some(container)))
                .collect(),
            sandboxes: sandboxes
                .into_iter()
                .map(|sandbox| (sandbox.id.clone(), Some(sandbox)))
                .collect(),
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| (endpoint.id.clone(), Some(endpoint)))
                .collect(),
            policy: Some(policy),
            numbers: Some(numbers),
            found: BTreeSet::new(),
        });
        state
    }

    /// Whether any endpoint has a leash.
    pub fn is_leashed(&self) -> bool {
        self.endpoints.values().any(Endpoint::is_leashed)
    }

    /// Makes the changes; costs as much as they are many.
    pub fn apply(&mut self, changes: &Changes) {
        // all old values leave the indexes before any new one enters: slots and names may change hands
        for id in changes.networks.keys() {
            if let Some(network) = self.networks.remove(id) {
                self.index.remove_network(&network);
            }
        }
        for id in changes.containers.keys() {
            if let Some(container) = self.containers.remove(id) {
                self.index.remove_container(&container);
            }
        }
        for id in changes.sandboxes.keys() {
            if let Some(sandbox) = self.sandboxes.remove(id) {
                self.index.remove_sandbox(&sandbox);
            }
        }
        for id in changes.endpoints.keys() {
            if let Some(endpoint) = self.endpoints.remove(id) {
                self.index.remove_endpoint(&endpoint);
            }
        }
        for network in changes.networks.values().flatten() {
            self.index.add_network(network);
            self.networks.insert(network.id.clone(), network.clone());
        }
        for container in changes.containers.values().flatten() {
            self.index.add_container(container);
            self.containers.insert(container.id.clone(), container.clone());
        }
        for endpoint in changes.endpoints.values().flatten() {
            self.index.add_endpoint(endpoint);
            self.endpoints.insert(endpoint.id.clone(), endpoint.clone());
        }
        for sandbox in changes.sandboxes.values().flatten() {
            self.index.add_sandbox(sandbox);
            self.sandboxes.insert(sandbox.id.clone(), sandbox.clone());
        }
        if let Some(policy) = &changes.policy {
            self.policy = Arc::clone(policy);
        }
        if let Some(numbers) = changes.numbers {
            self.numbers = numbers;
        }
    }

    /// A network by id, name or unique beginning of its id, in the engine's order.
    pub fn network(&self, key: &str) -> Result<&Network, Error> {
        if let Some(network) = self
            .networks
            .get(&Id(key.to_owned()))
            .or_else(|| self.network_named(key))
        {
            return Ok(network);
        }
        let mut found = beginning_with(&self.networks, key);
        match (found.next(), found.count()) {
            (None, _) => Err(Error::not_found(format!("network {key} not found"))),
            (Some(network), 0) => Ok(network),
            (Some(_), more) => Err(Error::bad_request(format!(
                "network {key} is ambiguous ({} matches found based on ID prefix)",
                more + 1
            ))),
        }
    }

    /// A container by id, name (with or without a slash) or unique beginning of its id.
    pub fn container(&self, key: &str) -> Result<&Container, Error> {
        if key.is_empty() {
            return Err(Error::bad_request("invalid name or ID supplied: \"\""));
        }
        let named = || self.container_named(key.strip_prefix('/').unwrap_or(key));
        if let Some(container) = self.containers.get(&Id(key.to_owned())).or_else(named) {
            return Ok(container);
        }
        let mut found = beginning_with(&self.containers, key);
        match (found.next(), found.next()) {
            (None, _) => Err(Error::not_found(format!("No such container: {key}"))),
            (Some(container), None) => Ok(container),
            (Some(_), Some(_)) => Err(Error::internal(format!(
                "Multiple IDs found with provided prefix: {key}"
            ))),
        }
    }

    pub fn network_named(&self, name: &str) -> Option<&Network> {
        self.networks.get(self.index.network_names.get(name)?)
    }

    pub fn container_named(&self, name: &str) -> Option<&Container> {
        self.containers.get(self.index.container_names.get(name)?)
    }

    /// That of a namespace which someone else made.
    pub fn sandbox_from(&self, origin: &Origin) -> Option<&Sandbox> {
        self.sandboxes.get(self.index.origins.get(origin)?)
    }

    /// In the order of their slots: 1, 2, 3, ….
    pub fn endpoints_of_network(&self, network: &Id) -> impl Iterator<Item = &Endpoint> {
        let members = self.index.members.get(network);
        members
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|id| self.endpoints.get(id))
    }

    pub fn endpoints_of_container(&self, container: &Id) -> impl Iterator<Item = &Endpoint> {
        self.endpoints_in(self.index.endpoints_of_container.get(container))
    }

    pub fn endpoints_of_sandbox(&self, sandbox: &Id) -> impl Iterator<Item = &Endpoint> {
        self.endpoints_in(self.index.endpoints_of_sandbox.get(sandbox))
    }

    /// Running containers that use this namespace.
    pub fn containers_of_sandbox(&self, sandbox: &Id) -> impl Iterator<Item = &Container> {
        let ids = self.index.containers_of_sandbox.get(sandbox);
        ids.into_iter().flatten().filter_map(|id| self.containers.get(id))
    }

    /// How many endpoints a network has; their slots are 1 to this.
    pub fn member_count(&self, network: &Id) -> u32 {
        let count = self.index.members.get(network).map_or(0, BTreeMap::len);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    pub fn member(&self, network: &Id, slot: u32) -> Option<&Endpoint> {
        self.endpoints.get(self.index.members.get(network)?.get(&slot)?)
    }

    pub fn endpoint_with_address(&self, network: &Id, address: IpAddr) -> Option<&Endpoint> {
        self.endpoints.get(self.index.addresses.get(network)?.get(&address)?)
    }

    pub fn endpoint_with_mac(&self, network: &Id, mac: Mac) -> Option<&Endpoint> {
        self.endpoints.get(self.index.macs.get(network)?.get(&mac)?)
    }

    /// Whether a container other than `except` asked for this address on the network of this name.
    /// It keeps it while it is stopped.
    pub fn is_reserved(&self, network_name: &str, address: IpAddr, except: &Id) -> bool {
        let holders = self
            .index
            .reserved
            .get(network_name)
            .and_then(|addresses| addresses.get(&address));
        holders.is_some_and(|holders| holders.iter().any(|holder| holder != except))
    }

    pub fn has_endpoint_number(&self, number: u32) -> bool {
        self.index.endpoint_numbers.contains(&number)
    }

    pub fn has_network_number(&self, number: u32) -> bool {
        self.index.network_numbers.contains(&number)
    }

    pub fn has_sandbox_number(&self, number: u32) -> bool {
        self.index.sandbox_numbers.contains(&number)
    }

    pub fn has_publication_number(&self, number: u16) -> bool {
        self.index.publication_numbers.contains(&number)
    }

    /// Who has which of the host's ports.
    pub const fn published(&self) -> &Table {
        &self.index.published
    }

    /// Indexes of every device of the switch on the host.
    pub fn device_indexes(&self) -> impl Iterator<Item = u32> {
        self.index.roles.keys().copied()
    }

    /// What of the switch the device with this index is, if anything.
    pub fn role_of(&self, index: u32) -> Option<&Role> {
        self.index.roles.get(&index)
    }

    fn endpoints_in<'a>(&'a self, ids: Option<&'a BTreeSet<Id>>) -> impl Iterator<Item = &'a Endpoint> {
        ids.into_iter().flatten().filter_map(|id| self.endpoints.get(id))
    }
}

fn beginning_with<'a, V>(map: &'a BTreeMap<Id, V>, prefix: &str) -> impl Iterator<Item = &'a V> {
    map.range(Id(prefix.to_owned())..)
        .take_while(move |(id, _)| id.0.starts_with(prefix))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
