//! At start: store against kernel. What is there and right is adopted as it is; what is missing is
//! made, what is ours and belongs to nobody is removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

use crate::action::{Action, Entry, alias};
use crate::kernel::Link;
use crate::model::{Id, changes::Changes, network::Network, state::State};
use crate::plan::{self, entries, view::View};

/// What the kernel has, as far as it could be ours.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub links: Links,
    /// Addresses of the host's devices.
    pub addresses: BTreeSet<(String, IpNetwork)>,
    /// Permanent neighbours by host end.
    pub neighbours: BTreeMap<String, Vec<(IpAddr, Mac)>>,
    /// Every entry of the maps, devices by index.
    pub entries: Vec<Entry>,
    /// Indexes of devices that carry a program of ours.
    pub attached: BTreeSet<u32>,
}

/// Devices of the host, by name.
pub type Links = BTreeMap<String, Link>;

pub fn by_name(links: Vec<Link>) -> Links {
    links.into_iter().map(|link| (link.name.clone(), link)).collect()
}

/// Fills in the indexes that devices have now; a device that is gone, or that is another's now, loses
/// its index.
pub fn indexes(state_dir: &Path, state: &State, links: &Links) -> Changes {
    let index = |name: &str, id: &Id| {
        let link = links.get(name)?;
        (link.alias.as_deref() == Some(alias(state_dir, id).as_str())).then_some(link.index)
    };
    let mut changes = Changes::default();
    for network in state.networks.values() {
        let mut network = network.clone();
        let Some(bridge) = &mut network.bridge else { continue };
        let found = (
            index(&bridge.host_end, &network.id),
            index(&bridge.switch_end, &network.id),
        );
        if found != (bridge.host_end_index, bridge.switch_end_index) {
            (bridge.host_end_index, bridge.switch_end_index) = found;
            changes.networks.insert(network.id.clone(), Some(network));
        }
    }
    for endpoint in state.endpoints.values() {
        let found = index(&endpoint.host_device, &endpoint.id);
        if found != endpoint.index {
            let mut endpoint = endpoint.clone();
            endpoint.index = found;
            changes.endpoints.insert(endpoint.id.clone(), Some(endpoint));
        }
    }
    changes
}

/// Networks whose device names somebody else has taken meanwhile: they stay down until the name is free.
pub fn usurped<'a>(state_dir: &Path, state: &'a State, links: &Links) -> Vec<&'a Network> {
    let taken = |network: &&Network| {
        let Some(bridge) = &network.bridge else { return false };
        let ours = alias(state_dir, &network.id);
        let mut found = [&bridge.host_end, &bridge.switch_end]
            .into_iter()
            .filter_map(|name| links.get(name));
        found.any(|link| link.alias.as_ref() != Some(&ours))
    };
    state.networks.values().filter(taken).collect()
}

/// The steps that make the kernel and the maps what the state says, for a state whose indexes are
/// those of now ([`indexes`]). Nothing to do: an empty list.
pub fn plan(state_dir: &Path, state: &State, snapshot: &Snapshot) -> Vec<Action> {
    let mut actions = remove_strangers(state_dir, state, snapshot);
    let none = Changes::default();
    let view = View {
        before: state,
        changes: &none,
    };
    let mut wanted: Vec<Entry> = Vec::new();
    let mut made: Vec<Action> = Vec::new();
    let usurped: BTreeSet<&Id> = usurped(state_dir, state, &snapshot.links)
        .iter()
        .map(|network| &network.id)
        .collect();
    for network in state.networks.values().filter(|network| !usurped.contains(&network.id)) {
        let Some(bridge) = &network.bridge else { continue };
        let members = view.members(&network.id);
        if bridge.host_end_index.is_none() || bridge.switch_end_index.is_none() {
            plan::add_network(state_dir, &view, network, &mut made);
            made.push(Action::SetUp {
                device: bridge.switch_end.clone(),
                up: members > 1,
            });
            let there = state
                .endpoints_of_network(&network.id)
                .filter(|endpoint| endpoint.index.is_some());
            made.extend(there.flat_map(|endpoint| plan::neighbours(endpoint, network, bridge)));
        } else {
            wanted.extend(entries::of_network(network, bridge, members));
            restore_host_end(state, network, snapshot, &mut actions);
            attach(&bridge.switch_end, bridge.switch_end_index, snapshot, &mut actions);
        }
    }
    let mut rebuilt = BTreeSet::new();
    for endpoint in state
        .endpoints
        .values()
        .filter(|endpoint| !usurped.contains(&endpoint.network))
    {
        let Some((network, bridge)) = view.bridge(&endpoint.network) else {
            continue;
        };
        if endpoint.index.is_none() {
            plan::add_endpoint(state_dir, &view, endpoint, &mut made);
            rebuilt.insert(endpoint.id.clone());
        } else {
            let holder = view.holder(endpoint);
            wanted.extend(entries::of_endpoint(endpoint, network, bridge, holder));
            attach(&endpoint.host_device, endpoint.index, snapshot, &mut actions);
            set_up(&endpoint.host_device, true, snapshot, &mut actions);
        }
    }
    wanted.extend(plan::published::all(state));
    wanted.extend(plan::limits::all(state));
    actions.extend(entries::differences(&snapshot.entries, wanted));
    actions.extend(made);
    actions.extend(default_routes(&view, &rebuilt));
    actions
}

/// A rebuilt interface has lost the default route that went through it.
fn default_routes(view: &View<'_>, rebuilt: &BTreeSet<Id>) -> Vec<Action> {
    let endpoints = rebuilt.iter().filter_map(|id| view.endpoint(id));
    let routes = endpoints.flat_map(|endpoint| {
        [false, true].into_iter().filter_map(|v6| {
            let to = plan::default_route(&[endpoint], |id| view.network(id), v6)?;
            Some(Action::SetDefaultRoute {
                namespace: view.namespace(&endpoint.sandbox),
                from: None,
                to: Some(to),
            })
        })
    });
    routes.collect()
}

/// Addresses, neighbours and state of a host end: an admin down of the device flushes them, even
/// the permanent ones.
pub fn restore_host_end(state: &State, network: &Network, snapshot: &Snapshot, actions: &mut Vec<Action>) {
    let Some(bridge) = &network.bridge else { return };
    let device = &bridge.host_end;
    set_up(device, true, snapshot, actions);
    set_up(
        &bridge.switch_end,
        state.endpoints_of_network(&network.id).next().is_some(),
        snapshot,
        actions,
    );
    for address in plan::host_addresses(network, bridge) {
        if !snapshot.addresses.contains(&(device.clone(), address)) {
            actions.push(Action::AddAddress {
                device: device.clone(),
                address,
            });
        }
    }
    let wanted: BTreeMap<IpAddr, Mac> = state
        .endpoints_of_network(&network.id)
        .flat_map(|endpoint| {
            entries::addresses_of(endpoint, network)
                .into_iter()
                .map(|address| (address, endpoint.mac))
        })
        .collect();
    let none = Vec::new();
    let found: BTreeMap<IpAddr, Mac> = snapshot
        .neighbours
        .get(device)
        .unwrap_or(&none)
        .iter()
        .copied()
        .collect();
    for (address, mac) in &wanted {
        if found.get(address) != Some(mac) {
            actions.push(Action::AddNeighbour {
                device: device.clone(),
                address: *address,
                mac: *mac,
            });
        }
    }
    for address in found.keys().filter(|address| !wanted.contains_key(address)) {
        actions.push(Action::DeleteNeighbour {
            device: device.clone(),
            address: *address,
        });
    }
}

fn set_up(device: &str, up: bool, snapshot: &Snapshot, actions: &mut Vec<Action>) {
    if snapshot.links.get(device).is_some_and(|link| link.up != up) {
        actions.push(Action::SetUp {
            device: device.to_owned(),
            up,
        });
    }
}

fn attach(device: &str, index: Option<u32>, snapshot: &Snapshot, actions: &mut Vec<Action>) {
    if index.is_some_and(|index| !snapshot.attached.contains(&index)) {
        actions.push(Action::Attach {
            device: device.to_owned(),
        });
    }
}

/// Devices that carry our mark but belong to nothing in the store, and pins of devices that are gone.
fn remove_strangers(state_dir: &Path, state: &State, snapshot: &Snapshot) -> Vec<Action> {
    let networks = state.networks.values().filter_map(|network| {
        let bridge = network.bridge.as_ref()?;
        Some((
            alias(state_dir, &network.id),
            [bridge.host_end.clone(), bridge.switch_end.clone()],
        ))
    });
    let endpoints = state.endpoints.values().map(|endpoint| {
        (
            alias(state_dir, &endpoint.id),
            [endpoint.host_device.clone(), endpoint.host_device.clone()],
        )
    });
    let ours: HashMap<String, [String; 2]> = networks.chain(endpoints).collect();
    let mark = format!("netswitch {} ", state_dir.display());
    let mut actions = Vec::new();
    let mut kept = BTreeSet::new();
    for link in snapshot.links.values() {
        let Some(alias) = link.alias.as_ref().filter(|alias| alias.starts_with(&mark)) else {
            continue;
        };
        if ours.get(alias).is_some_and(|names| names.contains(&link.name)) {
            kept.insert(link.index);
        } else {
            actions.push(Action::Detach {
                device: link.name.clone(),
                index: Some(link.index),
            });
            actions.push(Action::DeleteLink {
                device: link.name.clone(),
            });
        }
    }
    let gone = snapshot.attached.iter().filter(|index| !kept.contains(index));
    actions.extend(gone.map(|index| Action::Detach {
        device: String::new(),
        index: Some(*index),
    }));
    actions
}
