//! State before and after -> actions. Pure: what must happen in the kernel and in the maps so that
//! they say what the state says.

pub mod entries;
mod leash;
pub mod limits;
pub mod names;
mod outward;
pub mod policy;
pub mod published;
pub mod view;

use netswitch_common::address::Mac;

use crate::action::{Action, Entry, Interface, Route, alias};
use crate::kernel::{End, Namespace, Veth};
use crate::model::{
    Id,
    changes::Changes,
    endpoint::Endpoint,
    network::{Bridge, Network, gateway::Mode},
    state::State,
};
use std::path::Path;
use view::View;

/// What turns the world of `before` into the one after `changes`, in an order in which nothing is
/// referred to before it exists, and no map entry outlives its device.
pub fn plan(state_dir: &Path, before: &State, changes: &Changes) -> Vec<Action> {
    let view = View { before, changes };
    let published = published::changed(&view);
    let (limits, limits_gone) = limits::changed(&view);
    let mut actions = published.taken_back;
    for endpoint in view.removed_endpoints() {
        remove_endpoint(&view, endpoint, &mut actions);
    }
    for id in view.touched_networks() {
        match (before.networks.get(&id), view.network(&id)) {
            (None, Some(network)) => add_network(state_dir, &view, network, &mut actions),
            (Some(network), None) => remove_network(network, &mut actions),
            (Some(old), Some(new)) => change_network(&view, old, new, &mut actions),
            (None, None) => {}
        }
    }
    for namespace in view.added_namespaces() {
        actions.push(Action::SetUpLoopback { namespace });
    }
    actions.extend(limits);
    for endpoint in view.added_endpoints() {
        add_endpoint(state_dir, &view, endpoint, &mut actions);
    }
    for (old, new) in view.changed_endpoints() {
        change_endpoint(&view, old, new, &mut actions);
    }
    actions.extend(limits_gone);
    actions.extend(published.given_out);
    actions.extend(default_routes(&view));
    actions
}

/// The pair behind a network: host end and switch end, the latter down until somebody joins.
pub fn add_network(state_dir: &Path, view: &View<'_>, network: &Network, actions: &mut Vec<Action>) {
    let Some(bridge) = &network.bridge else { return };
    actions.push(Action::AddVeth(Box::new(host_veth(state_dir, network, bridge))));
    let entries = entries::of_network(network, bridge, view.members(&network.id));
    actions.extend(entries.into_iter().map(|entry| Action::Put { entry, before: None }));
    actions.push(Action::Attach {
        device: bridge.switch_end.clone(),
    });
    actions.push(Action::SetUp {
        device: bridge.host_end.clone(),
        up: true,
    });
    actions.extend(
        host_addresses(network, bridge)
            .into_iter()
            .map(|address| Action::AddAddress {
                device: bridge.host_end.clone(),
                address,
            }),
    );
}

/// Of the switch's own ends: they take whatever comes. What is too big for the other side is answered
/// by the program; the kernel would drop it without a word to the sender.
const LARGEST_MTU: u32 = 65_535;

fn host_veth(state_dir: &Path, network: &Network, bridge: &Bridge) -> Veth {
    let end = |name: &str, mac: Option<Mac>, gateway: bool| End {
        name: name.to_owned(),
        namespace: Namespace::Host,
        mac,
        mtu: if gateway { bridge.mtu } else { LARGEST_MTU },
        alias: Some(alias(state_dir, &network.id)),
        silent: !gateway,
        gateway,
        big_tcp: bridge.big_tcp,
    };
    Veth {
        near: end(&bridge.host_end, Some(bridge.mac), true),
        far: end(&bridge.switch_end, None, false),
    }
}

/// What the host end carries: the gateways and the link-local address of its MAC.
pub fn host_addresses(network: &Network, bridge: &Bridge) -> Vec<ipnetwork::IpNetwork> {
    let gateways = network
        .pools
        .iter()
        .filter_map(|pool| ipnetwork::IpNetwork::new(pool.gateway, pool.subnet.prefix()).ok());
    let link_local = bridge
        .has_link_local(network.enable_ipv6)
        .then(|| std::net::IpAddr::from(bridge.mac.link_local()));
    let link_local = link_local.and_then(|address| ipnetwork::IpNetwork::new(address, 64).ok());
    // a network of gateway mode isolated has no host on it
    let gateways = gateways.filter(|gateway| bridge.gateway.mode(gateway.is_ipv6()) != Mode::Isolated);
    gateways.chain(link_local).collect()
}

fn remove_network(network: &Network, actions: &mut Vec<Action>) {
    let Some(bridge) = &network.bridge else { return };
    let entries = entries::of_network(network, bridge, 1);
    actions.extend(entries.into_iter().rev().map(|entry| Action::Remove { entry }));
    actions.push(Action::Detach {
        device: bridge.switch_end.clone(),
        index: bridge.switch_end_index,
    });
    actions.push(Action::DeleteLink {
        device: bridge.host_end.clone(),
    });
}

/// Members that come and go, and a gateway that moves.
fn change_network(view: &View<'_>, old: &Network, new: &Network, actions: &mut Vec<Action>) {
    let (Some(old_bridge), Some(bridge)) = (&old.bridge, &new.bridge) else {
        return;
    };
    let (members_before, members) = (view.members_before(&new.id), view.members(&new.id));
    let before = entries::of_network(old, old_bridge, members_before);
    let after = entries::of_network(new, bridge, members);
    actions.extend(entries::differences(&before, after));
    let (old_addresses, addresses) = (host_addresses(old, old_bridge), host_addresses(new, bridge));
    let is_new = |address: &&_| !old_addresses.contains(address) && !view.changes.found.contains(address);
    for address in addresses.iter().filter(is_new) {
        actions.push(Action::AddAddress {
            device: bridge.host_end.clone(),
            address: *address,
        });
    }
    for address in old_addresses.into_iter().filter(|address| !addresses.contains(address)) {
        actions.push(Action::DeleteAddress {
            device: bridge.host_end.clone(),
            address,
        });
    }
    // the host end has a carrier while somebody is there to talk to (S01)
    if (members_before > 1) != (members > 1) {
        actions.push(Action::SetUp {
            device: bridge.switch_end.clone(),
            up: members > 1,
        });
    }
}

/// A pair into the container, its entries, its program, and neighbours on both sides.
pub fn add_endpoint(state_dir: &Path, view: &View<'_>, endpoint: &Endpoint, actions: &mut Vec<Action>) {
    let Some((network, bridge)) = view.bridge(&endpoint.network) else {
        return;
    };
    let namespace = view.namespace(&endpoint.sandbox);
    let end = |name: &str, inside: bool| End {
        name: name.to_owned(),
        namespace: if inside { namespace.clone() } else { Namespace::Host },
        mac: inside.then_some(endpoint.mac),
        mtu: if inside { endpoint.mtu } else { LARGEST_MTU },
        alias: (!inside).then(|| alias(state_dir, &endpoint.id)),
        silent: !inside,
        gateway: false,
        big_tcp: bridge.big_tcp,
    };
    actions.push(Action::AddVeth(Box::new(Veth {
        near: end(&endpoint.host_device, false),
        far: end(&endpoint.interface, true),
    })));
    let entries = entries::of_endpoint(endpoint, network, bridge, view.holder(endpoint));
    actions.extend(entries.into_iter().map(|entry| Action::Put { entry, before: None }));
    actions.push(Action::Attach {
        device: endpoint.host_device.clone(),
    });
    actions.push(Action::SetUp {
        device: endpoint.host_device.clone(),
        up: true,
    });
    actions.push(Action::ConfigureInterface(Box::new(Interface {
        namespace,
        name: endpoint.interface.clone(),
        addresses: endpoint.v4.into_iter().chain(endpoint.v6).collect(),
        neighbours: gateway_neighbours(network, bridge),
        v6: network.enable_ipv6,
        ours: view.is_ours(&endpoint.sandbox),
    })));
    actions.extend(neighbours(endpoint, network, bridge));
}

/// The host never asks for a container: the kernel's table of learnt neighbours is one for all
/// namespaces, and small.
pub fn neighbours(endpoint: &Endpoint, network: &Network, bridge: &Bridge) -> Vec<Action> {
    let addresses = entries::addresses_of(endpoint, network).into_iter();
    let neighbour = |address| Action::AddNeighbour {
        device: bridge.host_end.clone(),
        address,
        mac: endpoint.mac,
    };
    addresses.map(neighbour).collect()
}

/// Permanent in every container: the gateway never needs to be asked for.
fn gateway_neighbours(network: &Network, bridge: &Bridge) -> Vec<(std::net::IpAddr, Mac)> {
    let mut neighbours: Vec<_> = network.pools.iter().map(|pool| (pool.gateway, bridge.mac)).collect();
    if network.enable_ipv6 {
        neighbours.push((bridge.mac.link_local().into(), bridge.mac));
    }
    neighbours
}

/// Entries go before the device does: a redirect to an index that is gone, or reused, must not happen.
fn remove_endpoint(view: &View<'_>, endpoint: &Endpoint, actions: &mut Vec<Action>) {
    let Some((network, bridge)) = view.bridge_before(&endpoint.network) else {
        return;
    };
    let mut entries = entries::of_endpoint(endpoint, network, bridge, view.holder_before(endpoint));
    // the member that moves into the hole is written when that endpoint changes; only the last
    // slot, which nobody takes, is removed
    let last = view.members(&endpoint.network);
    entries.retain(|entry| !matches!(entry, Entry::Member { key, .. } if key.slot < last));
    actions.extend(entries.into_iter().rev().map(|entry| Action::Remove { entry }));
    actions.extend(
        entries::addresses_of(endpoint, network)
            .into_iter()
            .map(|address| Action::DeleteNeighbour {
                device: bridge.host_end.clone(),
                address,
            }),
    );
    actions.push(Action::Detach {
        device: endpoint.host_device.clone(),
        index: endpoint.index,
    });
    actions.push(Action::DeleteLink {
        device: endpoint.host_device.clone(),
    });
}

fn change_endpoint(view: &View<'_>, old: &Endpoint, new: &Endpoint, actions: &mut Vec<Action>) {
    let Some((network, bridge)) = view.bridge(&new.network) else {
        return;
    };
    let before = entries::of_endpoint(old, network, bridge, view.holder_before(old));
    let after = entries::of_endpoint(new, network, bridge, view.holder(new));
    let (old_places, new_places) = (entries::by_place(&before), entries::by_place(&after));
    let gone = before.iter().filter(|entry| {
        matches!(entry, Entry::Publication { .. } | Entry::Source { .. }) && !new_places.contains_key(&entry.place())
    });
    actions.extend(gone.map(|entry| Action::Remove { entry: entry.clone() }));
    // a member that moved: its old slot is beyond the end now and was removed or taken over
    for entry in &after {
        let before = old_places.get(&entry.place()).copied();
        if before != Some(entry) {
            actions.push(Action::Put {
                entry: entry.clone(),
                before: before.cloned(),
            });
        }
    }
    if old.slot != new.slot && old.slot >= view.members(&new.network) {
        actions.extend(
            before
                .into_iter()
                .filter(|entry| matches!(entry, Entry::Member { .. }))
                .map(|entry| Action::Remove { entry }),
        );
    }
}

/// Default routes that move, per sandbox and family.
fn default_routes(view: &View<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    for sandbox in view.touched_sandboxes() {
        for v6 in [false, true] {
            // an interface that is gone took its route along
            let mut kept = view.endpoints_before(&sandbox);
            kept.retain(|endpoint| view.endpoint(&endpoint.id).is_some());
            let from = default_route(&kept, |id| view.before.networks.get(id), v6);
            let to = default_route(&view.endpoints(&sandbox), |id| view.network(id), v6);
            if from != to && view.sandbox_exists(&sandbox) {
                actions.push(Action::SetDefaultRoute {
                    namespace: view.namespace(&sandbox),
                    from,
                    to,
                });
            }
        }
    }
    actions
}

/// The route through that one of a sandbox's endpoints which carries it.
pub fn default_route<'a>(
    endpoints: &[&Endpoint],
    network: impl Fn(&Id) -> Option<&'a Network>,
    v6: bool,
) -> Option<Route> {
    let carrier = endpoints.iter().find(|endpoint| {
        if v6 {
            endpoint.default_route_v6
        } else {
            endpoint.default_route_v4
        }
    })?;
    let pools = &network(&carrier.network)?.pools;
    let gateway = pools
        .iter()
        .map(|pool| pool.gateway)
        .find(|gateway| gateway.is_ipv6() == v6)?;
    Some(Route {
        interface: carrier.interface.clone(),
        gateway,
    })
}
