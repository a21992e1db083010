//! The roster: who the numbers in the maps stand for, as the agent's thread has told it.

use std::collections::{BTreeMap, HashMap};

use netswitch_common::flow::FlowEnd;

use crate::model::{
    Id, changes::Changes, container::limits::Limits, endpoint::Endpoint, network::Network, state::State,
};

/// A port of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u32,
    pub generation: u32,
    pub network: String,
    /// `None`: the host's own.
    pub member: Option<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub container: String,
    pub container_id: Id,
    pub interface: String,
    pub host_device: String,
    pub limits: Limits,
}

/// Ports as they are after a change, by their endpoint or network; `None` where there is none any more.
pub struct Followed {
    ports: Vec<(Id, Option<Port>)>,
    generation: u32,
}

impl Followed {
    /// `state` is that after the changes; `None` where no port is concerned.
    pub fn of(state: &State, changes: &Changes) -> Option<Self> {
        let networks = changes.networks.keys();
        let networks = networks.map(|id| (id.clone(), state.networks.get(id).and_then(of_network)));
        let endpoint = |id: &Id| {
            let endpoint = state.endpoints.get(id);
            (id.clone(), endpoint.map(|endpoint| of_endpoint(state, endpoint)))
        };
        let members = changes.containers.keys();
        let members = members.flat_map(|id| state.endpoints_of_container(id));
        let members = members.filter(|member| !changes.endpoints.contains_key(&member.id));
        let endpoints = changes.endpoints.keys().chain(members.map(|member| &member.id));
        let ports: Vec<_> = networks.chain(endpoints.map(endpoint)).collect();
        let generation = state.numbers.generation;
        (!ports.is_empty()).then_some(Self { ports, generation })
    }
}

#[derive(Default)]
pub struct Roster {
    ports: BTreeMap<u32, Port>,
    numbers: HashMap<Id, u32>,
    /// The last that the agent has given out.
    generation: u32,
}

impl Roster {
    pub fn new(state: &State) -> Self {
        let networks = state.networks.values();
        let networks = networks.map(|network| (network.id.clone(), of_network(network)));
        let endpoints = state.endpoints.values();
        let endpoints = endpoints.map(|endpoint| (endpoint.id.clone(), Some(of_endpoint(state, endpoint))));
        let mut roster = Self::default();
        roster.follow(Followed {
            ports: networks.chain(endpoints).collect(),
            generation: state.numbers.generation,
        });
        roster
    }

    pub fn follow(&mut self, Followed { ports, generation }: Followed) {
        // numbers may change hands: all old ports leave before any new one enters
        for (id, _) in &ports {
            if let Some(number) = self.numbers.remove(id) {
                self.ports.remove(&number);
            }
        }
        for (id, port) in ports {
            if let Some(port) = port {
                self.numbers.insert(id, port.number);
                self.ports.insert(port.number, port);
            }
        }
        self.generation = generation;
    }

    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.ports.keys().copied()
    }

    /// Whose end of a flow it is, if they are still there.
    pub fn port(&self, end: &FlowEnd) -> Option<&Port> {
        let port = self.ports.get(&end.endpoint)?;
        (port.generation == end.generation).then_some(port)
    }

    /// Whether an end of a flow was somebody's who has gone. Whom the agent is adding at this moment the roster does not
    /// know yet: their generation is a later one.
    pub fn is_gone(&self, end: &FlowEnd) -> bool {
        let is_later = end.generation.wrapping_sub(self.generation).cast_signed() > 0;
        end.endpoint != 0 && self.port(end).is_none() && !is_later
    }
}

fn of_network(network: &Network) -> Option<Port> {
    let bridge = network.bridge.as_ref()?;
    Some(Port {
        number: bridge.host_port,
        generation: bridge.host_port_generation,
        network: network.name.clone(),
        member: None,
    })
}

fn of_endpoint(state: &State, endpoint: &Endpoint) -> Port {
    let container = state.containers.get(&endpoint.container);
    let network = state.networks.get(&endpoint.network);
    Port {
        number: endpoint.number,
        generation: endpoint.generation,
        network: network.map_or_else(String::new, |network| network.name.clone()),
        member: Some(Member {
            container: container.map_or_else(String::new, |container| container.name.clone()),
            container_id: endpoint.container.clone(),
            interface: endpoint.interface.clone(),
            host_device: endpoint.host_device.clone(),
            limits: container.map(|container| container.limits).unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    fn end(endpoint: u32, generation: u32) -> FlowEnd {
        FlowEnd {
            endpoint,
            generation,
            ..FlowEnd::default()
        }
    }

    #[test]
    fn a_flow_may_end_at_a_container_at_the_host_or_in_the_world() {
        let mut world = World::new();
        let network = world.network("mynet", &[]);
        world.run("web", &["mynet"]);
        let roster = Roster::new(&world.state);
        let endpoint = world.endpoint("web", "mynet");
        let bridge = world.state.networks[&network].bridge.as_ref().unwrap();
        let web = end(endpoint.number, endpoint.generation);
        let host = end(bridge.host_port, bridge.host_port_generation);
        let name = |end| {
            roster
                .port(&end)
                .unwrap()
                .member
                .as_ref()
                .map(|member| member.container.as_str())
        };
        assert_eq!((name(web), name(host)), (Some("web"), None));
        for end in [web, host, end(0, 0)] {
            assert!(!roster.is_gone(&end), "{end:?}");
        }
    }

    #[test]
    fn an_end_is_gone_if_it_was_given_out_before_and_not_if_it_is_yet_to_be_told() {
        let mut world = World::new();
        world.network("mynet", &[]);
        world.run("web", &["mynet"]);
        let roster = Roster::new(&world.state);
        let web = world.endpoint("web", "mynet");
        assert!(roster.is_gone(&end(web.number, web.generation - 1)));
        assert!(!roster.is_gone(&end(web.number, web.generation + 1)));
        assert!(!roster.is_gone(&end(web.number + 1, web.generation + 1)));
        // the counter may wrap
        let roster = Roster {
            generation: u32::MAX,
            ..Roster::default()
        };
        assert!(!roster.is_gone(&end(1, 1)));
        assert!(roster.is_gone(&end(1, u32::MAX - 1)));
    }
}
