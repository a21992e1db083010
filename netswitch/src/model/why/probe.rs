//! Probe: where the switch would meet the packet that is asked about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netswitch_common::address::Mac;

use super::{Place, Protocol, Target, frame::Packet};
use crate::api::Error;
use crate::model::{
    Id,
    container::Mode,
    endpoint::Endpoint,
    network::{Bridge, Network, gateway},
    publish::{self, Publication},
    state::State,
    uplink::Uplink,
};

/// Who stands for the world where no address is named (RFC 5737, RFC 3849).
const WORLD_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const WORLD_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// Nobody's: who looks for an address that nobody has gets no other.
const NOBODY: Mac = Mac([2, 0, 0, 0, 0, 0]);

/// By which side a packet meets the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Endpoint,
    Uplink,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub side: Side,
    /// Of the host-side veth, the network's switch end, or the uplink.
    pub index: u32,
    /// Empty for what comes from the world.
    pub network: Option<Id>,
    pub packet: Packet,
}

/// What a question is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    pub state: &'a State,
    pub uplinks: &'a [Uplink],
    /// Addresses of the host.
    pub local: &'a [IpAddr],
}

/// Somebody, found.
#[derive(Debug)]
enum Party<'a> {
    /// The endpoints of one namespace, or the one that has an address.
    Endpoints(Vec<&'a Endpoint>),
    Host,
    World(Option<IpAddr>),
}

impl<'a> Ground<'a> {
    /// The packets to ask about: one for each family that both have.
    pub fn probes(&self, from: &Place, to: &Target) -> Result<Vec<Probe>, Error> {
        let sender = self.party(from)?;
        let receiver = self.party(&to.place)?;
        let inside = match (&sender, &receiver) {
            (Party::Endpoints(some), Party::Endpoints(others)) => {
                let same = |one: &&Endpoint| others.iter().any(|other| one.sandbox == other.sandbox);
                some.iter().any(same)
            }
            (Party::Host, Party::Host | Party::World(_)) => true,
            (Party::World(_), Party::World(to)) => !to.is_some_and(|address| self.is_in_subnet(address)),
            _ => false,
        };
        if inside {
            return Err(Error::bad_request("no packet between these two passes the switch"));
        }
        let mut probes = Vec::new();
        for v6 in [false, true] {
            let named = match to.place {
                Place::Address(address) if address.is_ipv6() != v6 => continue,
                Place::Address(address) => Some(address),
                Place::Container(_) | Place::Host | Place::World => None,
            };
            let probe = match &sender {
                Party::Endpoints(endpoints) => self.by_container(endpoints, &receiver, named, to, v6),
                Party::Host => self.by_host(&receiver, to, v6),
                Party::World(source) if source.is_none_or(|source| source.is_ipv6() == v6) => {
                    self.by_world(*source, &receiver, named, to, v6)
                }
                Party::World(_) => None,
            };
            probes.extend(probe);
        }
        if probes.is_empty() {
            let hint = match sender {
                Party::World(_) if self.uplinks.is_empty() => "the host has no uplink",
                _ => "these two have no address family in common",
            };
            return Err(Error::bad_request(hint));
        }
        Ok(probes)
    }

    fn is_in_subnet(&self, address: IpAddr) -> bool {
        let mut pools = self.state.networks.values().flat_map(|network| &network.pools);
        pools.any(|pool| pool.subnet.contains(address))
    }

    fn party(&self, place: &Place) -> Result<Party<'a>, Error> {
        match place {
            Place::Host => Ok(Party::Host),
            Place::World => Ok(Party::World(None)),
            Place::Container(name) => self.container(name),
            Place::Address(address) => {
                if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
                    return Err(Error::bad_request(format!("{address} is no address of one host")));
                }
                let mut networks = self.state.networks.values();
                let holder = networks.find_map(|network| self.state.endpoint_with_address(&network.id, *address));
                Ok(match holder {
                    Some(endpoint) => Party::Endpoints(vec![endpoint]),
                    None if self.local.contains(address) => Party::Host,
                    None => Party::World(Some(*address)),
                })
            }
        }
    }

    fn container(&self, name: &str) -> Result<Party<'a>, Error> {
        let container = self.state.container(name)?;
        if container.mode == Mode::Host {
            return Ok(Party::Host);
        }
        let Some(sandbox) = &container.sandbox else {
            return Err(Error::conflict(format!("Container {} is not running", container.id)));
        };
        let endpoints: Vec<&Endpoint> = self.state.endpoints_of_sandbox(sandbox).collect();
        if endpoints.is_empty() {
            return Err(Error::bad_request(format!(
                "container {} is on no network",
                container.name
            )));
        }
        Ok(Party::Endpoints(endpoints))
    }

    fn network(&self, endpoint: &Endpoint) -> Option<(&'a Network, &'a Bridge)> {
        let network = self.state.networks.get(&endpoint.network)?;
        Some((network, network.bridge.as_ref()?))
    }

    /// To a neighbour's MAC where there is a neighbour, else to the gateway's.
    fn by_container(
        &self,
        endpoints: &[&Endpoint],
        receiver: &Party<'_>,
        named: Option<IpAddr>,
        to: &Target,
        v6: bool,
    ) -> Option<Probe> {
        let mut near = endpoints
            .iter()
            .filter_map(|endpoint| Some((*endpoint, own(endpoint, v6)?)));
        let neighbour = |endpoint: &Endpoint| match (named, receiver) {
            (Some(address), _) => self.neighbour(endpoint, address).map(|mac| (address, mac)),
            (None, Party::Endpoints(others)) => others
                .iter()
                .filter(|other| other.network == endpoint.network)
                .find_map(|other| Some((own(other, v6)?, other.mac))),
            (None, Party::Host | Party::World(_)) => None,
        };
        let met = near
            .clone()
            .find_map(|(endpoint, from)| Some((endpoint, from, neighbour(endpoint)?)));
        if let Some((endpoint, from, (address, mac))) = met {
            return out_of(endpoint, from, address, mac, to);
        }
        let leads_out = |endpoint: &Endpoint| {
            if v6 {
                endpoint.default_route_v6
            } else {
                endpoint.default_route_v4
            }
        };
        let exit = near
            .clone()
            .find(|(endpoint, _)| leads_out(endpoint))
            .or_else(|| near.next());
        let (endpoint, from) = exit?;
        let (network, bridge) = self.network(endpoint)?;
        let address = match (named, receiver) {
            (Some(address), _) => address,
            (None, Party::Endpoints(others)) => others.iter().find_map(|other| own(other, v6))?,
            (None, Party::Host) => self.host_on(network, bridge, v6)?,
            (None, Party::World(_)) => world(v6),
        };
        out_of(endpoint, from, address, bridge.mac, to)
    }

    /// The host as a network's containers know it: by their gateway, or by another address where that is none.
    fn host_on(&self, network: &Network, bridge: &Bridge, v6: bool) -> Option<IpAddr> {
        if bridge.gateway.mode(v6) != gateway::Mode::Isolated {
            return gateway_of(network, v6);
        }
        let may_be = |address: &&IpAddr| match address {
            IpAddr::V4(v4) => !v6 && !v4.is_loopback(),
            IpAddr::V6(address) => v6 && !address.is_loopback() && !address.is_unicast_link_local(),
        };
        self.local.iter().find(may_be).copied()
    }

    /// Whose MAC an address of the endpoint's own subnet has.
    fn neighbour(&self, endpoint: &Endpoint, address: IpAddr) -> Option<Mac> {
        let (network, bridge) = self.network(endpoint)?;
        let pool = network.pools.iter().find(|pool| pool.subnet.contains(address))?;
        if pool.gateway == address {
            return Some(bridge.mac);
        }
        let neighbour = self.state.endpoint_with_address(&network.id, address);
        Some(neighbour.map_or(NOBODY, |neighbour| neighbour.mac))
    }

    /// By the host end of the container's network.
    fn by_host(&self, receiver: &Party<'_>, to: &Target, v6: bool) -> Option<Probe> {
        let Party::Endpoints(endpoints) = receiver else {
            return None;
        };
        let (endpoint, address) = endpoints
            .iter()
            .find_map(|endpoint| Some((*endpoint, own(endpoint, v6)?)))?;
        let (network, bridge) = self.network(endpoint)?;
        Some(Probe {
            side: Side::Endpoint,
            index: bridge.switch_end_index?,
            network: Some(network.id.clone()),
            packet: packet(
                [bridge.mac, endpoint.mac],
                gateway_of(network, v6)?,
                address,
                to.protocol,
                to.port,
            ),
        })
    }

    /// To where the container's port is published, or else to the container's own address.
    fn by_world(
        &self,
        source: Option<IpAddr>,
        receiver: &Party<'_>,
        named: Option<IpAddr>,
        to: &Target,
        v6: bool,
    ) -> Option<Probe> {
        let on = |uplink: &Uplink| if v6 { uplink.v6 } else { uplink.v4 };
        let with = |address: IpAddr| self.uplinks.iter().find(move |uplink| on(uplink) == Some(address));
        let first = self.uplinks.iter().find(|uplink| on(uplink).is_some())?;
        let own_address = on(first)?;
        let destination = match (named, receiver) {
            (Some(address), _) => (address, to.port).into(),
            (None, Party::Endpoints(endpoints)) => self.published(endpoints, own_address, to)?,
            (None, Party::Host | Party::World(_)) => (own_address, to.port).into(),
        };
        let uplink = with(destination.ip()).unwrap_or(first);
        Some(Probe {
            side: Side::Uplink,
            index: uplink.link.index,
            network: None,
            packet: packet(
                [NOBODY, uplink.link.mac?],
                source.unwrap_or(world(v6)),
                destination.ip(),
                to.protocol,
                destination.port(),
            ),
        })
    }

    /// Where the world finds a container's port; `host`: an address of the family at hand.
    fn published(&self, endpoints: &[&Endpoint], host: IpAddr, to: &Target) -> Option<SocketAddr> {
        let v6 = host.is_ipv6();
        let fits = |publication: &Publication| {
            let is_port = to
                .port
                .checked_sub(publication.container_first)
                .is_some_and(|offset| offset <= publication.last - publication.first);
            let protocol = match to.protocol {
                Protocol::Tcp => publication.protocol == publish::Protocol::Tcp,
                Protocol::Udp => publication.protocol == publish::Protocol::Udp,
                Protocol::Icmp => false,
            };
            is_port && protocol && publication.host.is_ipv6() == v6 && !publication.host.is_loopback()
        };
        let is_translated = |endpoint: &Endpoint| {
            let network = self.network(endpoint);
            network.is_some_and(|(_, bridge)| bridge.gateway.mode(v6).translates())
        };
        let at_the_host = endpoints.iter().find_map(|endpoint| {
            own(endpoint, v6).filter(|_| is_translated(endpoint))?;
            endpoint.publications.iter().find(|publication| fits(publication))
        });
        if let Some(publication) = at_the_host {
            let address = Some(publication.host).filter(|address| !address.is_unspecified());
            let port = publication.first + (to.port - publication.container_first);
            return Some((address.unwrap_or(host), port).into());
        }
        let address = endpoints.iter().find_map(|endpoint| own(endpoint, v6))?;
        Some((address, to.port).into())
    }
}

fn out_of(endpoint: &Endpoint, from: IpAddr, address: IpAddr, mac: Mac, to: &Target) -> Option<Probe> {
    Some(Probe {
        side: Side::Endpoint,
        index: endpoint.index?,
        network: Some(endpoint.network.clone()),
        packet: packet([endpoint.mac, mac], from, address, to.protocol, to.port),
    })
}

fn own(endpoint: &Endpoint, v6: bool) -> Option<IpAddr> {
    let address = if v6 { endpoint.v6 } else { endpoint.v4 };
    address.map(|address| address.ip())
}

fn gateway_of(network: &Network, v6: bool) -> Option<IpAddr> {
    let pool = if v6 { network.pool_v6() } else { network.pool_v4() };
    pool.map(|pool| pool.gateway)
}

const fn world(v6: bool) -> IpAddr {
    if v6 { WORLD_V6 } else { WORLD_V4 }
}

const fn packet(macs: [Mac; 2], from: IpAddr, to: IpAddr, protocol: Protocol, port: u16) -> Packet {
    Packet {
        macs,
        from,
        to,
        protocol,
        port,
    }
}
