//! What one sandbox sees: its networks, its private names, and whom the rest is asked of.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{
    Id,
    container::{Container, parse},
    endpoint::Endpoint,
    network::Network,
    policy::Leashes,
    state::State,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The sandbox's, in the maps; 0 for whoever has none.
    pub(super) number: u32,
    /// In the order of its interfaces.
    pub(super) networks: Vec<Seen>,
    pub forward: Forward,
    /// Of its endpoints that have one, by generation.
    pub leashes: Arc<[(u32, Leashes)]>,
    /// Whether the switch itself may answer: not where a leash has to learn from the agent's answers.
    pub(super) in_kernel: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) network: Id,
    /// `--link NAME:ALIAS`: alias -> name, for this sandbox alone.
    pub(super) links: HashMap<String, String>,
}

/// Who knows what the switch does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nobody: internal networks lead nowhere.
    Refused,
    /// The host's own name servers.
    Host,
    /// `--dns`.
    To(Vec<IpAddr>),
    /// Others than us, whom the host's programs ask next.
    Others,
}

impl View {
    /// `None` for a sandbox without endpoints.
    pub(super) fn of_sandbox(state: &State, sandbox: &Id) -> Option<Self> {
        let mut endpoints: Vec<&Endpoint> = state.endpoints_of_sandbox(sandbox).collect();
        endpoints.sort_by_key(|endpoint| (endpoint.interface.len(), &endpoint.interface));
        let leashed = endpoints.iter().filter(|endpoint| endpoint.is_leashed());
        let leashes: Arc<[_]> = leashed
            .map(|endpoint| (endpoint.generation, endpoint.leashes.clone()))
            .collect();
        let found: Vec<(&Network, &Container)> = endpoints
            .into_iter()
            .filter_map(|endpoint| {
                let network = state.networks.get(&endpoint.network)?;
                Some((network, state.containers.get(&endpoint.container)?))
            })
            .collect();
        if found.is_empty() {
            return None;
        }
        let mut asked = found.iter().map(|(_, container)| &container.dns.servers);
        let mut of_networks = found.iter().filter_map(|(network, _)| servers_of(network));
        let servers = asked
            .find(|servers| !servers.is_empty())
            .or_else(|| of_networks.find(|servers| !servers.is_empty()));
        Some(Self {
            number: state.sandboxes.get(sandbox).map_or(0, |sandbox| sandbox.number),
            forward: forward(found.iter().all(|(network, _)| network.internal), servers),
            in_kernel: leashes.is_empty() || found.iter().all(|(network, _)| network.resolvers().next().is_none()),
            leashes,
            networks: found
                .iter()
                .map(|(network, container)| Seen {
                    network: network.id.clone(),
                    links: links(container, network),
                })
                .collect(),
        })
    }

    /// Whether it may know where a name leads, in lower case and without the dot at its end: with leashes not
    /// those that none of them names, lest they carry words out of the container.
    pub fn may_ask_for(&self, name: &str) -> bool {
        self.leashes.is_empty() || self.leashes.iter().any(|(_, leashes)| leashes.permits_name(name))
    }

    pub(super) fn of_network(network: &Network) -> Self {
        let servers = servers_of(network).filter(|servers| !servers.is_empty());
        Self {
            number: 0,
            networks: vec![Seen {
                network: network.id.clone(),
                links: HashMap::new(),
            }],
            forward: forward(network.internal, servers),
            leashes: Arc::default(),
            in_kernel: true,
        }
    }
}

fn servers_of(network: &Network) -> Option<&Vec<IpAddr>> {
    network.bridge.as_ref().map(|bridge| &bridge.name_servers)
}

fn forward(is_internal: bool, servers: Option<&Vec<IpAddr>>) -> Forward {
    match servers {
        _ if is_internal => Forward::Refused,
        Some(servers) => Forward::To(servers.clone()),
        None => Forward::Host,
    }
}

fn links(container: &Container, network: &Network) -> HashMap<String, String> {
    let settings = container.attachments.get(&network.name);
    let links = settings.map_or(&[][..], |settings| &settings.links);
    let pairs = links.iter().filter_map(|link| parse::link(link).ok());
    pairs
        .map(|(name, alias)| (alias.to_lowercase(), name.to_lowercase()))
        .collect()
}
