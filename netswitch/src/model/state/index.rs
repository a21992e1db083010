//! How things are found in the state by what is not their id.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netswitch_common::address::Mac;

use crate::model::{
    Id,
    container::Container,
    endpoint::Endpoint,
    network::{Bridge, Network},
    publish::table::Table,
    sandbox::{Origin, Sandbox},
};

/// What of the switch a device of the host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    HostEnd(Id),
    SwitchEnd(Id),
    Endpoint(Id),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) network_names: BTreeMap<String, Id>,
    pub(super) container_names: BTreeMap<String, Id>,
    /// Network -> slot -> endpoint.
    pub(super) members: BTreeMap<Id, BTreeMap<u32, Id>>,
    pub(super) endpoints_of_container: BTreeMap<Id, BTreeSet<Id>>,
    pub(super) endpoints_of_sandbox: BTreeMap<Id, BTreeSet<Id>>,
    pub(super) containers_of_sandbox: BTreeMap<Id, BTreeSet<Id>>,
    /// Network -> address of an endpoint.
    pub(super) addresses: BTreeMap<Id, BTreeMap<IpAddr, Id>>,
    /// Network -> MAC of an endpoint.
    pub(super) macs: BTreeMap<Id, BTreeMap<Mac, Id>>,
    /// Network *name* -> address that a container asked for -> containers, running or not.
    pub(super) reserved: BTreeMap<String, BTreeMap<IpAddr, BTreeSet<Id>>>,
    /// Of namespaces that someone else made, which have one sandbox each.
    pub(super) origins: BTreeMap<Origin, Id>,
    /// By the device's index. Devices that are still to be made have none.
    pub(super) roles: BTreeMap<u32, Role>,
    pub(super) endpoint_numbers: BTreeSet<u32>,
    pub(super) network_numbers: BTreeSet<u32>,
    pub(super) sandbox_numbers: BTreeSet<u32>,
    pub(super) publication_numbers: BTreeSet<u16>,
    pub(super) published: Table,
}

impl Index {
    pub(super) fn add_network(&mut self, network: &Network) {
        self.network_names.insert(network.name.clone(), network.id.clone());
        if let Some(bridge) = &network.bridge {
            self.network_numbers.insert(bridge.number);
            self.endpoint_numbers.insert(bridge.host_port);
            self.roles.extend(ends(network, bridge));
        }
    }

    pub(super) fn remove_network(&mut self, network: &Network) {
        self.network_names.remove(&network.name);
        if let Some(bridge) = &network.bridge {
            self.network_numbers.remove(&bridge.number);
            self.endpoint_numbers.remove(&bridge.host_port);
            for (index, role) in ends(network, bridge) {
                self.forget_device(index, &role);
            }
        }
    }

    pub(super) fn add_container(&mut self, container: &Container) {
        self.container_names
            .insert(container.name.clone(), container.id.clone());
        if let Some(sandbox) = &container.sandbox {
            self.containers_of_sandbox
                .entry(sandbox.clone())
                .or_default()
                .insert(container.id.clone());
        }
        for (network, address) in container.reservations() {
            let addresses = self.reserved.entry(network.to_owned()).or_default();
            addresses.entry(address).or_default().insert(container.id.clone());
        }
    }

    pub(super) fn remove_container(&mut self, container: &Container) {
        self.container_names.remove(&container.name);
        if let Some(sandbox) = &container.sandbox {
            remove_from(&mut self.containers_of_sandbox, sandbox, &container.id);
        }
        for (network, address) in container.reservations() {
            if let Some(addresses) = self.reserved.get_mut(network) {
                remove_from(addresses, &address, &container.id);
                if addresses.is_empty() {
                    self.reserved.remove(network);
                }
            }
        }
    }

    pub(super) fn add_sandbox(&mut self, sandbox: &Sandbox) {
        self.sandbox_numbers.insert(sandbox.number);
        if is_foreign(&sandbox.origin) {
            self.origins.insert(sandbox.origin.clone(), sandbox.id.clone());
        }
    }

    pub(super) fn remove_sandbox(&mut self, sandbox: &Sandbox) {
        self.sandbox_numbers.remove(&sandbox.number);
        if is_foreign(&sandbox.origin) {
            self.origins.remove(&sandbox.origin);
        }
    }

    pub(super) fn add_endpoint(&mut self, endpoint: &Endpoint) {
        let (id, network) = (&endpoint.id, &endpoint.network);
        self.members
            .entry(network.clone())
            .or_default()
            .insert(endpoint.slot, id.clone());
        self.macs
            .entry(network.clone())
            .or_default()
            .insert(endpoint.mac, id.clone());
        let addresses = self.addresses.entry(network.clone()).or_default();
        addresses.extend(endpoint.addresses().map(|address| (address.ip(), id.clone())));
        self.endpoints_of_container
            .entry(endpoint.container.clone())
            .or_default()
            .insert(id.clone());
        self.endpoints_of_sandbox
            .entry(endpoint.sandbox.clone())
            .or_default()
            .insert(id.clone());
        self.endpoint_numbers.insert(endpoint.number);
        if let Some(index) = endpoint.index {
            self.roles.insert(index, Role::Endpoint(id.clone()));
        }
        for publication in &endpoint.publications {
            self.publication_numbers.insert(publication.number);
            self.published.add(publication);
        }
    }

    pub(super) fn remove_endpoint(&mut self, endpoint: &Endpoint) {
        let network = &endpoint.network;
        if let Some(members) = self.members.get_mut(network) {
            members.remove(&endpoint.slot);
        }
        if let Some(macs) = self.macs.get_mut(network) {
            macs.remove(&endpoint.mac);
        }
        if let Some(addresses) = self.addresses.get_mut(network) {
            for address in endpoint.addresses() {
                addresses.remove(&address.ip());
            }
        }
        if self.members.get(network).is_some_and(BTreeMap::is_empty) {
            self.members.remove(network);
            self.macs.remove(network);
            self.addresses.remove(network);
        }
        remove_from(&mut self.endpoints_of_container, &endpoint.container, &endpoint.id);
        remove_from(&mut self.endpoints_of_sandbox, &endpoint.sandbox, &endpoint.id);
        self.endpoint_numbers.remove(&endpoint.number);
        if let Some(index) = endpoint.index {
            self.forget_device(index, &Role::Endpoint(endpoint.id.clone()));
        }
        for publication in &endpoint.publications {
            self.publication_numbers.remove(&publication.number);
            self.published.remove(publication);
        }
    }

    /// An index that has become another device's meanwhile stays that one's.
    fn forget_device(&mut self, index: u32, role: &Role) {
        if self.roles.get(&index) == Some(role) {
            self.roles.remove(&index);
        }
    }
}

const fn is_foreign(origin: &Origin) -> bool {
    matches!(origin, Origin::Path(_) | Origin::Process { .. })
}

/// The two ends of a network's pair.
fn ends(network: &Network, bridge: &Bridge) -> impl Iterator<Item = (u32, Role)> {
    let host_end = bridge
        .host_end_index
        .map(|index| (index, Role::HostEnd(network.id.clone())));
    let switch_end = bridge
        .switch_end_index
        .map(|index| (index, Role::SwitchEnd(network.id.clone())));
    host_end.into_iter().chain(switch_end)
}

fn remove_from<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Id>>, key: &K, id: &Id) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
