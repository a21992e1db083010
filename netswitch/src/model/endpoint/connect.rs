//! `network connect` and `network disconnect`, of running and of stopped containers.

use super::{
    Settings,
    add::{add, check, check_form, choose_default_routes, exists},
};
use crate::{
    api::Error,
    model::{
        Facts,
        changes::{Changes, Draft},
        container::{Container, Mode},
        network::{Driver, Network},
        publish::settle::settle,
        state::State,
    },
};

type Result<T> = std::result::Result<T, Error>;

pub const SHARED: &str =
    "container sharing network namespace with another container or host cannot be connected to any other network";
const HOST: &str = "container cannot be disconnected from host network or connected to host network";
const NONE: &str = "container cannot be connected to multiple networks with one of the networks in private (none) mode";

/// Attaches a container to a network; at once where it runs, else from its next start.
pub fn connect(
    state: &State,
    facts: &mut Facts,
    network: &str,
    container: &str,
    settings: &Settings,
) -> Result<Changes> {
    let container = state.container(container)?;
    if matches!(container.mode, Mode::Container(_)) {
        return Err(Error::bad_request(SHARED));
    }
    let network = state.network(network)?;
    check_form(settings)?;
    if is_on(container, network) {
        check(state, network, &container.id, settings)?;
        // a stopped container keeps the settings that it has
        return if container.is_running() {
            Err(exists(container, network))
        } else {
            Ok(Changes::default())
        };
    }
    check(state, network, &container.id, settings)?;
    check_modes(container, network)?;
    let mut draft = Draft::new(state);
    let mut container = container.clone();
    let settings = Settings {
        connected: true,
        ..settings.clone()
    };
    if network.driver == Driver::Null {
        container.mode = Mode::None;
    } else {
        if let Some(sandbox) = &container.sandbox {
            add(&mut draft, facts, &container, sandbox, &network.id, &settings)?;
            choose_default_routes(&mut draft, sandbox);
            settle(&mut draft, facts, &container)?;
        }
        container.attachments.insert(network.name.clone(), settings);
    }
    draft.put_container(container);
    Ok(draft.finish())
}

fn is_on(container: &Container, network: &Network) -> bool {
    match (&container.mode, network.driver) {
        (Mode::Host, Driver::Host) | (Mode::None, Driver::Null) => true,
        _ => container.attachments.contains_key(&network.name),
    }
}

/// What may not be mixed, in the engine's order.
fn check_modes(container: &Container, network: &Network) -> Result<()> {
    let message = match (&container.mode, network.driver) {
        (Mode::Host, _) => SHARED,
        (_, Driver::Host) => HOST,
        (Mode::None, _) => NONE,
        (_, Driver::Null) if !container.attachments.is_empty() => NONE,
        _ => return Ok(()),
    };
    Err(Error::bad_request(message))
}

/// Takes a container off a network. `force` helps where network or container are gone.
pub fn disconnect(state: &State, facts: &Facts, network: &str, container: &str, force: bool) -> Result<Changes> {
    let container = match state.container(container) {
        Ok(found) => found,
        Err(_) if force => {
            state.network(network)?;
            return Err(Error::not_found(format!("endpoint {container} not found")));
        }
        Err(error) => return Err(error),
    };
    let found = state.network(network);
    if let (true, Err(error)) = (container.is_running() && !force, &found) {
        return Err(error.clone());
    }
    // of a network that is gone, a stopped container still has the name
    let typed = network;
    let network = found.ok();
    let name = network.map_or(typed, |network| network.name.as_str());
    let connected = match network {
        Some(network) => is_on(container, network),
        None => container.attachments.contains_key(name),
    };
    if !connected {
        let the = if container.is_running() { "" } else { "the " };
        return Err(Error::internal(format!(
            "container {} is not connected to {the}network {name}",
            container.id
        )));
    }
    let mut draft = Draft::new(state);
    let mut container = container.clone();
    match container.mode {
        Mode::Host => return Err(Error::bad_request(HOST)),
        Mode::None => container.mode = Mode::Networks("none".into()),
        Mode::Networks(_) | Mode::Container(_) => {
            container.attachments.remove(name);
            let id = network.map(|network| &network.id);
            let endpoint = state
                .endpoints_of_container(&container.id)
                .find(|endpoint| Some(&endpoint.network) == id);
            if let Some(endpoint) = endpoint {
                draft.remove_endpoint(&endpoint.id);
                choose_default_routes(&mut draft, &endpoint.sandbox);
                settle(&mut draft, facts, &container)?;
            }
        }
    }
    draft.put_container(container);
    Ok(draft.finish())
}

#[cfg(test)]
mod tests;
