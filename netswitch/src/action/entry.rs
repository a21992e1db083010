//! Entry: what the maps hold, by names of devices where they hold indexes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::{endpoint, host, leash, limit, name, neighbour, network, policy, publish};

/// One map entry. Where the map wants an ifindex, the entry names the device and carries the index
/// once it is known; `execute` resolves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Endpoint {
        device: Device,
        value: endpoint::Endpoint,
    },
    Port {
        key: endpoint::PortKey,
        device: Device,
        value: endpoint::Port,
    },
    Address {
        key: neighbour::NeighbourKey,
        device: Device,
        value: neighbour::Neighbour,
    },
    Slot {
        id: u32,
        device: Device,
        value: endpoint::Slot,
    },
    Network {
        number: u32,
        host_end: Device,
        switch_end: Device,
        value: network::Network,
    },
    Member {
        key: network::MemberKey,
        device: Device,
        value: network::Member,
    },
    Subnet {
        subnet: IpNetwork,
        value: network::Subnet,
    },
    Published {
        key: publish::PublishedKey,
        value: Box<publish::PublishedPorts>,
    },
    Publication {
        number: u16,
        value: publish::Publication,
    },
    /// Which ports of the host's lead to an endpoint's.
    Outward {
        key: publish::OutwardKey,
        value: Box<publish::OutwardPorts>,
    },
    /// One network that a publication lets in.
    Source {
        publication: u16,
        network: IpNetwork,
    },
    /// The networks whose names a sandbox sees.
    View {
        sandbox: u32,
        value: name::View,
    },
    /// A name that the switch answers for.
    Name {
        key: name::NameKey,
        value: Box<name::Name>,
    },
    /// What the policy makes of an endpoint.
    Standing {
        endpoint: u32,
        value: policy::Standing,
    },
    /// Addresses of the world that the policy speaks of.
    Cidr {
        epoch: u32,
        network: IpNetwork,
        identity: u32,
    },
    /// Which set of rulings holds between two identities.
    Pair {
        key: policy::PairKey,
        set: u32,
    },
    Ruling {
        key: policy::RulingKey,
        /// How many bits of the key count.
        length: u32,
        value: policy::Ruling,
    },
    /// Addresses that a leash names, by an endpoint's generation.
    Leashed {
        leash: u32,
        network: IpNetwork,
        classes: leash::Classes,
    },
    LeashPorts {
        key: leash::LeashPortsKey,
        /// How many bits of the key count.
        length: u32,
        classes: leash::Classes,
    },
    /// Which epoch's policy is in force. Cannot be removed: [`Action::Put`] it with `before`.
    PolicyEpoch(u32),
    /// Of the container that has the sandbox.
    Limits {
        sandbox: u32,
        value: limit::Limits,
    },
    Uplink {
        device: Device,
        value: host::Uplink,
    },
    /// An address of the host's.
    Local {
        address: IpAddr,
    },
    /// A network trusts a device of the host.
    Trusted(network::TrustedKey),
}

/// A device of the host's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub index: Option<u32>,
}

/// Where an entry stands: two entries with one place are two values of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// By index where it is known, else by name.
    Endpoint(Result<u32, String>),
    Port(endpoint::PortKey),
    Address(neighbour::NeighbourKey),
    Slot(u32),
    Network(u32),
    Member(network::MemberKey),
    Subnet(IpNetwork),
    Published(publish::PublishedKey),
    Publication(u16),
    Outward(publish::OutwardKey),
    Source(u16, IpNetwork),
    View(u32),
    Name(name::NameKey),
    Standing(u32),
    Cidr(u32, IpNetwork),
    Pair(policy::PairKey),
    Ruling(policy::RulingKey, u32),
    Leashed(u32, IpNetwork),
    LeashPorts(leash::LeashPortsKey, u32),
    PolicyEpoch,
    Limits(u32),
    /// As [`Place::Endpoint`].
    Uplink(Result<u32, String>),
    Local(IpAddr),
    Trusted(network::TrustedKey),
}

impl Entry {
    pub fn place(&self) -> Place {
        match self {
            Self::Endpoint { device, .. } => Place::Endpoint(device.index.ok_or_else(|| device.name.clone())),
            Self::Uplink { device, .. } => Place::Uplink(device.index.ok_or_else(|| device.name.clone())),
            Self::Port { key, .. } => Place::Port(*key),
            Self::Address { key, .. } => Place::Address(*key),
            Self::Slot { id, .. } => Place::Slot(*id),
            Self::Network { number, .. } => Place::Network(*number),
            Self::Member { key, .. } => Place::Member(*key),
            Self::Subnet { subnet, .. } => Place::Subnet(*subnet),
            Self::Published { key, .. } => Place::Published(*key),
            Self::Publication { number, .. } => Place::Publication(*number),
            Self::Outward { key, .. } => Place::Outward(*key),
            Self::Source { publication, network } => Place::Source(*publication, *network),
            Self::View { sandbox, .. } => Place::View(*sandbox),
            Self::Name { key, .. } => Place::Name(*key),
            Self::Standing { endpoint, .. } => Place::Standing(*endpoint),
            Self::Cidr { epoch, network, .. } => Place::Cidr(*epoch, *network),
            Self::Pair { key, .. } => Place::Pair(*key),
            Self::Ruling { key, length, .. } => Place::Ruling(*key, *length),
            Self::Leashed { leash, network, .. } => Place::Leashed(*leash, *network),
            Self::LeashPorts { key, length, .. } => Place::LeashPorts(*key, *length),
            Self::PolicyEpoch(_) => Place::PolicyEpoch,
            Self::Limits { sandbox, .. } => Place::Limits(*sandbox),
            Self::Local { address } => Place::Local(*address),
            Self::Trusted(key) => Place::Trusted(*key),
        }
    }

    /// The same entry with devices by index alone: one form for what the plan wants (indexes beside
    /// the value) and what the maps hold (indexes inside it).
    #[must_use]
    pub fn by_index(&self) -> Self {
        let mut entry = self.clone();
        for device in entry.devices() {
            device.name.clear();
        }
        match &mut entry {
            Self::Port { value, .. } => value.ifindex = 0,
            Self::Address { value, .. } => value.port.ifindex = 0,
            Self::Slot { value, .. } => value.ifindex = 0,
            Self::Member { value, .. } => value.ifindex = 0,
            Self::Network { value, .. } => (value.host_end, value.switch_end) = (0, 0),
            Self::Endpoint { .. }
            | Self::Subnet { .. }
            | Self::Published { .. }
            | Self::Publication { .. }
            | Self::Outward { .. }
            | Self::Source { .. }
            | Self::View { .. }
            | Self::Name { .. }
            | Self::Standing { .. }
            | Self::Cidr { .. }
            | Self::Pair { .. }
            | Self::Ruling { .. }
            | Self::Leashed { .. }
            | Self::LeashPorts { .. }
            | Self::PolicyEpoch(_)
            | Self::Limits { .. }
            | Self::Uplink { .. }
            | Self::Local { .. }
            | Self::Trusted(_) => {}
        }
        entry
    }

    /// The devices it names, to have their indexes filled in.
    pub fn devices(&mut self) -> Vec<&mut Device> {
        match self {
            Self::Endpoint { device, .. }
            | Self::Port { device, .. }
            | Self::Address { device, .. }
            | Self::Slot { device, .. }
            | Self::Member { device, .. }
            | Self::Uplink { device, .. } => vec![device],
            Self::Network {
                host_end, switch_end, ..
            } => vec![host_end, switch_end],
            Self::Subnet { .. }
            | Self::Published { .. }
            | Self::Publication { .. }
            | Self::Outward { .. }
            | Self::Source { .. }
            | Self::View { .. }
            | Self::Name { .. }
            | Self::Standing { .. }
            | Self::Cidr { .. }
            | Self::Pair { .. }
            | Self::Ruling { .. }
            | Self::Leashed { .. }
            | Self::LeashPorts { .. }
            | Self::PolicyEpoch(_)
            | Self::Limits { .. }
            | Self::Local { .. }
            | Self::Trusted(_) => Vec::new(),
        }
    }
}
