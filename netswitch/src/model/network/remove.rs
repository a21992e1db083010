//! `network rm` and `network prune`.

use super::Network;
use crate::{
    api::{Error, Filters},
    model::{
        Facts,
        changes::{Changes, Draft},
        filter, names, natural_order,
        state::State,
        time::Time,
    },
};

/// Removes a network that no running container is on. Stopped containers keep their attachment and
/// find a later network of the same name.
pub fn remove(state: &State, key: &str) -> Result<Changes, Error> {
    let network = state.network(key)?;
    if names::is_predefined(&network.name) {
        let message = format!("{} is a pre-defined network and cannot be removed", network.name);
        return Err(Error::forbidden(message));
    }
    if state.member_count(&network.id) > 0 {
        let message = format!(
            "error while removing network: network {} id {} has active endpoints",
            network.name, network.id
        );
        return Err(Error::forbidden(message));
    }
    let mut draft = Draft::new(state);
    draft.remove_network(&network.id);
    Ok(draft.finish())
}

/// Removes every network that no running container is on and that the filters let through; answers
/// with their names.
pub fn prune(state: &State, facts: &Facts, filters: &Filters) -> Result<(Changes, Vec<String>), Error> {
    filter::check(filters, &["label", "label!", "until"])?;
    let until = filter::until(filters, &facts.now)?;
    let too_new =
        |network: &Network| until.is_some_and(|until| Time::parse(&network.created).is_some_and(|at| at > until));
    let excluded = |network: &Network| {
        filter::given(filters, "label!").is_some() && filter::labels(filters, "label!", &network.labels)
    };
    let mut draft = Draft::new(state);
    let mut pruned = Vec::new();
    for network in state.networks.values() {
        let unused = !names::is_predefined(&network.name) && state.member_count(&network.id) == 0;
        if unused && !too_new(network) && filter::labels(filters, "label", &network.labels) && !excluded(network) {
            draft.remove_network(&network.id);
            pruned.push(network.name.clone());
        }
    }
    pruned.sort_by(|a, b| natural_order::compare(a, b));
    Ok((draft.finish(), pruned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn a_network_in_use_or_predefined_stays() {
        let mut world = World::new();
        let id = world.network("mynet", &[]);
        let web = world.run("web", &["mynet"]);
        assert_eq!(
            remove(&world.state, "mynet"),
            Err(Error::forbidden(format!(
                "error while removing network: network mynet id {id} has active endpoints"
            )))
        );
        for name in ["bridge", "host", "none"] {
            let message = format!("{name} is a pre-defined network and cannot be removed");
            assert_eq!(remove(&world.state, name), Err(Error::forbidden(message)));
        }
        assert_eq!(
            remove(&world.state, "nope"),
            Err(Error::not_found("network nope not found"))
        );
        world.stop(&web);
        world.apply(remove(&world.state, id.short()).unwrap());
        assert!(world.state.network("mynet").is_err());
    }

    #[test]
    fn prune_takes_what_is_unused_and_filtered() {
        let mut world = World::new();
        world.network("a", &[]);
        world.labelled_network("b", &[("keep", "yes")]);
        world.labelled_network("c", &[("keep", "no")]);
        world.network("used", &[]);
        world.run("web", &["used"]);
        let stopped = world.run("old", &["a"]);
        world.stop(&stopped);
        let pruned = |filters: &[(&str, &str)]| {
            let filters = filters
                .iter()
                .map(|(key, value)| ((*key).into(), vec![(*value).into()]))
                .collect();
            prune(&world.state, &world.facts(), &filters).map(|(_, names)| names.join(" "))
        };
        assert_eq!(pruned(&[]).unwrap(), "a b c");
        assert_eq!(pruned(&[("label", "keep")]).unwrap(), "b c");
        assert_eq!(pruned(&[("label!", "keep=yes")]).unwrap(), "a c");
        assert_eq!(pruned(&[("until", "1h")]).unwrap(), "");
        assert_eq!(pruned(&[("name", "a")]).unwrap_err().message, "Invalid filter 'name'");
        let (changes, _) = prune(&world.state, &world.facts(), &Filters::new()).unwrap();
        world.apply(changes);
        assert_eq!(world.state.networks.len(), 4);
    }
}
