//! What others change in the kernel, and what the agent does about it: a host end that flaps loses
//! even its permanent neighbours, a gateway may be renumbered by hand (SEED S25), a namespace that
//! someone else made may go.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::core::Core;
use crate::execute::Executor;
use crate::kernel::{Link, watch::Event};
use crate::model::{
    Id,
    container::{Owner, lifecycle},
    network::{Network, renumber},
};
use crate::reconcile;

impl Core {
    pub fn kernel_changed(&mut self, event: Event) {
        match event {
            Event::LinkChanged { before, after } => {
                if !before.up && after.up {
                    self.restore_host_end(&after);
                }
            }
            Event::LinkRemoved(link) => self.device_gone(&link),
            Event::AddressAdded { index, address } => self.host_address_added(index, address),
            Event::Missed => {
                if let Err(error) = self.reconcile() {
                    tracing::warn!(%error, "reconciling after missed events failed");
                }
            }
            Event::LinkAdded(_) | Event::AddressRemoved { .. } => {}
        }
    }

    fn network_of_host_end(&self, index: u32) -> Option<Network> {
        let of_index = |network: &&Network| {
            network
                .bridge
                .as_ref()
                .is_some_and(|bridge| bridge.host_end_index == Some(index))
        };
        self.state.networks.values().find(of_index).cloned()
    }

    fn restore_host_end(&mut self, link: &Link) {
        let Some(network) = self.network_of_host_end(link.index) else {
            return;
        };
        let mut actions = Vec::new();
        match self.snapshot() {
            Ok(snapshot) => reconcile::restore_host_end(&self.state, &network, &snapshot, &mut actions),
            Err(error) => return tracing::warn!(%error, device = link.name, "cannot look at a host end that came up"),
        }
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, device = link.name, "restoring a host end failed");
        }
    }

    /// The device of an attached namespace went away with it.
    fn device_gone(&mut self, link: &Link) {
        let owner = self
            .state
            .endpoints
            .values()
            .find(|endpoint| endpoint.index == Some(link.index) && endpoint.host_device == link.name)
            .map(|endpoint| endpoint.container.clone());
        let Some(id) = owner else { return };
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

    /// An address that somebody gave a host end is its network's gateway from now on, unless it
    /// already is one or lies in the network's subnet (then it is just another address of the host).
    fn host_address_added(&mut self, index: u32, address: IpNetwork) {
        let Some(network) = self.network_of_host_end(index) else {
            return;
        };
        let known = network.pools.iter().any(|pool| pool.subnet.contains(address.ip()));
        let link_local = matches!(address.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local());
        if known || link_local {
            return;
        }
        let renumbered = renumber::renumber(&self.state, &network.id, address).and_then(|changes| self.build(changes));
        match renumbered {
            Ok(()) => tracing::info!(network = network.name, gateway = %address, "renumbered"),
            Err(error) => tracing::warn!(%error, network = network.name, gateway = %address, "renumbering refused"),
        }
    }
}
