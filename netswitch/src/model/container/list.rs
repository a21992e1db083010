//! `ps`.

use super::{Container, Mode, Owner, Status};
use crate::{
    api::{ContainerSummary, Error, Filters},
    model::{Facts, filter, publish::list as published, state::State, time},
};

/// The containers that the filters let through, the youngest first; only running ones unless `all`
/// or a status is asked for.
pub fn list(state: &State, facts: &Facts, all: bool, filters: &Filters) -> Result<Vec<ContainerSummary>, Error> {
    filter::check(filters, &["id", "label", "name", "network", "status"])?;
    let statuses = filter::given(filters, "status").unwrap_or_default();
    for status in statuses {
        if !matches!(
            status.as_str(),
            "created" | "running" | "exited" | "paused" | "restarting" | "removing" | "dead"
        ) {
            return Err(Error::bad_request(format!("Invalid filter 'status={status}'")));
        }
    }
    let all = all || !statuses.is_empty();
    let (ids, names) = (filter::patterns(filters, "id"), filter::patterns(filters, "name"));
    let shown = |container: &&Container| {
        (all || container.is_running())
            && ids.match_value(&container.id.0)
            && (names.match_value(&container.name) || names.match_value(&format!("/{}", container.name)))
            && filter::labels(filters, "label", &container.labels)
            && filter::exact(filters, "status", container.status.name())
            && filter::given(filters, "network").is_none_or(|wanted| {
                let networks = networks(container);
                wanted
                    .iter()
                    .any(|wanted| networks.iter().any(|network| is_network(state, network, wanted)))
            })
    };
    let mut containers: Vec<&Container> = state.containers.values().filter(shown).collect();
    containers.sort_by_cached_key(|container| std::cmp::Reverse(time::Time::parse(&container.created)));
    Ok(containers
        .into_iter()
        .map(|container| summary(state, facts, container))
        .collect())
}

/// By name or by beginning of the id.
fn is_network(state: &State, network: &str, wanted: &str) -> bool {
    network == wanted
        || state
            .network_named(network)
            .is_some_and(|network| network.id.0.starts_with(wanted))
}

fn summary(state: &State, facts: &Facts, container: &Container) -> ContainerSummary {
    let ports = published::ports(state, container);
    ContainerSummary {
        id: container.id.0.clone(),
        name: container.name.clone(),
        owner: owner(container.owner).into(),
        command: container.process.command.join(" "),
        created_at: container.created.clone(),
        state: container.status.name().into(),
        status: status(facts, &container.status),
        ports: published::column(&ports),
        published: ports,
        networks: networks(container),
        labels: container.labels.clone(),
    }
}

fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Netswitch => "netswitch",
        Owner::Attached => "attached",
    }
}

fn networks(container: &Container) -> Vec<String> {
    match container.mode {
        Mode::Networks(_) => container.attachments.keys().cloned().collect(),
        Mode::None => vec!["none".into()],
        Mode::Host => vec!["host".into()],
        Mode::Container(_) => Vec::new(),
    }
}

/// Docker's words for the `STATUS` column.
fn status(facts: &Facts, status: &Status) -> String {
    match status {
        Status::Created { .. } => "Created".into(),
        Status::Running { started, .. } => format!("Up {}", time::ago(&facts.now, started)),
        Status::Exited {
            exit_code, finished, ..
        } => {
            format!("Exited ({exit_code}) {} ago", time::ago(&facts.now, finished))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{network::remove::remove, testing::World};

    fn names(world: &World, all: bool, filters: &[(&str, &str)]) -> Result<String, String> {
        let filters = filters
            .iter()
            .map(|(key, value)| ((*key).into(), vec![(*value).into()]))
            .collect();
        let list = list(&world.state, &world.facts(), all, &filters).map_err(|error| error.message)?;
        Ok(list
            .iter()
            .map(|container| container.name.as_str())
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn the_youngest_comes_first_and_filters_apply() {
        let mut world = World::new();
        let mynet = world.network("mynet", &[]);
        world.run("web", &["bridge"]);
        world.advance(10);
        let db = world.run("db", &["mynet"]);
        world.advance(10);
        let old = world.run("old", &["none"]);
        world.stop(&old);
        assert_eq!(names(&world, false, &[]).unwrap(), "db web");
        assert_eq!(names(&world, true, &[]).unwrap(), "old db web");
        assert_eq!(names(&world, false, &[("status", "exited")]).unwrap(), "old");
        assert_eq!(names(&world, true, &[("name", "^/?[dw]")]).unwrap(), "db web");
        assert_eq!(names(&world, true, &[("id", db.short())]).unwrap(), "db");
        assert_eq!(names(&world, true, &[("network", "mynet")]).unwrap(), "db");
        assert_eq!(names(&world, true, &[("network", mynet.short())]).unwrap(), "db");
        assert_eq!(names(&world, true, &[("network", "none")]).unwrap(), "old");
        assert_eq!(names(&world, true, &[("label", "x")]).unwrap(), "");
        assert_eq!(
            names(&world, true, &[("status", "gone")]).unwrap_err(),
            "Invalid filter 'status=gone'"
        );
        assert_eq!(
            names(&world, true, &[("health", "good")]).unwrap_err(),
            "Invalid filter 'health'"
        );
        assert!(remove(&world.state, "mynet").is_err());
    }

    #[test]
    fn status_is_in_dockers_words() {
        let mut world = World::new();
        let id = world.run("web", &["bridge"]);
        world.advance(180);
        let status = |world: &World| {
            list(&world.state, &world.facts(), true, &Filters::new()).unwrap()[0]
                .status
                .clone()
        };
        assert_eq!(status(&world), "Up 3 minutes");
        world.stop(&id);
        world.advance(2);
        assert_eq!(status(&world), "Exited (0) 2 seconds ago");
        let created = world.create(&World::asked("new", &["bridge"])).unwrap();
        assert_eq!(status(&world), "Created");
        assert!(world.state.containers.contains_key(&created));
    }
}
