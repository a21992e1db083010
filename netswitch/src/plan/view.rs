//! The state before and after a change, side by side, without copying it.

use std::collections::BTreeSet;

use super::entries::Holder;
use crate::kernel::Namespace;
use crate::model::{
    Id,
    changes::Changes,
    container::{Container, limits::Limits},
    endpoint::Endpoint,
    network::{Bridge, Network},
    sandbox::{Origin, Sandbox},
    state::State,
};

pub struct View<'a> {
    pub before: &'a State,
    pub changes: &'a Changes,
}

impl<'a> View<'a> {
    pub fn network(&self, id: &Id) -> Option<&'a Network> {
        match self.changes.networks.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.before.networks.get(id),
        }
    }

    pub fn endpoint(&self, id: &Id) -> Option<&'a Endpoint> {
        match self.changes.endpoints.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.before.endpoints.get(id),
        }
    }

    pub fn container(&self, id: &Id) -> Option<&'a Container> {
        match self.changes.containers.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.before.containers.get(id),
        }
    }

    fn sandbox(&self, id: &Id) -> Option<&'a Sandbox> {
        match self.changes.sandboxes.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.before.sandboxes.get(id),
        }
    }

    pub fn bridge(&self, network: &Id) -> Option<(&'a Network, &'a Bridge)> {
        let network = self.network(network)?;
        Some((network, network.bridge.as_ref()?))
    }

    pub fn bridge_before(&self, network: &Id) -> Option<(&'a Network, &'a Bridge)> {
        let network = self.before.networks.get(network)?;
        Some((network, network.bridge.as_ref()?))
    }

    pub fn sandbox_exists(&self, id: &Id) -> bool {
        self.sandbox(id).is_some()
    }

    pub fn sandbox_number(&self, id: &Id) -> u32 {
        self.sandbox(id).map_or(0, |sandbox| sandbox.number)
    }

    /// Of an endpoint that there is afterwards.
    pub fn holder(&self, endpoint: &Endpoint) -> Holder {
        Holder {
            sandbox: self.sandbox_number(&endpoint.sandbox),
            limits: limits(self.container(&endpoint.container)),
        }
    }

    /// Of one that there was before.
    pub fn holder_before(&self, endpoint: &Endpoint) -> Holder {
        let sandbox = self.before.sandboxes.get(&endpoint.sandbox);
        Holder {
            sandbox: sandbox.map_or(0, |sandbox| sandbox.number),
            limits: limits(self.before.containers.get(&endpoint.container)),
        }
    }

    pub fn namespace(&self, sandbox: &Id) -> Namespace {
        self.sandbox(sandbox)
            .map_or(Namespace::Host, |sandbox| namespace(&sandbox.origin))
    }

    /// Those that a shim of ours has just made.
    pub fn added_namespaces(&self) -> impl Iterator<Item = Namespace> {
        let added = self
            .changes
            .sandboxes
            .iter()
            .filter(|(id, _)| !self.before.sandboxes.contains_key(id));
        added
            .filter_map(|(_, after)| after.as_ref())
            .filter(|sandbox| matches!(sandbox.origin, Origin::Shim { .. }))
            .map(|sandbox| namespace(&sandbox.origin))
    }

    /// Whether a shim of ours made the namespace.
    pub fn is_ours(&self, sandbox: &Id) -> bool {
        self.sandbox(sandbox)
            .is_some_and(|sandbox| matches!(sandbox.origin, Origin::Shim { .. }))
    }

    pub fn removed_endpoints(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.changes
            .endpoints
            .iter()
            .filter(|(_, after)| after.is_none())
            .filter_map(|(id, _)| self.before.endpoints.get(id))
    }

    pub fn added_endpoints(&self) -> impl Iterator<Item = &'a Endpoint> {
        self.changes
            .endpoints
            .iter()
            .filter(|(id, _)| !self.before.endpoints.contains_key(id))
            .filter_map(|(_, after)| after.as_ref())
    }

    pub fn changed_endpoints(&self) -> impl Iterator<Item = (&'a Endpoint, &'a Endpoint)> {
        self.changes
            .endpoints
            .iter()
            .filter_map(|(id, after)| Some((self.before.endpoints.get(id)?, after.as_ref()?)))
    }

    /// Networks that change themselves or whose members do.
    pub fn touched_networks(&self) -> BTreeSet<Id> {
        let of_endpoints = self.changes.endpoints.iter().filter_map(|(id, after)| {
            Some(
                after
                    .as_ref()
                    .or_else(|| self.before.endpoints.get(id))?
                    .network
                    .clone(),
            )
        });
        self.changes.networks.keys().cloned().chain(of_endpoints).collect()
    }

    pub fn touched_sandboxes(&self) -> BTreeSet<Id> {
        self.changes
            .endpoints
            .iter()
            .filter_map(|(id, after)| {
                Some(
                    after
                        .as_ref()
                        .or_else(|| self.before.endpoints.get(id))?
                        .sandbox
                        .clone(),
                )
            })
            .collect()
    }

    /// Filled slots of MEMBERS, the host's port included.
    pub fn members_before(&self, network: &Id) -> u32 {
        1 + self.before.member_count(network)
    }

    /// The same afterwards.
    pub fn members(&self, network: &Id) -> u32 {
        1 + self.changes.member_count(self.before, network)
    }

    pub fn endpoints_before(&self, sandbox: &Id) -> Vec<&'a Endpoint> {
        self.before.endpoints_of_sandbox(sandbox).collect()
    }

    pub fn endpoints(&self, sandbox: &Id) -> Vec<&'a Endpoint> {
        self.changes.endpoints_of_sandbox(self.before, sandbox)
    }
}

fn limits(container: Option<&Container>) -> Limits {
    container.map(|container| container.limits).unwrap_or_default()
}

/// How to open a sandbox.
pub fn namespace(origin: &Origin) -> Namespace {
    match origin {
        Origin::Shim { pid, start_time } | Origin::Process { pid, start_time } => Namespace::Process {
            pid: *pid,
            start_time: *start_time,
        },
        Origin::Path(path) => Namespace::Path(path.clone()),
        Origin::Host => Namespace::Host,
    }
}
