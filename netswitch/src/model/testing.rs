//! A small world for the rules' own tests: a state, a clock and random ids that are the same each time.
#![expect(clippy::unwrap_used, reason = "only tests call it")]

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use super::{
    Facts, Id,
    changes::Changes,
    container::{create::create, lifecycle},
    endpoint::{Endpoint, Settings, connect},
    network,
    publish::Listener,
    state::State,
    time::Time,
};
use crate::api::{ContainerCreate, Error, NetworkCreate, PoolRequest};

pub struct World {
    pub state: State,
    pub devices: Vec<String>,
    pub routes: Vec<IpNetwork>,
    pub routes_by_gateway: Vec<IpNetwork>,
    pub listeners: Vec<Listener>,
    now: i64,
    /// A `Cell`: facts are asked for while the state is borrowed.
    seed: std::cell::Cell<u64>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// With the predefined networks.
    pub fn new() -> Self {
        let mut world = Self::empty();
        let changes = network::predefined::predefined(&world.state, &mut world.facts(), None).unwrap();
        world.apply(changes);
        world
    }

    pub fn empty() -> Self {
        Self {
            state: State::default(),
            devices: Vec::new(),
            routes: Vec::new(),
            routes_by_gateway: Vec::new(),
            listeners: Vec::new(),
            now: 1_600_000_000,
            seed: std::cell::Cell::new(1),
        }
    }

    pub fn facts(&self) -> Facts {
        Facts {
            now: Time {
                seconds: self.now,
                nanoseconds: 0,
            }
            .to_string(),
            routes: self.routes.clone(),
            routes_by_gateway: self.routes_by_gateway.clone(),
            devices: self.devices.clone(),
            interfaces: Vec::new(),
            default_routes: crate::model::sandbox::Families::default(),
            listeners: self.listeners.clone(),
            addresses: vec![[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()],
            local_port_range: (49153, 65535),
            fresh: (0..24).map(|_| self.id()).collect(),
        }
    }

    /// `SplitMix64`, four times.
    fn id(&self) -> Id {
        let next = || {
            let seed = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.seed.set(seed);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Id(format!("{:016x}{:016x}{:016x}{:016x}", next(), next(), next(), next()))
    }

    pub fn advance(&mut self, seconds: i64) {
        self.now += seconds;
    }

    /// Makes changes and checks that the state, indexes included, then equals one loaded afresh.
    #[expect(clippy::needless_pass_by_value, reason = "changes are made once")]
    pub fn apply(&mut self, changes: Changes) {
        self.state.apply(&changes);
        // a large world checks itself at the end
        if self.state.endpoints.len() < 64 {
            self.check();
        }
    }

    pub fn check(&self) {
        let State {
            networks,
            containers,
            sandboxes,
            endpoints,
            policy,
            numbers,
            ..
        } = self.state.clone();
        let (networks, containers) = (networks.into_values(), containers.into_values());
        let fresh = State::load(
            networks,
            containers,
            sandboxes.into_values(),
            endpoints.into_values(),
            policy,
            numbers,
        );
        assert_eq!(self.state, fresh);
        for network in self.state.networks.keys() {
            let slots: Vec<u32> = self
                .state
                .endpoints_of_network(network)
                .map(|endpoint| endpoint.slot)
                .collect();
            assert!(
                slots.iter().copied().eq(1..=self.state.member_count(network)),
                "slots with holes: {slots:?}"
            );
        }
    }

    pub fn network(&mut self, name: &str, subnets: &[&str]) -> Id {
        self.make(&Self::asked_network(name, subnets)).unwrap()
    }

    pub fn network6(&mut self, name: &str, subnets: &[&str]) -> Id {
        self.make(&NetworkCreate {
            enable_ipv6: true,
            ..Self::asked_network(name, subnets)
        })
        .unwrap()
    }

    pub fn internal_network(&mut self, name: &str) -> Id {
        self.make(&NetworkCreate {
            internal: true,
            ..Self::asked_network(name, &[])
        })
        .unwrap()
    }

    pub fn labelled_network(&mut self, name: &str, labels: &[(&str, &str)]) -> Id {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        self.make(&NetworkCreate {
            labels,
            ..Self::asked_network(name, &[])
        })
        .unwrap()
    }

    pub fn asked_network(name: &str, subnets: &[&str]) -> NetworkCreate {
        let pool = |subnet: &&str| PoolRequest {
            subnet: (*subnet).into(),
            ..PoolRequest::default()
        };
        NetworkCreate {
            name: name.into(),
            pools: subnets.iter().map(pool).collect(),
            ipam_options: Some(BTreeMap::new()),
            ..NetworkCreate::default()
        }
    }

    pub fn make(&mut self, asked: &NetworkCreate) -> Result<Id, Error> {
        let (changes, id, _) = network::create::create(&self.state, &mut self.facts(), asked)?;
        self.apply(changes);
        Ok(id)
    }

    pub fn asked(name: &str, networks: &[&str]) -> ContainerCreate {
        ContainerCreate {
            name: name.into(),
            command: vec!["sleep".into(), "infinity".into()],
            networks: networks
                .iter()
                .map(|network| ((*network).into(), Settings::default()))
                .collect(),
            ..ContainerCreate::default()
        }
    }

    pub fn create(&mut self, asked: &ContainerCreate) -> Result<Id, Error> {
        let (changes, id, _) = create(&self.state, &mut self.facts(), asked)?;
        self.apply(changes);
        Ok(id)
    }

    /// Creates and starts.
    pub fn start(&mut self, asked: &ContainerCreate) -> Result<Id, Error> {
        let id = self.create(asked)?;
        self.restart(&id)?;
        Ok(id)
    }

    pub fn restart(&mut self, id: &Id) -> Result<(), Error> {
        let changes = lifecycle::start(&self.state, &mut self.facts(), id)?;
        self.apply(changes);
        Ok(())
    }

    pub fn run(&mut self, name: &str, networks: &[&str]) -> Id {
        self.start(&Self::asked(name, networks)).unwrap()
    }

    /// With a chosen address on one network.
    pub fn run_at(&mut self, name: &str, network: &str, address: &str) -> Result<Id, Error> {
        let mut asked = Self::asked(name, &[network]);
        asked.networks[0].1.ip = Some(address.parse().unwrap());
        self.start(&asked)
    }

    pub fn stop(&mut self, id: &Id) {
        let changes = lifecycle::stopped(&self.state, &self.facts(), id, 0, "");
        self.apply(changes);
    }

    pub fn remove(&mut self, key: &str) {
        let changes = lifecycle::remove(&self.state, key, true).unwrap();
        self.apply(changes);
    }

    pub fn connect(&mut self, network: &str, container: &str, settings: &Settings) -> Result<(), Error> {
        let changes = connect::connect(&self.state, &mut self.facts(), network, container, settings)?;
        self.apply(changes);
        Ok(())
    }

    pub fn disconnect(&mut self, network: &str, container: &str) -> Result<(), Error> {
        let changes = connect::disconnect(&self.state, &self.facts(), network, container, false)?;
        self.apply(changes);
        Ok(())
    }

    pub fn endpoint(&self, container: &str, network: &str) -> &Endpoint {
        let (container, network) = (
            self.state.container(container).unwrap(),
            self.state.network(network).unwrap(),
        );
        self.state
            .endpoints_of_container(&container.id)
            .find(|endpoint| endpoint.network == network.id)
            .unwrap()
    }

    /// The IPv4 address.
    pub fn address(&self, container: &str, network: &str) -> String {
        self.endpoint(container, network).v4.unwrap().ip().to_string()
    }
}
