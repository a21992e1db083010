//! Where sockets of the host are led by published ports.

use std::net::SocketAddr;

use super::Protocol;
use crate::model::{changes::Changes, endpoint::Endpoint, state::State};

impl Changes {
    /// Whether datagrams to `peer`, an address and a port of a container, were led there by a port that is published
    /// no more.
    pub fn abandons(&self, before: &State, peer: SocketAddr) -> bool {
        let leads = |endpoint: Option<&Endpoint>| endpoint.is_some_and(|endpoint| leads(endpoint, peer));
        let mut endpoints = self.endpoints.iter();
        endpoints.any(|(id, after)| leads(before.endpoints.get(id)) && !leads(after.as_ref()))
    }
}

/// Whether one of the endpoint's publications leads datagrams to `peer`.
fn leads(endpoint: &Endpoint, peer: SocketAddr) -> bool {
    let mut addresses = endpoint.v4.iter().chain(&endpoint.v6);
    let mut publications = endpoint.publications.iter();
    addresses.any(|address| address.ip() == peer.ip())
        && publications.any(|publication| {
            let last = publication.container_first + (publication.last - publication.first);
            publication.protocol == Protocol::Udp && (publication.container_first..=last).contains(&peer.port())
        })
}

#[cfg(test)]
mod tests {
    use crate::{
        api::{ContainerCreate, Error},
        model::{changes::Changes, publish::change, testing::World},
    };

    /// `web` at 10.9.0.2, which publishes 80, 81 and 82 of UDP and 83 of TCP.
    fn world() -> World {
        let mut world = World::new();
        world.network("mynet", &["10.9.0.0/24"]);
        let specs = ["8080-8081:80-81/udp", "9000:80/udp", "8082:82/udp", "8083:83"];
        world
            .start(&ContainerCreate {
                publish: specs.map(Into::into).into(),
                ..World::asked("web", &["mynet"])
            })
            .unwrap();
        world
    }

    fn unpublish(world: &World, specs: &[&str]) -> Result<Changes, Error> {
        let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
        change::unpublish(&world.state, "web", &specs)
    }

    /// Those of these peers that are abandoned.
    fn abandoned<'a>(world: &World, changes: &Changes, peers: &[&'a str]) -> Vec<&'a str> {
        let is_abandoned = |peer: &&&str| changes.abandons(&world.state, peer.parse().unwrap());
        peers.iter().filter(is_abandoned).copied().collect()
    }

    const PEERS: [&str; 5] = [
        "10.9.0.2:80",
        "10.9.0.2:81",
        "10.9.0.2:82",
        "10.9.0.2:83",
        "10.9.0.3:80",
    ];

    #[test]
    fn whom_a_withdrawn_port_led_to_is_abandoned() {
        let world = world();
        let changes = unpublish(&world, &["8082:82/udp"]).unwrap();
        assert_eq!(abandoned(&world, &changes, &PEERS), ["10.9.0.2:82"]);
    }

    #[test]
    fn whom_another_port_leads_to_is_not() {
        let world = world();
        let changes = unpublish(&world, &["8080-8081:80-81/udp"]).unwrap();
        assert_eq!(abandoned(&world, &changes, &PEERS), ["10.9.0.2:81"]);
    }

    #[test]
    fn with_a_container_go_all_its_ports_but_those_of_tcp() {
        let world = world();
        let endpoint = world.endpoint("web", "mynet").id.clone();
        let changes = Changes {
            endpoints: [(endpoint, None)].into(),
            ..Changes::default()
        };
        assert_eq!(abandoned(&world, &changes, &PEERS), PEERS[..3]);
    }
}
