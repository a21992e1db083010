//! Everything the switch knows: networks, containers, sandboxes, endpoints, and how to find them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Id, container::Container, endpoint::Endpoint, network::Network, sandbox::Sandbox};

/// The state, whole. Only [`State::apply`] changes it, so its indexes are always true.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub networks: BTreeMap<Id, Network>,
    pub containers: BTreeMap<Id, Container>,
    pub sandboxes: BTreeMap<Id, Sandbox>,
    pub endpoints: BTreeMap<Id, Endpoint>,
    pub numbers: Numbers,
    index: Index,
}

/// Where small numbers for the maps come from: NETWORKS and SLOTS are arrays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Generation of each endpoint number that was ever given out; the key is the number.
    pub generations: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug, Default)]
struct Index {
    endpoints_of_network: BTreeMap<Id, BTreeSet<Id>>,
    endpoints_of_container: BTreeMap<Id, BTreeSet<Id>>,
    addresses: BTreeMap<Id, BTreeSet<IpAddr>>,
}

/// What a request changes: for each id the value afterwards, `None` where it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub networks: BTreeMap<Id, Option<Network>>,
    pub containers: BTreeMap<Id, Option<Container>>,
    pub sandboxes: BTreeMap<Id, Option<Sandbox>>,
    pub endpoints: BTreeMap<Id, Option<Endpoint>>,
}
