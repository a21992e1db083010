//! What a request changes, and a draft of it: the state as it will be while the rules are at work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

use super::{
    Id,
    container::Container,
    endpoint::Endpoint,
    network::Network,
    policy::Policy,
    port_set::PortSet,
    publish::Publication,
    sandbox::Sandbox,
    state::{LAST_ENDPOINT, LAST_NETWORK, LAST_SANDBOX, Numbers, State},
};
use crate::api::Error;

/// What a request changes: for each id the value afterwards, `None` where it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub networks: BTreeMap<Id, Option<Network>>,
    pub containers: BTreeMap<Id, Option<Container>>,
    pub sandboxes: BTreeMap<Id, Option<Sandbox>>,
    pub endpoints: BTreeMap<Id, Option<Endpoint>>,
    pub policy: Option<Arc<Policy>>,
    pub numbers: Option<Numbers>,
    /// Addresses that an operator gave a host end. The plan adds none of them: the operator may have taken one
    /// away again by then.
    pub found: BTreeSet<IpNetwork>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These changes and then those that were decided on top of them.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.networks.extend(later.networks);
        self.containers.extend(later.containers);
        self.sandboxes.extend(later.sandboxes);
        self.endpoints.extend(later.endpoints);
        self.policy = later.policy.or(self.policy);
        self.numbers = later.numbers.or(self.numbers);
        self.found.extend(later.found);
        self
    }

    /// Whether there are endpoints with a leash afterwards.
    pub fn is_leashed(&self) -> bool {
        self.endpoints.values().flatten().any(Endpoint::is_leashed)
    }

    /// The endpoints that a sandbox has afterwards.
    pub fn endpoints_of_sandbox<'a>(&'a self, before: &'a State, sandbox: &Id) -> Vec<&'a Endpoint> {
        let unchanged = before.endpoints_of_sandbox(sandbox);
        let unchanged = unchanged.filter(|endpoint| !self.endpoints.contains_key(&endpoint.id));
        let changed = self.endpoints.values().flatten();
        unchanged
            .chain(changed.filter(|endpoint| endpoint.sandbox == *sandbox))
            .collect()
    }

    /// What endpoints publish before and afterwards, where that changes.
    pub fn publications<'a>(
        &'a self,
        before: &'a State,
    ) -> impl Iterator<Item = (&'a [Publication], &'a [Publication])> {
        let of = |endpoint: Option<&'a Endpoint>| endpoint.map_or(&[][..], |endpoint| endpoint.publications.as_slice());
        self.endpoints
            .iter()
            .map(move |(id, after)| (of(before.endpoints.get(id)), of(after.as_ref())))
            .filter(|(old, new)| old != new)
    }

    /// Whether an endpoint loses a published port and stays.
    pub fn withdraws_ports(&self, before: &State) -> bool {
        self.endpoints.iter().any(|(id, after)| {
            let (Some(old), Some(new)) = (before.endpoints.get(id), after) else {
                return false;
            };
            without(&old.publications, &new.publications).next().is_some()
        })
    }

    /// Ports of the host's that an endpoint gets, loses or keeps in another way.
    pub fn moved_ports(&self, before: &State) -> PortSet {
        let moved = self.publications(before);
        let moved = moved.flat_map(|(old, new)| without(old, new).chain(without(new, old)));
        moved.map(|publication| (publication.first, publication.last)).collect()
    }

    /// Whether a network comes or goes that trusts devices of the host.
    pub fn moves_trust(&self, before: &State) -> bool {
        let trusts = |network: &Network| network.bridge.as_ref().is_some_and(|bridge| !bridge.trusted.is_empty());
        self.networks
            .iter()
            .any(|(id, after)| after.as_ref().is_some_and(trusts) || before.networks.get(id).is_some_and(trusts))
    }

    /// Whether a published port is withdrawn, or its endpoint gone.
    pub fn takes_back_ports(&self, before: &State) -> bool {
        let mut publications = self.publications(before);
        publications.any(|(old, new)| without(old, new).next().is_some())
    }

    /// How many endpoints a network has afterwards.
    pub fn member_count(&self, before: &State, network: &Id) -> u32 {
        let mut count = before.member_count(network);
        for (id, after) in &self.endpoints {
            let was = before
                .endpoints
                .get(id)
                .is_some_and(|endpoint| endpoint.network == *network);
            let is = after.as_ref().is_some_and(|endpoint| endpoint.network == *network);
            count = count + u32::from(is) - u32::from(was);
        }
        count
    }
}

/// The state with changes on top, not yet made. Looking something up costs a search in both.
pub struct Draft<'a> {
    state: &'a State,
    changes: Changes,
    numbers: Numbers,
    /// Numbers of publications given out here.
    publications: BTreeSet<u16>,
}

impl<'a> Draft<'a> {
    pub fn new(state: &'a State) -> Self {
        Self {
            state,
            changes: Changes::default(),
            numbers: state.numbers,
            publications: BTreeSet::new(),
        }
    }

    pub fn finish(mut self) -> Changes {
        self.changes.numbers = (self.numbers != self.state.numbers).then_some(self.numbers);
        self.changes
    }

    /// The state underneath, without the changes.
    pub const fn state(&self) -> &'a State {
        self.state
    }

    pub fn network(&self, id: &Id) -> Option<&Network> {
        now(&self.changes.networks, &self.state.networks, id)
    }

    pub fn container(&self, id: &Id) -> Option<&Container> {
        now(&self.changes.containers, &self.state.containers, id)
    }

    pub fn sandbox(&self, id: &Id) -> Option<&Sandbox> {
        now(&self.changes.sandboxes, &self.state.sandboxes, id)
    }

    pub fn endpoint(&self, id: &Id) -> Option<&Endpoint> {
        now(&self.changes.endpoints, &self.state.endpoints, id)
    }

    pub fn put_network(&mut self, network: Network) {
        self.changes.networks.insert(network.id.clone(), Some(network));
    }

    pub fn put_container(&mut self, container: Container) {
        self.changes.containers.insert(container.id.clone(), Some(container));
    }

    pub fn put_sandbox(&mut self, sandbox: Sandbox) {
        self.changes.sandboxes.insert(sandbox.id.clone(), Some(sandbox));
    }

    pub fn put_endpoint(&mut self, endpoint: Endpoint) {
        self.changes.endpoints.insert(endpoint.id.clone(), Some(endpoint));
    }

    pub fn remove_network(&mut self, id: &Id) {
        self.changes.networks.insert(id.clone(), None);
    }

    pub fn remove_container(&mut self, id: &Id) {
        self.changes.containers.insert(id.clone(), None);
    }

    /// Removes an endpoint; the member in the network's last slot moves into the hole.
    pub fn remove_endpoint(&mut self, id: &Id) {
        let Some(endpoint) = self.endpoint(id).cloned() else {
            return;
        };
        let last = self.member_count(&endpoint.network);
        if let Some(mover) = self.member(&endpoint.network, last).filter(|mover| mover.id != *id) {
            let mover = Endpoint {
                slot: endpoint.slot,
                ..mover.clone()
            };
            self.put_endpoint(mover);
        }
        self.changes.endpoints.insert(id.clone(), None);
    }

    /// A container stops using a sandbox; the sandbox goes with its last user.
    pub fn leave_sandbox(&mut self, sandbox: &Id, container: &Id) {
        if self
            .state
            .containers_of_sandbox(sandbox)
            .all(|user| user.id == *container)
        {
            self.changes.sandboxes.insert(sandbox.clone(), None);
        }
    }

    pub fn endpoints_of_sandbox(&self, sandbox: &Id) -> Vec<&Endpoint> {
        self.changes.endpoints_of_sandbox(self.state, sandbox)
    }

    pub fn endpoints_of_container(&self, container: &Id) -> Vec<&Endpoint> {
        let unchanged = self.state.endpoints_of_container(container);
        let unchanged = unchanged.filter(|endpoint| !self.changes.endpoints.contains_key(&endpoint.id));
        let changed = self.changed_endpoints();
        unchanged
            .chain(changed.filter(|endpoint| endpoint.container == *container))
            .collect()
    }

    /// Endpoints that are new or different.
    pub fn changed_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.changes.endpoints.values().flatten()
    }

    /// What those were before that change or go.
    pub fn former_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.changes
            .endpoints
            .keys()
            .filter_map(|id| self.state.endpoints.get(id))
    }

    pub fn member_count(&self, network: &Id) -> u32 {
        self.changes.member_count(self.state, network)
    }

    fn member(&self, network: &Id, slot: u32) -> Option<&Endpoint> {
        let changed = |endpoint: &&Endpoint| endpoint.network == *network && endpoint.slot == slot;
        self.changes.endpoints.values().flatten().find(changed).or_else(|| {
            let unchanged = |endpoint: &&Endpoint| !self.changes.endpoints.contains_key(&endpoint.id);
            self.state.member(network, slot).filter(unchanged)
        })
    }

    /// Whether an endpoint of the network has this address.
    pub fn has_address(&self, network: &Id, address: IpAddr) -> bool {
        self.state
            .endpoint_with_address(network, address)
            .is_some_and(|endpoint| self.endpoint(&endpoint.id).is_some())
            || self
                .added(network)
                .any(|endpoint| endpoint.addresses().any(|own| own.ip() == address))
    }

    /// Whether an endpoint of the network, or its host end, has this MAC.
    pub fn has_mac(&self, network: &Network, mac: Mac) -> bool {
        network.bridge.as_ref().is_some_and(|bridge| bridge.mac == mac)
            || self
                .state
                .endpoint_with_mac(&network.id, mac)
                .is_some_and(|endpoint| self.endpoint(&endpoint.id).is_some())
            || self.added(&network.id).any(|endpoint| endpoint.mac == mac)
    }

    fn added<'s>(&'s self, network: &'s Id) -> impl Iterator<Item = &'s Endpoint> {
        self.changes
            .endpoints
            .values()
            .flatten()
            .filter(move |endpoint| endpoint.network == *network)
    }

    pub fn network_number(&mut self) -> Result<u32, Error> {
        let taken = |number| {
            let added = self
                .changes
                .networks
                .values()
                .flatten()
                .filter_map(|network| network.bridge.as_ref());
            self.state.has_network_number(number) || added.into_iter().any(|bridge| bridge.number == number)
        };
        let number = next_number(self.numbers.network, LAST_NETWORK, taken)
            .ok_or_else(|| Error::internal(format!("too many networks: there can be {LAST_NETWORK}")))?;
        self.numbers.network = number;
        Ok(number)
    }

    /// A number and a generation for an endpoint or a host's port.
    pub fn endpoint_number(&mut self) -> Result<(u32, u32), Error> {
        let taken = |number| {
            let hosts = self
                .changes
                .networks
                .values()
                .flatten()
                .filter_map(|network| network.bridge.as_ref());
            self.state.has_endpoint_number(number)
                || self
                    .changes
                    .endpoints
                    .values()
                    .flatten()
                    .any(|endpoint| endpoint.number == number)
                || hosts.into_iter().any(|bridge| bridge.host_port == number)
        };
        let number = next_number(self.numbers.endpoint, LAST_ENDPOINT, taken)
            .ok_or_else(|| Error::internal(format!("too many endpoints: there can be {LAST_ENDPOINT}")))?;
        self.numbers.endpoint = number;
        self.numbers.generation = self.numbers.generation.wrapping_add(1).max(1);
        Ok((number, self.numbers.generation))
    }

    pub fn publication_number(&mut self) -> Result<u16, Error> {
        let last = u32::from(self.numbers.publication);
        let taken = |number: u32| {
            u16::try_from(number)
                .is_ok_and(|number| self.state.has_publication_number(number) || self.publications.contains(&number))
        };
        let number = next_number(last, u32::from(u16::MAX), taken).and_then(|number| u16::try_from(number).ok());
        let number =
            number.ok_or_else(|| Error::internal(format!("too many published ports: there can be {}", u16::MAX)))?;
        self.numbers.publication = number;
        self.publications.insert(number);
        Ok(number)
    }

    /// The host's port that was given out last where any would do.
    pub const fn published_port(&self) -> u16 {
        self.numbers.published_port
    }

    pub const fn set_published_port(&mut self, port: u16) {
        self.numbers.published_port = port;
    }

    pub fn sandbox_number(&mut self) -> Result<u32, Error> {
        let taken = |number| {
            let mut added = self.changes.sandboxes.values().flatten();
            self.state.has_sandbox_number(number) || added.any(|sandbox| sandbox.number == number)
        };
        let number = next_number(self.numbers.sandbox, LAST_SANDBOX, taken)
            .ok_or_else(|| Error::internal(format!("too many sandboxes: there can be {LAST_SANDBOX}")))?;
        self.numbers.sandbox = number;
        Ok(number)
    }
}

/// Those of `some` that are not, or not the same, among `others`.
fn without<'a>(some: &'a [Publication], others: &'a [Publication]) -> impl Iterator<Item = &'a Publication> {
    let others: HashMap<u16, &Publication> = others.iter().map(|other| (other.number, other)).collect();
    some.iter()
        .filter(move |publication| others.get(&publication.number) != Some(publication))
}

fn now<'s, V>(changes: &'s BTreeMap<Id, Option<V>>, before: &'s BTreeMap<Id, V>, id: &Id) -> Option<&'s V> {
    match changes.get(id) {
        Some(after) => after.as_ref(),
        None => before.get(id),
    }
}

/// The first free number behind `last`, from 1 again after `limit`.
fn next_number(last: u32, limit: u32, taken: impl Fn(u32) -> bool) -> Option<u32> {
    let last = last.min(limit);
    (last + 1..=limit).chain(1..=last).find(|number| !taken(*number))
}
