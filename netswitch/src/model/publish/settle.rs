//! Which endpoints have a container's publications: those that carry its default routes.

use std::collections::BTreeMap;

use super::{
    Binding, Protocol, Publication,
    allocate::{Allocator, Target},
};
use crate::{
    api::Error,
    model::{Facts, Id, changes::Draft, container::Container, endpoint::Endpoint, network::gateway::Mode},
};

type Result<T> = std::result::Result<T, Error>;

/// After endpoints or default routes have changed: publications that are there follow the routes; where
/// there are none yet, what the container asks for is allocated.
pub fn settle(draft: &mut Draft<'_>, facts: &Facts, container: &Container) -> Result<()> {
    let former: Vec<Publication> = draft
        .former_endpoints()
        .filter(|endpoint| endpoint.container == container.id)
        .chain(draft.endpoints_of_container(&container.id))
        .flat_map(|endpoint| endpoint.publications.clone())
        .collect();
    if former.is_empty() {
        let bindings = container.wanted_bindings();
        return add(draft, facts, container, &bindings);
    }
    let [v4, v6] = targets(draft, container);
    let mut has: BTreeMap<Id, Vec<Publication>> = BTreeMap::new();
    let mut lost = Vec::new();
    for publication in by_number(former) {
        let Some(target) = (if publication.host.is_ipv4() { &v4 } else { &v6 }) else {
            continue;
        };
        let routed = target.gateway.mode(publication.host.is_ipv6()) == Mode::Routed && target.address.is_some();
        let at_own_address = is_own_address(draft, container, &publication);
        if routed && target.address == Some(publication.host) || !routed && !at_own_address {
            has.entry(target.endpoint.clone()).or_default().push(publication);
        } else {
            lost.push(publication);
        }
    }
    put(draft, container, has);
    // what was reached at the old endpoint's own address, or is to be at the new one's, is made anew
    let families = [true, false].map(|v4| lost.iter().any(|publication| publication.host.is_ipv4() == v4));
    let bindings = container.wanted_bindings();
    allocate(
        draft,
        facts,
        container,
        &bindings,
        [v4.filter(|_| families[0]), v6.filter(|_| families[1])],
    )
}

fn by_number(publications: Vec<Publication>) -> impl Iterator<Item = Publication> {
    let by_number: BTreeMap<u16, Publication> = publications
        .into_iter()
        .map(|publication| (publication.number, publication))
        .collect();
    by_number.into_values()
}

/// Whether the publication is one of a network in gateway mode routed.
fn is_own_address(draft: &Draft<'_>, container: &Container, publication: &Publication) -> bool {
    let now = draft.endpoints_of_container(&container.id);
    let mut endpoints = draft.former_endpoints().chain(now);
    endpoints.any(|endpoint| endpoint.container == container.id && endpoint.has_address(publication.host))
}

/// Publishes more of a container's ports; nothing where it has no endpoint.
pub fn add(draft: &mut Draft<'_>, facts: &Facts, container: &Container, bindings: &[Binding]) -> Result<()> {
    let targets = targets(draft, container);
    allocate(draft, facts, container, bindings, targets)
}

fn allocate(
    draft: &mut Draft<'_>,
    facts: &Facts,
    container: &Container,
    bindings: &[Binding],
    [v4, v6]: [Option<Target>; 2],
) -> Result<()> {
    let Some(endpoint) = v4.as_ref().or(v6.as_ref()).map(|target| target.endpoint.clone()) else {
        return Ok(());
    };
    let mut allocator = Allocator::new(draft, facts);
    let mut made: BTreeMap<Id, Vec<Publication>> = BTreeMap::new();
    for binding in bindings {
        let publications = allocator
            .publish(draft, binding, v4.as_ref(), v6.as_ref())
            .map_err(|error| Error {
                message: format!(
                    "driver failed programming external connectivity on endpoint {} ({endpoint}): {}",
                    container.name, error.message
                ),
                ..error
            })?;
        for (endpoint, publication) in publications {
            made.entry(endpoint).or_default().push(publication);
        }
    }
    for (id, publications) in made {
        if let Some(mut endpoint) = draft.endpoint(&id).cloned() {
            endpoint.publications.extend(publications);
            draft.put_endpoint(endpoint);
        }
    }
    Ok(())
}

/// Gives each of the container's endpoints these publications and no others.
fn put(draft: &mut Draft<'_>, container: &Container, mut has: BTreeMap<Id, Vec<Publication>>) {
    let endpoints: Vec<Endpoint> = draft
        .endpoints_of_container(&container.id)
        .into_iter()
        .cloned()
        .collect();
    for mut endpoint in endpoints {
        let publications = has.remove(&endpoint.id).unwrap_or_default();
        if endpoint.publications != publications {
            endpoint.publications = publications;
            draft.put_endpoint(endpoint);
        }
    }
}

/// For each family the endpoint with its default route, else the one with the other's, else the first
/// by name of its network.
fn targets(draft: &Draft<'_>, container: &Container) -> [Option<Target>; 2] {
    let endpoints = draft.endpoints_of_container(&container.id);
    let network = |endpoint: &Endpoint| draft.network(&endpoint.network);
    let first = endpoints
        .iter()
        .min_by_key(|endpoint| network(endpoint).map(|network| &network.name));
    let carrier = |v6: bool| endpoints.iter().find(|endpoint| endpoint.has_default_route(v6));
    [false, true].map(|v6| {
        let endpoint = carrier(v6).or_else(|| carrier(!v6)).or(first)?;
        Some(Target {
            endpoint: endpoint.id.clone(),
            gateway: network(endpoint)?.bridge.as_ref()?.gateway,
            address: if v6 { endpoint.v6 } else { endpoint.v4 }.map(|address| address.ip()),
        })
    })
}

impl Endpoint {
    pub const fn has_default_route(&self, v6: bool) -> bool {
        if v6 {
            self.default_route_v6
        } else {
            self.default_route_v4
        }
    }

    pub fn has_address(&self, address: std::net::IpAddr) -> bool {
        self.addresses().any(|own| own.ip() == address)
    }
}

impl Container {
    /// `-p`, and with `-P` any port of the host for each exposed one that has none.
    pub fn wanted_bindings(&self) -> Vec<Binding> {
        let mut bindings = self.bindings.clone();
        if self.publish_all {
            let asked = |protocol: Protocol, port: u16| {
                let of_port = |binding: &Binding| {
                    binding.protocol == protocol && (binding.container_first..=binding.container_last).contains(&port)
                };
                self.bindings.iter().any(of_port)
            };
            let exposed = self.process.exposed.iter().filter_map(|text| exposed(text));
            bindings.extend(
                exposed
                    .filter(|(protocol, port)| !asked(*protocol, *port))
                    .map(|(protocol, port)| Binding {
                        protocol,
                        host: None,
                        host_ports: None,
                        container_first: port,
                        container_last: port,
                        sources: Vec::new(),
                    }),
            );
        }
        bindings
    }
}

/// `8080/tcp`.
pub fn exposed(text: &str) -> Option<(Protocol, u16)> {
    let (port, protocol) = text.split_once('/')?;
    Some((Protocol::named(protocol)?, port.parse().ok()?))
}
