//! What the maps must hold for a network and for an endpoint.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::{
    address::{Address, Mac},
    endpoint::{self, Kind, Port, PortKey, Slot, flags},
    neighbour::{Neighbour, NeighbourKey},
    network::{Member, MemberKey, Subnet, SubnetKind},
    publish,
    way::Way,
};

use super::{leash, outward};
use crate::action::{Action, Device, Entry, Place};
use crate::model::{
    container::limits::Limits,
    endpoint::Endpoint,
    network::{Bridge, Network, Pool, gateway::Mode},
    publish::Publication,
};

/// A network's own entries: its record, its subnets and the host's port. `members` counts the
/// host's port.
pub fn of_network(network: &Network, bridge: &Bridge, members: u32) -> Vec<Entry> {
    let host_end = Device {
        name: bridge.host_end.clone(),
        index: bridge.host_end_index,
    };
    let switch_end = Device {
        name: bridge.switch_end.clone(),
        index: bridge.switch_end_index,
    };
    let flags = flags_of(network, bridge);
    let gateway = |v6: bool| {
        network
            .pools
            .iter()
            .find(|pool| pool.subnet.is_ipv6() == v6 && bridge.gateway.mode(v6) != Mode::Isolated)
            .map_or(Address::NONE, |pool| pool.gateway.into())
    };
    let link_local = if bridge.has_link_local(network.enable_ipv6) {
        Address::from_octets(bridge.mac.link_local())
    } else {
        Address::NONE
    };
    let mtu = mtu(bridge.mtu);
    let port = port(bridge.host_port, bridge.host_port_generation, flags, mtu, Kind::Host);
    let mut entries = vec![
        Entry::Network {
            number: bridge.number,
            host_end: host_end.clone(),
            switch_end: switch_end.clone(),
            value: netswitch_common::network::Network {
                flags,
                members,
                mac: bridge.mac,
                mtu,
                gateway_v4: gateway(false),
                gateway_v6: gateway(true),
                link_local,
                source_v4: bridge.gateway.source_v4.map_or(Address::NONE, Into::into),
                source_v6: bridge.gateway.source_v6.map_or(Address::NONE, Into::into),
                ..Default::default()
            },
        },
        Entry::Slot {
            id: bridge.host_port,
            device: switch_end.clone(),
            value: Slot {
                generation: bridge.host_port_generation,
                network: bridge.number,
                flags,
                way: Kind::Host.way() as u8,
                ..Slot::default()
            },
        },
        Entry::Endpoint {
            device: switch_end.clone(),
            value: endpoint::Endpoint {
                id: bridge.host_port,
                generation: bridge.host_port_generation,
                network: bridge.number,
                flags,
                mtu,
                kind: Kind::Host as u8,
                way: Kind::Host.way() as u8,
                mac: bridge.mac,
                v4: gateway(false).as_v4().unwrap_or(0),
                v6: gateway(true),
                link_local,
                ..Default::default()
            },
        },
        Entry::Port {
            key: port_key(bridge.number, bridge.mac),
            device: host_end.clone(),
            value: port,
        },
        Entry::Member {
            key: MemberKey {
                network: bridge.number,
                slot: 0,
            },
            device: switch_end,
            value: member(bridge.host_port),
        },
    ];
    entries.extend(network.pools.iter().map(|pool| subnet(pool, bridge)));
    let host_addresses = super::host_addresses(network, bridge).into_iter();
    let host_addresses = host_addresses.map(|address| address.ip());
    for address in host_addresses.chain(network.switch_resolvers()) {
        entries.push(neighbour(bridge.number, address, bridge.mac, &host_end, port));
    }
    // whoever has one of these answers for it
    for address in network.shared_addresses() {
        entries.push(neighbour(
            bridge.number,
            address,
            Mac::default(),
            &host_end,
            Port::default(),
        ));
    }
    entries
}

/// What the container that an endpoint belongs to adds to its entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holder {
    /// Number of its sandbox.
    pub sandbox: u32,
    pub limits: Limits,
}

/// An endpoint's entries.
pub fn of_endpoint(endpoint: &Endpoint, network: &Network, bridge: &Bridge, holder: Holder) -> Vec<Entry> {
    let device = Device {
        name: endpoint.host_device.clone(),
        index: endpoint.index,
    };
    let publishes = if endpoint.publications.is_empty() {
        0
    } else {
        flags::PUBLISHES
    };
    let openings = &endpoint.openings;
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    let mut flags = flags_of(network, bridge)
        | publishes
        | holder.limits.flags()
        | flag(openings.router == Some(true), flags::ROUTER)
        | flag(!openings.addresses.is_empty(), flags::MORE_ADDRESSES);
    if endpoint.is_leashed() {
        flags |= shield(flags);
    }
    let mtu = mtu(endpoint.mtu);
    let address = |address: Option<IpNetwork>| address.map_or(Address::NONE, |address| address.ip().into());
    let port = port(endpoint.number, endpoint.generation, flags, mtu, Kind::Container);
    let mut entries = vec![
        Entry::Slot {
            id: endpoint.number,
            device: device.clone(),
            value: Slot {
                generation: endpoint.generation,
                network: bridge.number,
                flags,
                way: Kind::Container.way() as u8,
                ..Slot::default()
            },
        },
        Entry::Endpoint {
            device: device.clone(),
            value: endpoint::Endpoint {
                id: endpoint.number,
                generation: endpoint.generation,
                network: bridge.number,
                sandbox: holder.sandbox,
                flags,
                mtu,
                kind: Kind::Container as u8,
                way: Kind::Container.way() as u8,
                mac: endpoint.mac,
                gateway: bridge.mac,
                v4: address(endpoint.v4).as_v4().unwrap_or(0),
                v6: address(endpoint.v6),
                link_local: if network.enable_ipv6 {
                    Address::from_octets(endpoint.mac.link_local())
                } else {
                    Address::NONE
                },
                copies: openings.replication_rate.unwrap_or(0),
                ..Default::default()
            },
        },
        Entry::Port {
            key: port_key(bridge.number, endpoint.mac),
            device: device.clone(),
            value: port,
        },
        Entry::Member {
            key: MemberKey {
                network: bridge.number,
                slot: endpoint.slot,
            },
            device: device.clone(),
            value: member(endpoint.number),
        },
    ];
    for address in addresses_of(endpoint, network) {
        entries.push(neighbour(bridge.number, address, endpoint.mac, &device, port));
    }
    for address in &openings.addresses {
        entries.push(Entry::Address {
            key: NeighbourKey::held_by(endpoint.number, (*address).into()),
            device: device.clone(),
            value: Neighbour {
                mac: endpoint.mac,
                _pad: [0; 2],
                port,
            },
        });
    }
    for publication in &endpoint.publications {
        entries.extend(of_publication(publication, endpoint, bridge));
    }
    entries.extend(outward::of_endpoint(endpoint));
    entries.extend(leash::of_endpoint(endpoint));
    entries
}

/// What is closed to whoever has a leash: the host, but for names, and metadata services.
const fn shield(flags: u32) -> u32 {
    let may_ask = if flags & flags::NO_HOST_V4 == 0 {
        flags::MAY_ASK
    } else {
        0
    };
    flags::NO_HOST_V4 | flags::NO_HOST_V6 | flags::NO_METADATA | may_ask
}

/// Where a published port leads, and whom it lets in.
fn of_publication(publication: &Publication, endpoint: &Endpoint, bridge: &Bridge) -> impl Iterator<Item = Entry> {
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    let address = |address: Option<IpNetwork>| address.map_or(Address::NONE, |address| address.ip().into());
    let entry = Entry::Publication {
        number: publication.number,
        value: publish::Publication {
            endpoint: endpoint.number,
            generation: endpoint.generation,
            network: bridge.number,
            flags: flag(!publication.sources.is_empty(), publish::flags::SOURCES)
                | flag(
                    !endpoint.has_default_route(publication.host.is_ipv6()),
                    publish::flags::GATEWAY_SOURCE,
                ),
            host_first: publication.first,
            container_first: publication.container_first,
            mtu: mtu(endpoint.mtu),
            mac: endpoint.mac,
            v4: address(endpoint.v4).as_v4().unwrap_or(0),
            v6: address(endpoint.v6),
        },
    };
    let number = publication.number;
    let sources = publication.sources.iter().map(move |network| Entry::Source {
        publication: number,
        network: *network,
    });
    std::iter::once(entry).chain(sources)
}

/// Every address an endpoint answers to, its link-local one included.
pub fn addresses_of(endpoint: &Endpoint, network: &Network) -> Vec<IpAddr> {
    let given = endpoint.v4.into_iter().chain(endpoint.v6).map(|address| address.ip());
    let link_local = network.enable_ipv6.then(|| IpAddr::from(endpoint.mac.link_local()));
    given.chain(link_local).collect()
}

fn subnet(pool: &Pool, bridge: &Bridge) -> Entry {
    let kind = match bridge.gateway.mode(pool.subnet.is_ipv6()) {
        Mode::Isolated => SubnetKind::Isolated,
        Mode::Nat | Mode::Unprotected | Mode::Routed => SubnetKind::Network,
    };
    Entry::Subnet {
        subnet: pool.subnet,
        value: Subnet {
            network: bridge.number,
            kind: kind as u32,
        },
    }
}

fn flags_of(network: &Network, bridge: &Bridge) -> u32 {
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    bridge.allow
        | bridge.closed
        | flag(!bridge.icc, flags::NO_ICC)
        | flag(network.internal, flags::INTERNAL)
        | flag(network.enable_ipv6, flags::V6)
        | flag(bridge.gateway.masquerades(false), flags::MASQUERADE_V4)
        | flag(bridge.gateway.masquerades(true), flags::MASQUERADE_V6)
        | bridge.gateway.flags()
        | flag(bridge.gateway.is_isolated(), flags::ISOLATED)
        // the switch itself answers for names where the host is not
        | flag(bridge.gateway.is_isolated() && bridge.closed & flags::NO_HOST_V4 == 0, flags::MAY_ASK)
}

fn mtu(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

/// Without its index: that is the device's, filled in when it is written.
fn port(id: u32, generation: u32, flags: u32, mtu: u16, kind: Kind) -> Port {
    Port {
        id,
        generation,
        flags,
        mtu,
        kind: kind as u8,
        way: kind.way() as u8,
        ..Port::default()
    }
}

/// As for [`port`].
fn member(id: u32) -> Member {
    Member {
        id,
        way: Way::Device as u8,
        ..Member::default()
    }
}

fn port_key(network: u32, mac: Mac) -> PortKey {
    PortKey {
        network,
        mac,
        _pad: [0; 2],
    }
}

fn neighbour(network: u32, address: IpAddr, mac: Mac, device: &Device, port: Port) -> Entry {
    Entry::Address {
        key: NeighbourKey {
            network,
            address: address.into(),
        },
        device: device.clone(),
        value: Neighbour {
            mac,
            _pad: [0; 2],
            port,
        },
    }
}

/// Entries by where they stand.
pub fn by_place(entries: &[Entry]) -> HashMap<Place, &Entry> {
    entries.iter().map(|entry| (entry.place(), entry)).collect()
}

/// What makes tables that hold `found` hold what is wanted, of any number of entries; where these name
/// devices, both do so by index. Puts come first.
pub fn differences(found: &[Entry], wanted: Vec<Entry>) -> Vec<Action> {
    let before = by_place(found);
    let mut kept = HashSet::new();
    let mut actions = Vec::new();
    for entry in wanted {
        let place = entry.place();
        let before = before.get(&place).copied();
        if before.map(Entry::by_index) != Some(entry.by_index()) {
            actions.push(Action::Put {
                entry,
                before: before.cloned(),
            });
        }
        kept.insert(place);
    }
    let gone = found.iter().filter(|entry| !kept.contains(&entry.place()));
    actions.extend(gone.cloned().map(|entry| Action::Remove { entry }));
    actions
}
