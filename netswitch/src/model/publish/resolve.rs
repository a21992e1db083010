//! Where a published port leads, for what the agent passes on itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Protocol, Publication};
use crate::model::{changes::Changes, endpoint::Endpoint, state::State};

/// Every publication by where it starts, with its container's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    leads: BTreeMap<(Protocol, IpAddr, u16), Lead>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lead {
    last: u16,
    container_first: u16,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Resolver {
    pub fn new(state: &State) -> Self {
        let mut resolver = Self::default();
        for endpoint in state.endpoints.values() {
            resolver.add(endpoint);
        }
        resolver
    }

    /// Follows what has changed since `before`.
    pub fn apply(&mut self, before: &State, changes: &Changes) {
        for publication in changes.endpoints.keys().flat_map(|id| before.publications_of(id)) {
            self.leads.remove(&start(publication));
        }
        for endpoint in changes.endpoints.values().flatten() {
            self.add(endpoint);
        }
    }

    fn add(&mut self, endpoint: &Endpoint) {
        for publication in &endpoint.publications {
            let lead = Lead {
                last: publication.last,
                container_first: publication.container_first,
                v4: endpoint.v4.map(|address| address.ip()),
                v6: endpoint.v6.map(|address| address.ip()),
            };
            self.leads.insert(start(publication), lead);
        }
    }

    /// The container's address and port: a publication at the very address goes before one at every
    /// address; a container without IPv6 is reached over IPv4.
    pub fn resolve(&self, protocol: Protocol, dialled: SocketAddr) -> Option<SocketAddr> {
        let every: IpAddr = match dialled {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let (first, lead) = self
            .at(protocol, dialled.ip(), dialled.port())
            .or_else(|| self.at(protocol, every, dialled.port()))?;
        let address = match dialled {
            SocketAddr::V4(_) => lead.v4,
            SocketAddr::V6(_) => lead.v6.or(lead.v4),
        };
        Some((address?, lead.container_first + (dialled.port() - first)).into())
    }

    fn at(&self, protocol: Protocol, host: IpAddr, port: u16) -> Option<(u16, &Lead)> {
        let nearest = self
            .leads
            .range((protocol, host, 0)..=(protocol, host, port))
            .next_back();
        nearest
            .filter(|(_, lead)| port <= lead.last)
            .map(|((.., first), lead)| (*first, lead))
    }
}

const fn start(publication: &Publication) -> (Protocol, IpAddr, u16) {
    (publication.protocol, publication.host, publication.first)
}

impl State {
    /// Of an endpoint; none where there is no such endpoint.
    pub fn publications_of(&self, endpoint: &crate::model::Id) -> &[Publication] {
        self.endpoints
            .get(endpoint)
            .map_or(&[], |endpoint| &endpoint.publications)
    }
}
