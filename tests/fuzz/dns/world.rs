//! Who asks, and what there is to be found: names, aliases, both families, private and shared names.

use std::net::IpAddr;
use std::sync::Arc;

use netswitch::agent::dns::answer::Answerer;
use netswitch::agent::dns::forward::Forwarder;
use netswitch::agent::dns::leash::Teacher;
use netswitch::agent::dns::limits::Client;
use netswitch::agent::dns::surroundings::Surroundings;
use netswitch::model::{Id, directory::Directory, resolv_conf::ResolvConf, testing};
use tokio::sync::watch;

use crate::switch::Switch;

pub struct World {
    pub answerer: Answerer,
    pub switch: Switch,
    pub askers: Vec<Asker>,
    // kept, so that the answerer may read
    _published: (watch::Sender<Arc<Directory>>, watch::Sender<Arc<ResolvConf>>),
}

pub struct Asker {
    pub client: Client,
    /// Its sandbox's number; 0 for whoever is no container.
    pub sandbox: u32,
}

impl World {
    pub fn new() -> Self {
        let mut world = testing::World::new();
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        world.network("Four", &["10.4.0.0/16"]);
        world.network("dots", &["10.5.0.0/24"]);
        world.internal_network("inner");
        world.run("web_1", &["six"]);
        world.run("Db", &["Four"]);
        world.run("a.dotted", &["dots"]);
        world.run("default", &["bridge"]);
        world.run("hidden", &["inner"]);
        for number in 0..50 {
            let mut node = testing::World::asked(&format!("node-{number}"), &["Four"]);
            node.networks[0].1.aliases = vec!["nodes".into()];
            world.start(&node).expect("a node");
        }
        world.run("client", &["six", "Four"]);
        let mut linked = testing::World::asked("linked", &["six"]);
        linked.links = vec!["web_1:store".into()];
        world.start(&linked).expect("a container with a link");

        let members = [
            ("client", "six"),
            ("client", "Four"),
            ("web_1", "six"),
            ("Db", "Four"),
            ("a.dotted", "dots"),
            ("default", "bridge"),
            ("hidden", "inner"),
            ("linked", "six"),
        ];
        let mut askers: Vec<Asker> = members
            .iter()
            .map(|(container, network)| {
                let endpoint = world.endpoint(container, network);
                Asker {
                    client: Client {
                        network: Some(Arc::new(endpoint.network.clone())),
                        address: endpoint.v4.expect("an address").ip(),
                    },
                    sandbox: world.state.sandboxes[&endpoint.sandbox].number,
                }
            })
            .collect();
        // somebody who is no member, and one on a network that is gone
        let stranger = |network: Id| Asker {
            client: Client {
                network: Some(Arc::new(network)),
                address: IpAddr::from([192, 0, 2, 9]),
            },
            sandbox: 0,
        };
        askers.push(stranger(world.endpoint("web_1", "six").network.clone()));
        askers.push(stranger(Id("gone".into())));

        let directory = Arc::new(Directory::new(&world.state));
        let switch = Switch::new(&directory);
        let (publish, published) = watch::channel(directory);
        let (upstream, host) = watch::channel(Arc::default());
        Self {
            answerer: Answerer::new(
                published,
                Forwarder::new(host, Surroundings::default()),
                Teacher::default(),
            ),
            switch,
            askers,
            _published: (publish, upstream),
        }
    }

    /// The question's id decides who asks it.
    pub fn asker(&self, question: &[u8]) -> &Asker {
        let id = question.first().copied().unwrap_or(0);
        &self.askers[usize::from(id) % self.askers.len()]
    }
}
