//! A network: what `network create` makes, in Docker's terms, and the rules for it.

pub mod create;
pub mod gateway;
pub mod inspect;
pub mod options;
pub mod predefined;
pub mod remove;
pub mod renumber;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::{address::Mac, endpoint::flags};
use serde::{Deserialize, Serialize};

use super::{Id, endpoint::openings::Openings, policy::Leash};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Bridge,
    Host,
    Null,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub id: Id,
    pub name: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    pub driver: Driver,
    pub internal: bool,
    /// Echoed to Docker's client; without effect here as in a Docker without swarm.
    pub attachable: bool,
    pub enable_ipv6: bool,
    /// In the order they were given, v4 before v6. Empty for host and none.
    pub pools: Vec<Pool>,
    /// IPv6 subnets given without `--ipv6`: Docker shows them and does nothing with them.
    #[serde(default)]
    pub idle_pools: Vec<Pool>,
    /// `--ipam-opt`; `None` prints as `null` (the predefined networks).
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// `-o`, as given: what `network inspect` shows.
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// What the switch makes of it; `None` for host and none.
    pub bridge: Option<Bridge>,
}

impl Network {
    pub fn pool_v4(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv4())
    }

    pub fn pool_v6(&self) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv6())
    }
}

impl Network {
    /// Reserved addresses (`--aux-address`), which one container or several may have.
    pub fn shared_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.pools.iter().flat_map(|pool| {
            let reserved = pool.auxiliary.values().copied();
            reserved.filter(|address| *address != pool.gateway)
        })
    }

    /// Whether the host's own programs may ask for its names.
    pub fn has_host_names(&self) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.host_names)
    }

    /// Where its containers' questions about names are answered: the gateways that the host has,
    /// and that they may reach.
    pub fn resolvers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let bridge = self.bridge.iter().filter(|bridge| bridge.may_ask());
        bridge.flat_map(move |bridge| {
            let gateways = self.pools.iter().map(|pool| pool.gateway);
            gateways.filter(move |gateway| bridge.gateway.mode(gateway.is_ipv6()) != gateway::Mode::Isolated)
        })
    }

    /// Where the switch alone answers them: at the gateways that a network of gateway mode isolated would have.
    pub fn switch_resolvers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let bridge = self.bridge.iter();
        bridge.flat_map(move |bridge| {
            let gateways = self.pools.iter().map(|pool| pool.gateway);
            gateways.filter(move |gateway| bridge.gateway.mode(gateway.is_ipv6()) == gateway::Mode::Isolated)
        })
    }
}

impl Bridge {
    /// Whether its containers may ask the agent for names.
    fn may_ask(&self) -> bool {
        self.closed & (flags::NO_HOST_V4 | flags::MAY_ASK) != flags::NO_HOST_V4
    }

    /// Whether the host end has a link-local address: not where gateway mode isolated keeps the host off.
    pub fn has_link_local(&self, has_ipv6: bool) -> bool {
        self.gateway.mode(has_ipv6) != gateway::Mode::Isolated
    }
}

impl Driver {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub subnet: IpNetwork,
    pub gateway: IpAddr,
    /// Whether the user chose the subnet (then `--ip` is allowed).
    pub chosen: bool,
    /// Whether `network inspect` shows the gateway (Docker: not for the default network).
    pub shows_gateway: bool,
    pub ip_range: Option<IpNetwork>,
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// The address given out last: the next search starts behind it, so that freed ones are reused last.
    pub last: Option<IpAddr>,
}

/// The switch's side of a bridge network, options parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Index into NETWORKS; never 0.
    pub number: u32,
    /// Endpoint number and generation of the host's own port.
    pub host_port: u32,
    pub host_port_generation: u32,
    /// `docker0`, `nsw0`, `br-…` or the user's choice.
    pub host_end: String,
    /// `sw-…`.
    pub switch_end: String,
    /// MAC of the host end.
    #[serde(with = "crate::model::endpoint::mac_text")]
    pub mac: Mac,
    pub mtu: u32,
    pub icc: bool,
    /// `netswitch.big_tcp`: bytes of the largest GSO packet, `None` for the kernel's default.
    pub big_tcp: Option<u32>,
    /// Per-network opt-ins, bits of [`netswitch_common::endpoint::flags`].
    pub allow: u32,
    /// What `netswitch.host_access` and `netswitch.metadata` close, bits of the same.
    #[serde(default)]
    pub closed: u32,
    /// How its containers meet the world.
    #[serde(default)]
    pub gateway: gateway::Gateway,
    /// `trusted_host_interfaces`: names of the host's devices from which its containers are reached at their own addresses.
    #[serde(default)]
    pub trusted: Vec<String>,
    /// `netswitch.dns`: whom its containers' questions go to; empty for the host's servers.
    #[serde(default)]
    pub name_servers: Vec<IpAddr>,
    /// `netswitch.egress`.
    #[serde(default)]
    pub egress: Option<Leash>,
    /// What all of its endpoints may do.
    #[serde(default)]
    pub openings: Openings,
    /// `netswitch.host_names`: whether the host's own programs may ask for its names.
    #[serde(default)]
    pub host_names: bool,
    /// Ifindexes of host end and switch end, known once they exist.
    pub host_end_index: Option<u32>,
    pub switch_end_index: Option<u32>,
}
