//! `attach` and `detach`: a namespace that someone else made becomes a container, and is let go.

use std::collections::BTreeMap;

use super::{Container, Mode, Owner, Process, Status, dns::Dns, lifecycle::removed, limits::Limits};
use crate::{
    api::{Attach, Error},
    model::{
        Facts, Id,
        changes::{Changes, Draft},
        endpoint::add::{add, check, check_form, choose_default_routes},
        names,
        network::Driver,
        policy::Leash,
        publish::{change, settle::settle},
        sandbox::{Origin, Sandbox},
        state::State,
    },
};

/// Takes a namespace in, with an endpoint on one network (`none`: without). `origin` is how the
/// agent opens it; containers with the same origin share a sandbox.
pub fn attach(state: &State, facts: &mut Facts, asked: &Attach, origin: Origin) -> Result<(Changes, Id), Error> {
    if asked.name.is_empty() {
        return Err(Error::bad_request("attach needs a name for the container"));
    }
    names::check_container(state, &asked.name)?;
    if origin == Origin::Host {
        return Err(Error::bad_request(
            "the host's own network namespace cannot be attached",
        ));
    }
    let network = state.network(if asked.network.is_empty() {
        "bridge"
    } else {
        &asked.network
    })?;
    check_form(&asked.settings)?;
    let id = facts.id()?;
    check(state, network, &id, &asked.settings)?;
    let mut draft = Draft::new(state);
    let sandbox = if let Some(shared) = state.sandbox_from(&origin) {
        shared.id.clone()
    } else {
        let sandbox = Sandbox {
            id: facts.id()?,
            number: draft.sandbox_number()?,
            origin,
            routed: facts.default_routes,
        };
        let id = sandbox.id.clone();
        draft.put_sandbox(sandbox);
        id
    };
    let mut container = Container {
        id: id.clone(),
        name: asked.name.clone(),
        created: facts.now.clone(),
        owner: Owner::Attached,
        labels: asked.labels.clone(),
        hostname: id.short().to_owned(),
        mode: Mode::None,
        attachments: BTreeMap::new(),
        links: Vec::new(),
        dns: Dns::parse(&asked.dns, &[], &[])?,
        egress: Leash::given(&asked.egress).map_err(Error::bad_request)?,
        process: Process::default(),
        bindings: change::bindings(&asked.publish)?,
        publish_all: false,
        limits: Limits::default().with(asked.limits)?,
        status: Status::Running {
            pid: 0,
            started: facts.now.clone(),
        },
        sandbox: Some(sandbox.clone()),
    };
    match network.driver {
        Driver::Host => {
            return Err(Error::bad_request(
                "a network namespace cannot be attached to the host's network",
            ));
        }
        Driver::Null => {}
        Driver::Bridge => {
            container.mode = Mode::Networks(network.name.clone());
            container
                .attachments
                .insert(network.name.clone(), asked.settings.clone());
            add(&mut draft, facts, &container, &sandbox, &network.id, &asked.settings)?;
            choose_default_routes(&mut draft, &sandbox);
            settle(&mut draft, facts, &container)?;
        }
    }
    draft.put_container(container);
    Ok((draft.finish(), id))
}

/// Lets an attached namespace go: the container and its endpoints go, the namespace stays.
pub fn detach(state: &State, key: &str) -> Result<Changes, Error> {
    let container = state.container(key)?;
    match container.owner {
        Owner::Attached => Ok(removed(state, container)),
        Owner::Netswitch => {
            let message = format!(
                "container {} was not attached: stop and remove it instead",
                container.name
            );
            Err(Error::conflict(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::NamespaceOf,
        model::{container::limits::Change, endpoint::Settings, testing::World},
    };

    fn asked(name: &str, network: &str) -> Attach {
        Attach {
            name: name.into(),
            namespace: NamespaceOf::Path("/run/netns/x".into()),
            network: network.into(),
            settings: Settings::default(),
            dns: Vec::new(),
            egress: Vec::new(),
            publish: Vec::new(),
            limits: Change::default(),
            labels: BTreeMap::new(),
        }
    }

    fn origin() -> Origin {
        Origin::Path("/run/netns/x".into())
    }

    #[test]
    fn a_namespace_becomes_a_container_and_is_let_go() {
        let mut world = World::new();
        let mut facts = world.facts();
        facts.interfaces = vec!["lo".into(), "eth0".into()];
        let (changes, id) = attach(&world.state, &mut facts, &asked("box", ""), origin()).unwrap();
        world.apply(changes);
        let endpoint = world.endpoint("box", "bridge").clone();
        assert_eq!((endpoint.interface.as_str(), endpoint.default_route_v4), ("eth1", true));
        assert_eq!(world.address("box", "bridge"), "172.17.0.2");
        world.apply(detach(&world.state, id.short()).unwrap());
        assert!(world.state.containers.is_empty() && world.state.endpoints.is_empty());
        assert!(world.state.sandboxes.is_empty());
    }

    #[test]
    fn two_containers_of_one_namespace_share_its_sandbox() {
        let mut world = World::new();
        world.network("mynet", &[]);
        for (name, network) in [("one", "bridge"), ("two", "mynet")] {
            let (changes, _) = attach(&world.state, &mut world.facts(), &asked(name, network), origin()).unwrap();
            world.apply(changes);
        }
        assert_eq!(world.state.sandboxes.len(), 1);
        assert_eq!(world.endpoint("two", "mynet").interface, "eth1");
        assert!(world.endpoint("one", "bridge").default_route_v4 && !world.endpoint("two", "mynet").default_route_v4);
        world.apply(detach(&world.state, "one").unwrap());
        assert!(world.endpoint("two", "mynet").default_route_v4);
        assert_eq!(world.state.sandboxes.len(), 1);
    }

    #[test]
    fn bad_requests_are_refused() {
        let mut world = World::new();
        world.run("web", &["bridge"]);
        let refused = |attach_: &Attach, origin| {
            attach(&world.state, &mut world.facts(), attach_, origin)
                .unwrap_err()
                .message
        };
        assert_eq!(
            refused(&asked("", ""), origin()),
            "attach needs a name for the container"
        );
        assert!(refused(&asked("web", ""), origin()).starts_with("Conflict. The container name"));
        assert_eq!(refused(&asked("box", "nope"), origin()), "network nope not found");
        assert_eq!(
            refused(&asked("box", "host"), origin()),
            "a network namespace cannot be attached to the host's network"
        );
        assert_eq!(
            refused(&asked("box", ""), Origin::Host),
            "the host's own network namespace cannot be attached"
        );
        assert_eq!(
            detach(&world.state, "web").unwrap_err().message,
            "container web was not attached: stop and remove it instead"
        );
        assert_eq!(
            detach(&world.state, "nope").unwrap_err().message,
            "No such container: nope"
        );
    }
}
