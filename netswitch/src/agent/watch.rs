//! What others change in the kernel, and what the agent does about it: a host end that flaps loses
//! even its permanent neighbours, a gateway may be renumbered by hand (SEED S25), a namespace that
//! someone else made may go.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::core::Core;
use crate::action::{Action, Entry};
use crate::execute::Executor;
use crate::kernel::{self, Link, watch::Event};
use crate::model::{
    Id,
    changes::Changes,
    container::{Owner, lifecycle},
    network::{Network, renumber},
    state::Role,
};
use crate::reconcile::{self, Snapshot};

impl Core {
    pub fn kernel_changed(&mut self, event: Event) {
        match event {
            Event::RoutesChanged => {
                self.forget_answers();
                self.refresh_routing();
                return self.flows_look_again();
            }
            Event::IpsecChanged => return self.refresh_ipsec(),
            // a gateway of ours is no news about the way to the world
            Event::AddressAdded { index, address } if self.network_of_host_end(index).is_some() => {
                self.local_added(address.ip());
            }
            Event::AddressAdded { .. } | Event::AddressRemoved { .. } | Event::Missed => {
                self.forget_answers();
                self.refresh_host();
            }
            Event::LinkAdded(ref link) | Event::LinkRemoved(ref link) | Event::LinkChanged { after: ref link, .. } => {
                // rules name devices
                if self.routing.as_ref().is_some_and(|routing| !routing.rules.is_empty()) {
                    self.refresh_routing();
                }
                // an endpoint that comes or goes is no news about the way to the world
                if !self.is_ours(link) {
                    self.forget_answers();
                    self.refresh_host();
                }
            }
        }
        match event {
            Event::LinkChanged { before, after } => {
                if !before.up && after.up {
                    self.restore_host_end(&after);
                }
            }
            Event::LinkRemoved(link) => self.device_gone(&link),
            Event::AddressAdded { index, .. } => self.host_address_added(index),
            Event::Missed => {
                self.refresh_ipsec();
                self.refresh_routing();
                if let Err(error) = self.reconcile() {
                    tracing::warn!(%error, "reconciling after missed events failed");
                }
            }
            Event::LinkAdded(_) | Event::AddressRemoved { .. } | Event::RoutesChanged | Event::IpsecChanged => {}
        }
    }

    fn is_ours(&self, link: &Link) -> bool {
        let mark = format!("netswitch {} ", self.directories.state.display());
        link.alias.as_ref().is_some_and(|alias| alias.starts_with(&mark)) || self.state.role_of(link.index).is_some()
    }

    fn network_of_host_end(&self, index: u32) -> Option<Network> {
        match self.state.role_of(index)? {
            Role::HostEnd(id) => self.state.networks.get(id).cloned(),
            Role::SwitchEnd(_) | Role::Endpoint(_) => None,
        }
    }

    fn restore_host_end(&mut self, link: &Link) {
        let Some(network) = self.network_of_host_end(link.index) else {
            return;
        };
        let mut actions = Vec::new();
        match self.snapshot_of(&network) {
            Ok(snapshot) => reconcile::restore_host_end(&self.state, &network, &snapshot, &mut actions),
            Err(error) => return tracing::warn!(%error, device = link.name, "cannot look at a host end that came up"),
        }
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, device = link.name, "restoring a host end failed");
        }
    }

    /// What the kernel has of one network.
    fn snapshot_of(&mut self, network: &Network) -> kernel::Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        let Some(bridge) = &network.bridge else {
            return Ok(snapshot);
        };
        for end in [&bridge.host_end, &bridge.switch_end] {
            snapshot
                .links
                .extend(self.kernel.link(end)?.map(|link| (end.clone(), link)));
        }
        let host_end = &bridge.host_end;
        let addresses = self.kernel.addresses_of(host_end)?.into_iter();
        snapshot.addresses = addresses.map(|address| (host_end.clone(), address)).collect();
        let neighbours = self.kernel.neighbours(host_end)?;
        snapshot.neighbours.insert(host_end.clone(), neighbours);
        Ok(snapshot)
    }

    /// The device of an attached namespace went away with it.
    fn device_gone(&mut self, link: &Link) {
        let Some(Role::Endpoint(id)) = self.state.role_of(link.index) else {
            return;
        };
        let endpoint = self
            .state
            .endpoints
            .get(id)
            .filter(|endpoint| endpoint.host_device == link.name);
        let Some(id) = endpoint.map(|endpoint| endpoint.container.clone()) else {
            return;
        };
        let attached = self
            .state
            .containers
            .get(&id)
            .is_some_and(|container| container.owner == Owner::Attached);
        if attached {
            tracing::info!(container = id.short(), "its namespace is gone");
            self.forget_attached(&id);
        }
    }

    fn forget_attached(&mut self, id: &Id) {
        let Ok(facts) = self.facts() else { return };
        let changes = lifecycle::stopped(&self.state, &facts, id, 0, "");
        if let Err(error) = self.tear_down(changes) {
            tracing::warn!(%error, container = id.short(), "detaching failed");
        }
    }

    /// A host end of ours has got an address: the host's, as all others.
    fn local_added(&mut self, address: IpAddr) {
        let entry = Entry::Local { address };
        let put = Action::Put { entry, before: None };
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(vec![put]);
        for error in errors {
            tracing::warn!(%error, %address, "the switch does not know an address of the host's");
        }
        self.flows_look_again();
    }

    /// What a host end carries may make another gateway of its network's.
    fn host_address_added(&mut self, index: u32) {
        if let Some(network) = self.network_of_host_end(index) {
            self.follow_gateway(&network);
        }
    }

    /// Renumbers a network whose host end was given another address by hand, as `ifconfig` does it.
    pub fn follow_gateway(&mut self, network: &Network) {
        let Some(bridge) = &network.bridge else { return };
        let addresses = match self.kernel.addresses_of(&bridge.host_end) {
            Ok(addresses) => addresses,
            Err(error) => return tracing::warn!(%error, "cannot look at addresses"),
        };
        for gateway in moved_gateways(network, &addresses) {
            let changes = renumber::renumber(&self.state, &network.id, gateway);
            let build = |mut changes: Changes| {
                changes.found.insert(gateway);
                self.build(changes)
            };
            match changes.and_then(build) {
                Ok(()) => {
                    tracing::info!(network = network.name, %gateway, "renumbered");
                    self.resolver_moved(&network.id);
                }
                Err(error) => tracing::warn!(%error, network = network.name, %gateway, "renumbering refused"),
            }
        }
    }
}

/// By family: the address that the host end has in place of the gateway's. As long as the gateway's is
/// there, others are just further addresses of the host.
fn moved_gateways(network: &Network, addresses: &[IpNetwork]) -> Vec<IpNetwork> {
    let link_local = |address: &IpNetwork| matches!(address.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    let present: Vec<IpNetwork> = addresses
        .iter()
        .filter(|address| !link_local(address))
        .copied()
        .collect();
    let moved = network.pools.iter().filter_map(|pool| {
        let gateway = IpNetwork::new(pool.gateway, pool.subnet.prefix()).ok()?;
        let mut same_family = present.iter().filter(|address| address.is_ipv4() == gateway.is_ipv4());
        if present.contains(&gateway) {
            None
        } else {
            same_family.next().copied()
        }
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    fn moved(addresses: &[&str]) -> Vec<String> {
        let world = World::new();
        let network = world.state.network("bridge").unwrap();
        let present = addresses.iter().chain(&["fe80::42:acff:fe11:1/64"]);
        let present: Vec<_> = present.map(|address| address.parse().unwrap()).collect();
        moved_gateways(network, &present)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_gateway_moves_when_its_address_is_replaced_and_not_when_another_is_added() {
        assert_eq!(moved(&["172.17.0.1/16"]), [""; 0]);
        assert_eq!(moved(&["172.17.0.1/16", "192.0.2.9/24"]), [""; 0]);
        assert_eq!(moved(&[]), [""; 0]);
        assert_eq!(moved(&["11.5.0.1/8"]), ["11.5.0.1/8"]);
        assert_eq!(moved(&["172.17.0.1/24"]), ["172.17.0.1/24"]);
        assert_eq!(moved(&["172.17.9.9/16"]), ["172.17.9.9/16"]);
    }
}
