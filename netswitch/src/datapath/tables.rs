//! Typed handles of the maps that the agent writes.

use std::io;
use std::path::Path;

use aya::{
    Ebpf, Pod,
    maps::{HashMap, LpmTrie, Map, MapData, MapError, PerCpuHashMap},
};
use netswitch_common::{
    address::Address,
    capacity,
    endpoint::{Endpoint, Port, PortKey, Slot},
    host::{Config, Uplink},
    ipsec::{PolicyList, SecurityPolicy, SelectorKey},
    leash::{Classes, LeashPortsKey},
    limit::{Limits, Rations},
    name::{Name, NameKey, View},
    neighbour::{Neighbour, NeighbourKey},
    network::{Member, MemberKey, Network, Subnet, TrustedKey},
    policy::{CidrKey, PairKey, Ruling, RulingKey, Standing},
    publish::{OutwardKey, OutwardPorts, Publication, PublishedKey, PublishedPorts, SourceKey},
    routing::{PrefixKey, Rule},
    verdict::{Count, DropKey},
};

use super::{
    Error, Result,
    array::Array,
    leash::Leashes,
    prefixes::{key_of, source_key},
};
use crate::action::{Device, Entry};

/// Every map that follows the state. Layouts were checked before this was made.
pub struct Tables {
    pub(super) endpoints: HashMap<MapData, u32, Endpoint>,
    low_endpoints: Array<Endpoint>,
    pub(super) ports: HashMap<MapData, PortKey, Port>,
    pub(super) addresses: HashMap<MapData, NeighbourKey, Neighbour>,
    pub(super) slots: Array<Slot>,
    pub(super) networks: Array<Network>,
    pub(super) members: HashMap<MapData, MemberKey, Member>,
    pub(super) subnets: LpmTrie<MapData, Address, Subnet>,
    pub(super) published: HashMap<MapData, PublishedKey, PublishedPorts>,
    pub(super) inward: Array<u64>,
    pub(super) outward: HashMap<MapData, OutwardKey, OutwardPorts>,
    pub(super) publications: HashMap<MapData, u32, Publication>,
    pub(super) sources: LpmTrie<MapData, SourceKey, u32>,
    pub(super) standings: Array<Standing>,
    pub(super) cidrs: LpmTrie<MapData, CidrKey, u32>,
    pub(super) pairs: HashMap<MapData, PairKey, u32>,
    pub(super) rulings: LpmTrie<MapData, RulingKey, Ruling>,
    pub(super) leashes: Leashes,
    pub(super) leash_ports: LpmTrie<MapData, LeashPortsKey, Classes>,
    pub(super) views: Array<View>,
    pub(super) names: HashMap<MapData, NameKey, Name>,
    pub(super) limits: HashMap<MapData, u32, Limits>,
    pub(super) uplinks: HashMap<MapData, u32, Uplink>,
    pub(super) locals: HashMap<MapData, Address, u32>,
    pub(super) trusted: HashMap<MapData, TrustedKey, u32>,
    pub(super) selectors: LpmTrie<MapData, SelectorKey, PolicyList>,
    pub(super) security: HashMap<MapData, u32, SecurityPolicy>,
    pub(super) rules: HashMap<MapData, u32, Rule>,
    pub(super) prefixes: LpmTrie<MapData, PrefixKey, u32>,
    pub(super) resolvers: HashMap<MapData, u64, Address>,
    pub(super) host_protocols: Array<u32>,
    pub(super) config: aya::maps::Array<MapData, Config>,
    pub(super) extents: Array<u32>,
    pub(super) hairpins: Array<u64>,
    pub(super) drops: PerCpuHashMap<MapData, DropKey, Count>,
    pub(super) rations: Array<Rations>,
}

impl Tables {
    /// Takes the object's maps.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            endpoints: take(ebpf, "ENDPOINTS")?,
            low_endpoints: take(ebpf, "LOW_ENDPOINTS")?,
            ports: take(ebpf, "PORTS")?,
            addresses: take(ebpf, "ADDRESSES")?,
            slots: take(ebpf, "SLOTS")?,
            networks: take(ebpf, "NETWORKS")?,
            members: take(ebpf, "MEMBERS")?,
            subnets: take(ebpf, "SUBNETS")?,
            published: take(ebpf, "PUBLISHED")?,
            inward: take(ebpf, "INWARD")?,
            outward: take(ebpf, "OUTWARD")?,
            publications: take(ebpf, "PUBLICATIONS")?,
            sources: take(ebpf, "SOURCES")?,
            standings: take(ebpf, "STANDINGS")?,
            cidrs: take(ebpf, "CIDRS")?,
            pairs: take(ebpf, "PAIRS")?,
            rulings: take(ebpf, "RULINGS")?,
            leashes: Leashes::new(take(ebpf, "LEASHES")?),
            leash_ports: take(ebpf, "LEASH_PORTS")?,
            views: take(ebpf, "VIEWS")?,
            names: take(ebpf, "NAMES")?,
            limits: take(ebpf, "LIMITS")?,
            uplinks: take(ebpf, "UPLINKS")?,
            locals: take(ebpf, "LOCALS")?,
            trusted: take(ebpf, "TRUSTED")?,
            selectors: take(ebpf, "SELECTORS")?,
            security: take(ebpf, "SECURITY")?,
            rules: take(ebpf, "RULES")?,
            prefixes: take(ebpf, "PREFIXES")?,
            resolvers: take(ebpf, "RESOLVERS")?,
            host_protocols: take(ebpf, "HOST_PROTOCOLS")?,
            config: take(ebpf, "CONFIG")?,
            extents: take(ebpf, "EXTENTS")?,
            hairpins: take(ebpf, "HAIRPINS")?,
            drops: take(ebpf, "DROPS")?,
            rations: take(ebpf, "RATIONS")?,
        })
    }

    /// `LOW_ENDPOINTS` is the object's own: it starts empty.
    pub(super) fn fill_low_endpoints(&mut self) -> Result<()> {
        let endpoints: Vec<_> = self
            .endpoints
            .iter()
            .collect::<Result<_, _>>()
            .map_err(Error::map("ENDPOINTS"))?;
        for (ifindex, endpoint) in endpoints {
            self.set_low_endpoint(ifindex, endpoint)?;
        }
        Ok(())
    }

    /// Programs read the array while it is written. An element whose id is 0 is nobody's to them, so that they never take
    /// a part of the old endpoint and a part of the new one for one.
    fn set_low_endpoint(&mut self, ifindex: u32, endpoint: Endpoint) -> Result<()> {
        if ifindex >= capacity::LOW_ENDPOINTS {
            return Ok(());
        }
        let map = || Error::map("LOW_ENDPOINTS");
        let nobody = |endpoint: Endpoint| Endpoint { id: 0, ..endpoint };
        let old = self.low_endpoints.get(ifindex).map_err(map())?;
        for value in [nobody(old), nobody(endpoint), endpoint] {
            self.low_endpoints.set(ifindex, value).map_err(map())?;
        }
        Ok(())
    }

    /// Writes an entry, or replaces the one with its key. Its devices' indexes must be known.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Endpoint { device, value } => {
                let key = index(device)?;
                self.endpoints.insert(key, value, 0).map_err(Error::map("ENDPOINTS"))?;
                self.set_low_endpoint(key, *value)
            }
            Entry::Port { key, device, value } => {
                let value = Port {
                    ifindex: index(device)?,
                    ..*value
                };
                self.ports.insert(key, value, 0).map_err(Error::map("PORTS"))
            }
            Entry::Address { key, device, value } => {
                let port = Port {
                    ifindex: index(device)?,
                    ..value.port
                };
                let value = Neighbour { port, ..*value };
                self.addresses.insert(key, value, 0).map_err(Error::map("ADDRESSES"))
            }
            Entry::Slot { id, device, value } => {
                let value = Slot {
                    ifindex: index(device)?,
                    ..*value
                };
                self.slots.set(*id, value).map_err(Error::map("SLOTS"))
            }
            Entry::Network {
                number,
                host_end,
                switch_end,
                value,
            } => {
                let value = Network {
                    host_end: index(host_end)?,
                    switch_end: index(switch_end)?,
                    ..*value
                };
                self.networks.set(*number, value).map_err(Error::map("NETWORKS"))
            }
            Entry::Member { key, device, value } => {
                let value = Member {
                    ifindex: index(device)?,
                    ..*value
                };
                self.members.insert(key, value, 0).map_err(Error::map("MEMBERS"))
            }
            Entry::Subnet { subnet, value } => self
                .subnets
                .insert(&key_of(subnet), value, 0)
                .map_err(Error::map("SUBNETS")),
            Entry::Published { key, value } => {
                self.publication_leads_inward(key, value)?;
                let written = self.published.insert(key, value.as_ref(), 0);
                written.map_err(Error::map("PUBLISHED"))
            }
            Entry::Publication { number, value } => self
                .publications
                .insert(u32::from(*number), value, 0)
                .map_err(Error::map("PUBLICATIONS")),
            Entry::Outward { key, value } => {
                let written = self.outward.insert(key, value.as_ref(), 0);
                written.map_err(Error::map("OUTWARD"))
            }
            Entry::Source { publication, network } => self
                .sources
                .insert(&source_key(*publication, network), 1, 0)
                .map_err(Error::map("SOURCES")),
            Entry::View { sandbox, value } => self.views.set(*sandbox, *value).map_err(Error::map("VIEWS")),
            Entry::Name { key, value } => self.names.insert(key, value.as_ref(), 0).map_err(Error::map("NAMES")),
            Entry::Standing { .. }
            | Entry::Cidr { .. }
            | Entry::Pair { .. }
            | Entry::Ruling { .. }
            | Entry::PolicyEpoch(_) => self.write_policy(entry),
            Entry::Leashed { .. } | Entry::LeashPorts { .. } => self.write_leash(entry),
            Entry::Limits { sandbox, value } => self.limits.insert(sandbox, value, 0).map_err(Error::map("LIMITS")),
            Entry::Uplink { device, value } => {
                let key = index(device)?;
                self.uplinks.insert(key, value, 0).map_err(Error::map("UPLINKS"))
            }
            Entry::Local { address } => self
                .locals
                .insert(Address::from(*address), 1, 0)
                .map_err(Error::map("LOCALS")),
            Entry::Trusted(key) => self.trusted.insert(key, 1, 0).map_err(Error::map("TRUSTED")),
        }
    }

    /// Removes the entry with this one's key; that there is none is no error.
    pub fn remove(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Endpoint { device, .. } => {
                let key = index(device)?;
                self.set_low_endpoint(key, Endpoint::default())?;
                absent_is_fine("ENDPOINTS", self.endpoints.remove(&key))
            }
            Entry::Port { key, .. } => absent_is_fine("PORTS", self.ports.remove(key)),
            Entry::Address { key, .. } => absent_is_fine("ADDRESSES", self.addresses.remove(key)),
            // an array's entry cannot be removed: zeros mean "nobody"
            Entry::Slot { id, .. } => self.slots.set(*id, Slot::default()).map_err(Error::map("SLOTS")),
            Entry::Network { number, .. } => self
                .networks
                .set(*number, Network::default())
                .map_err(Error::map("NETWORKS")),
            Entry::Member { key, .. } => absent_is_fine("MEMBERS", self.members.remove(key)),
            Entry::Subnet { subnet, .. } => absent_is_fine("SUBNETS", self.subnets.remove(&key_of(subnet))),
            Entry::Published { key, .. } => absent_is_fine("PUBLISHED", self.published.remove(key)),
            Entry::Publication { number, .. } => {
                absent_is_fine("PUBLICATIONS", self.publications.remove(&u32::from(*number)))
            }
            Entry::Outward { key, .. } => absent_is_fine("OUTWARD", self.outward.remove(key)),
            Entry::Source { publication, network } => {
                absent_is_fine("SOURCES", self.sources.remove(&source_key(*publication, network)))
            }
            Entry::View { sandbox, .. } => self.views.set(*sandbox, View::default()).map_err(Error::map("VIEWS")),
            Entry::Name { key, .. } => absent_is_fine("NAMES", self.names.remove(key)),
            Entry::Standing { .. }
            | Entry::Cidr { .. }
            | Entry::Pair { .. }
            | Entry::Ruling { .. }
            | Entry::PolicyEpoch(_) => self.remove_policy(entry),
            Entry::Leashed { .. } | Entry::LeashPorts { .. } => self.remove_leash(entry),
            Entry::Limits { sandbox, .. } => absent_is_fine("LIMITS", self.limits.remove(sandbox)),
            Entry::Uplink { device, .. } => absent_is_fine("UPLINKS", self.uplinks.remove(&index(device)?)),
            Entry::Local { address } => absent_is_fine("LOCALS", self.locals.remove(&Address::from(*address))),
            Entry::Trusted(key) => absent_is_fine("TRUSTED", self.trusted.remove(key)),
        }
    }

    /// What holds for every hook.
    pub fn config(&self) -> Result<Config> {
        self.config.get(&0, 0).map_err(Error::map("CONFIG"))
    }

    pub fn set_config(&mut self, config: &Config) -> Result<()> {
        let before = self.config()?;
        if (before.first_port, before.port_count) != (config.first_port, config.port_count) {
            self.masquerade_leads_inward(config)?;
        }
        self.config.set(0, config, 0).map_err(Error::map("CONFIG"))
    }

    /// The families in which the host uses each protocol without ports. Whether some protocol is used no more.
    pub fn set_host_protocols(&mut self, used: &[u32; capacity::HOST_PROTOCOLS as usize]) -> Result<bool> {
        let mut cleared = false;
        for (protocol, families) in (0..).zip(used) {
            let known = self
                .host_protocols
                .get(protocol)
                .map_err(Error::map("HOST_PROTOCOLS"))?;
            if known != *families {
                self.host_protocols
                    .set(protocol, *families)
                    .map_err(Error::map("HOST_PROTOCOLS"))?;
                cleared |= known & !families != 0;
            }
        }
        Ok(cleared)
    }

    pub fn endpoint(&self, ifindex: u32) -> Result<Option<Endpoint>> {
        get("ENDPOINTS", self.endpoints.get(&ifindex, 0))
    }

    pub fn port(&self, key: &PortKey) -> Result<Option<Port>> {
        get("PORTS", self.ports.get(key, 0))
    }

    pub fn address(&self, key: &NeighbourKey) -> Result<Option<Neighbour>> {
        get("ADDRESSES", self.addresses.get(key, 0))
    }

    pub fn slot(&self, id: u32) -> Result<Option<Slot>> {
        Ok(get("SLOTS", self.slots.get(id))?.filter(|slot| *slot != Slot::default()))
    }

    pub fn network(&self, number: u32) -> Result<Option<Network>> {
        Ok(get("NETWORKS", self.networks.get(number))?.filter(|network| *network != Network::default()))
    }

    pub fn member(&self, key: &MemberKey) -> Result<Option<Member>> {
        get("MEMBERS", self.members.get(key, 0))
    }
}

pub(super) fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T> {
    let map = ebpf.take_map(name).ok_or(Error::Missing(name))?;
    T::try_from(map).map_err(Error::map(name))
}

/// A handle of its own for a map that is pinned in `folder`.
pub(super) fn pinned<T: TryFrom<Map, Error = MapError>>(folder: &Path, name: &'static str) -> Result<T> {
    let map = MapData::from_pin(folder.join(name)).and_then(Map::from_map_data);
    map.and_then(T::try_from).map_err(Error::map(name))
}

fn get<T: Pod>(map: &'static str, result: Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound | MapError::OutOfBounds { .. }) => Ok(None),
        Err(error) => Err(Error::map(map)(error)),
    }
}

pub(super) fn absent_is_fine(map: &'static str, result: Result<(), MapError>) -> Result<()> {
    match result {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) => Err(Error::map(map)(error)),
    }
}

fn index(device: &Device) -> Result<u32> {
    device.index.ok_or_else(|| Error::NoIndex(device.name.clone()))
}
