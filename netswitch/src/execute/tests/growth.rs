//! One more endpoint or published port costs as much among thousands as among few.

use std::collections::BTreeMap;

use super::*;
use crate::api::{Attach, NamespaceOf};
use crate::model::{
    container::{attach, limits},
    endpoint::connect,
    publish::change,
};

/// What a request touches.
#[derive(Debug, PartialEq)]
struct Cost {
    records: usize,
    actions: usize,
    calls: usize,
}

type Judge = fn(&World) -> Changes;

/// What is asked about a container named `one`, which is attached and detached twice.
const REQUESTS: [(&str, Judge); 8] = [
    ("attach", |world| world.attached("one", &[])),
    ("publish", |world| {
        change::publish(&world.model.state, &world.model.facts(), "one", &port()).unwrap()
    }),
    ("connect", |world| {
        let settings = Settings::default();
        connect::connect(&world.model.state, &mut world.model.facts(), "bridge", "one", &settings).unwrap()
    }),
    ("disconnect", |world| {
        connect::disconnect(&world.model.state, &world.model.facts(), "bridge", "one", false).unwrap()
    }),
    ("unpublish", |world| {
        change::unpublish(&world.model.state, "one", &port()).unwrap()
    }),
    ("detach", |world| attach::detach(&world.model.state, "one").unwrap()),
    ("attach and publish", |world| world.attached("one", &port())),
    ("detach what publishes", |world| {
        attach::detach(&world.model.state, "one").unwrap()
    }),
];

fn port() -> [String; 1] {
    ["8080:80".to_owned()]
}

impl World {
    /// A host with so many attached namespaces, of which the first ten have a hundred published ports each.
    fn crowded(endpoints: usize) -> Self {
        let mut world = Self::new();
        for number in 0..endpoints {
            let ports = (0..100).map(|port| format!("{}:{}", 10_000 + 100 * number + port, 1 + port));
            let publish: Vec<String> = if number < 10 { ports.collect() } else { Vec::new() };
            let changes = world.attached(&format!("box{number}"), &publish);
            world.build(changes).unwrap();
        }
        world.model.check();
        world
    }

    fn attached(&self, name: &str, publish: &[String]) -> Changes {
        let pid = i32::try_from(self.model.state.sandboxes.len()).unwrap() + 1000;
        let asked = Attach {
            name: name.to_owned(),
            namespace: NamespaceOf::Process(pid),
            network: "dual".to_owned(),
            settings: Settings::default(),
            dns: Vec::new(),
            egress: Vec::new(),
            publish: publish.to_vec(),
            limits: limits::Change::default(),
            labels: BTreeMap::new(),
        };
        let origin = Origin::Process { pid, start_time: 1 };
        let mut facts = self.model.facts();
        attach::attach(&self.model.state, &mut facts, &asked, origin).unwrap().0
    }

    /// Makes changes, and counts what that takes.
    fn cost(&mut self, changes: Changes) -> Cost {
        let records =
            changes.networks.len() + changes.containers.len() + changes.sandboxes.len() + changes.endpoints.len();
        let actions = self.actions(&changes).len();
        let calls = self.kernel.calls().len();
        self.build(changes).unwrap();
        Cost {
            records,
            actions,
            calls: self.kernel.calls().len() - calls,
        }
    }

    fn costs(&mut self) -> Vec<(&'static str, Cost)> {
        let cost = |(name, request): (_, fn(&Self) -> Changes)| {
            let changes = request(self);
            (name, self.cost(changes))
        };
        REQUESTS.into_iter().map(cost).collect()
    }
}

#[test]
fn one_more_costs_the_same_among_ten_and_among_thousands() {
    let few = World::crowded(10).costs();
    let many = World::crowded(4000).costs();
    assert_eq!(few, many);
    for (request, cost) in few {
        assert!(cost.records <= 4 && cost.actions > 0, "{request}: {cost:?}");
    }
}
