//! `publish` and `unpublish`: ports of a container that is there, running or not. All or nothing.

use super::{Binding, Publication, parse, settle};
use crate::{
    api::Error,
    model::{
        Facts,
        changes::{Changes, Draft},
        container::{Container, Mode},
        state::State,
    },
};

type Result<T> = std::result::Result<T, Error>;

/// Publishes more ports, at once where the container runs, and at its next starts.
pub fn publish(state: &State, facts: &Facts, key: &str, specs: &[String]) -> Result<Changes> {
    let mut container = state.container(key)?.clone();
    match container.mode {
        Mode::Container(_) => {
            return Err(Error::bad_request(
                "conflicting options: port publishing and the container type network mode",
            ));
        }
        Mode::Host => {
            return Err(Error::bad_request(
                "conflicting options: port publishing and the host type network mode",
            ));
        }
        Mode::Networks(_) | Mode::None => {}
    }
    let bindings = bindings(specs)?;
    let mut draft = Draft::new(state);
    settle::add(&mut draft, facts, &container, &bindings)?;
    container.bindings.extend(bindings);
    draft.put_container(container);
    Ok(draft.finish())
}

/// What several `-p` ask for.
pub fn bindings(specs: &[String]) -> Result<Vec<Binding>> {
    specs.iter().map(|spec| parse::binding(spec)).collect()
}

/// Takes ports back. What a SPEC does not say (address, host port) may be anything.
pub fn unpublish(state: &State, key: &str, specs: &[String]) -> Result<Changes> {
    let mut container = state.container(key)?.clone();
    let mut draft = Draft::new(state);
    for spec in bindings(specs)? {
        let mut found = false;
        for endpoint in state.endpoints_of_container(&container.id) {
            let mut endpoint = draft.endpoint(&endpoint.id).unwrap_or(endpoint).clone();
            let before = endpoint.publications.len();
            endpoint.publications.retain(|publication| !spec.is_of(publication));
            if endpoint.publications.len() < before {
                found = true;
                draft.put_endpoint(endpoint);
            }
        }
        found |= forget(&mut container, &spec, found);
        if !found {
            return Err(Error::not_found(format!(
                "No public port '{}/{}' published for {key}",
                parse::range((spec.container_first, spec.container_last)),
                spec.protocol
            )));
        }
    }
    draft.put_container(container);
    Ok(draft.finish())
}

/// Removes the bindings that a SPEC stands for: the very ones, or, if it names the host port that one
/// of them was given, that one. Tells whether there were any.
fn forget(container: &mut Container, spec: &Binding, was_published: bool) -> bool {
    let before = container.bindings.len();
    container.bindings.retain(|binding| {
        let same_host = spec.host.is_none() || spec.host == binding.host;
        let same_ports = spec.host_ports.is_none() || spec.host_ports == binding.host_ports;
        !(spec.same_target(binding) && same_host && same_ports)
    });
    if container.bindings.len() == before && was_published {
        let given = |binding: &Binding| {
            let among = match (binding.host_ports, spec.host_ports) {
                (Some((first, last)), Some((port, _))) => (first..=last).contains(&port),
                _ => true,
            };
            spec.same_target(binding) && among
        };
        if let Some(at) = container.bindings.iter().position(given) {
            container.bindings.remove(at);
        }
    }
    container.bindings.len() < before
}

impl Binding {
    fn same_target(&self, other: &Self) -> bool {
        (self.protocol, self.container_first, self.container_last)
            == (other.protocol, other.container_first, other.container_last)
    }

    /// Whether this SPEC stands for a publication.
    fn is_of(&self, publication: &Publication) -> bool {
        self.protocol == publication.protocol
            && self.container_first == publication.container_first
            && self.span() == publication.last - publication.first
            && self.host.is_none_or(|host| host == publication.host)
            && self
                .host_ports
                .is_none_or(|(first, last)| (first..=last).contains(&publication.first))
    }
}
