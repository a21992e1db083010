//! Start, stop and removal of a container: what becomes of its sandbox and its endpoints.

use super::{Container, Mode, Owner, Status};
use crate::{
    api::Error,
    model::{
        Facts, Id,
        changes::{Changes, Draft},
        endpoint::add::{add, choose_default_routes},
        publish::settle::settle,
        sandbox::{Families, Origin, Sandbox},
        state::State,
        time::NEVER,
    },
};

type Result<T> = std::result::Result<T, Error>;

/// Starts a container: a sandbox and one endpoint per attachment, or the sandbox of the container
/// that it joins. Process id and namespace are not known before the shim runs: [`fill_in`]. No change
/// where it runs already.
pub fn start(state: &State, facts: &mut Facts, id: &Id) -> Result<Changes> {
    let container = state.container(&id.0)?;
    if container.is_running() {
        return Ok(Changes::default());
    }
    if container.owner == Owner::Attached {
        return Err(Error::conflict(format!(
            "container {} was attached: it has no process to start",
            container.name
        )));
    }
    check_links(state, container)?;
    let mut container = container.clone();
    let mut draft = Draft::new(state);
    let sandbox = match &container.mode {
        Mode::Container(target) => {
            let target = joined(state, target)?;
            container.hostname.clone_from(&target.hostname);
            match &target.sandbox {
                Some(shared) => shared.clone(),
                None => add_sandbox(&mut draft, facts, Origin::Host)?,
            }
        }
        Mode::Host => add_sandbox(&mut draft, facts, Origin::Host)?,
        Mode::None => add_sandbox(&mut draft, facts, Origin::PENDING)?,
        Mode::Networks(first) => {
            if container.attachments.is_empty() && first != "none" {
                // the engine, too, returns to the first network after the last was disconnected
                container.attachments.insert(first.clone(), super::Settings::default());
            }
            let sandbox = add_sandbox(&mut draft, facts, Origin::PENDING)?;
            add_endpoints(&mut draft, facts, &container, &sandbox)?;
            sandbox
        }
    };
    container.sandbox = Some(sandbox);
    container.status = Status::Running {
        pid: 0,
        started: facts.now.clone(),
    };
    draft.put_container(container);
    Ok(draft.finish())
}

fn add_sandbox(draft: &mut Draft<'_>, facts: &mut Facts, origin: Origin) -> Result<Id> {
    let sandbox = Sandbox {
        id: facts.id()?,
        number: draft.sandbox_number()?,
        origin,
        routed: Families::default(),
    };
    let id = sandbox.id.clone();
    draft.put_sandbox(sandbox);
    Ok(id)
}

/// Completes what [`start`] left open: the process id and, if the namespace is new, its origin.
pub fn fill_in(changes: &mut Changes, id: &Id, process: i32, origin: &Origin) {
    let Some(Some(container)) = changes.containers.get_mut(id) else {
        return;
    };
    if let Status::Running { pid, .. } = &mut container.status {
        *pid = process;
    }
    let sandbox = container
        .sandbox
        .as_ref()
        .and_then(|sandbox| changes.sandboxes.get_mut(sandbox));
    if let Some(Some(sandbox)) = sandbox
        && sandbox.origin == Origin::PENDING
    {
        sandbox.origin = origin.clone();
    }
}

/// One endpoint per attachment. The one that carries the default route comes first and so is `eth0`.
fn add_endpoints(draft: &mut Draft<'_>, facts: &mut Facts, container: &Container, sandbox: &Id) -> Result<()> {
    let mut attachments = Vec::new();
    for (name, settings) in &container.attachments {
        let network = draft.state().network(name)?;
        attachments.push((network.internal, network.name.as_str(), &network.id, settings));
    }
    attachments.sort_by_key(|(internal, name, ..)| (*internal, *name));
    for (_, _, network, settings) in attachments {
        add(draft, facts, container, sandbox, network, settings)?;
    }
    choose_default_routes(draft, sandbox);
    settle(draft, facts, container)
}

/// The running container whose namespace is joined.
fn joined<'a>(state: &'a State, target: &Id) -> Result<&'a Container> {
    let target = state.container(&target.0)?;
    if !target.is_running() {
        return Err(Error::conflict(format!(
            "cannot join network of a non running container: {}",
            target.id
        )));
    }
    Ok(target)
}

/// A linked container must run, and on the default network.
fn check_links(state: &State, container: &Container) -> Result<()> {
    if !container.attachments.contains_key("bridge") {
        return Ok(());
    }
    for link in &container.links {
        // a link goes with the container that it led to
        let Some(child) = state.containers.get(&link.container) else {
            continue;
        };
        if !child.is_running() {
            return Err(Error::internal(format!(
                "Cannot link to a non running container: /{} AS /{}/{}",
                child.name, container.name, link.alias
            )));
        }
        if !child.attachments.contains_key("bridge") {
            let message = format!(
                "Cannot link to /{}, as it does not belong to the default network",
                child.name
            );
            return Err(Error::internal(message));
        }
    }
    Ok(())
}

/// The container's process has ended: endpoints, and the sandbox if nobody else uses it, go.
pub fn stopped(state: &State, facts: &Facts, id: &Id, exit_code: i32, error: &str) -> Changes {
    let Some(container) = state.containers.get(id) else {
        return Changes::default();
    };
    let Status::Running { started, .. } = &container.status else {
        return Changes::default();
    };
    let status = Status::Exited {
        exit_code,
        started: started.clone(),
        finished: facts.now.clone(),
        error: error.to_owned(),
    };
    ended(state, container, status)
}

/// The container could not be started: what it had got so far goes.
pub fn failed(state: &State, facts: &Facts, id: &Id, exit_code: i32, error: &str) -> Changes {
    let Some(container) = state.containers.get(id) else {
        return Changes::default();
    };
    let error = error.to_owned();
    let status = match &container.status {
        Status::Created { .. } | Status::Running { .. } => Status::Created { error, exit_code },
        Status::Exited { started, .. } => {
            let finished = facts.now.clone();
            Status::Exited {
                exit_code,
                started: started.clone(),
                finished,
                error,
            }
        }
    };
    ended(state, container, status)
}

fn ended(state: &State, container: &Container, status: Status) -> Changes {
    let mut draft = Draft::new(state);
    release(&mut draft, container);
    draft.put_container(Container {
        status,
        sandbox: None,
        ..container.clone()
    });
    draft.finish()
}

/// Removes the container's endpoints and takes it out of its sandbox.
fn release(draft: &mut Draft<'_>, container: &Container) {
    let endpoints: Vec<Id> = draft
        .state()
        .endpoints_of_container(&container.id)
        .map(|endpoint| endpoint.id.clone())
        .collect();
    for endpoint in &endpoints {
        draft.remove_endpoint(endpoint);
    }
    if let Some(sandbox) = &container.sandbox {
        choose_default_routes(draft, sandbox);
        draft.leave_sandbox(sandbox, &container.id);
    }
}

/// `rm`. With `force` the agent ends the process first; what it has is taken away here.
pub fn remove(state: &State, key: &str, force: bool) -> Result<Changes> {
    let container = state.container(key)?;
    if container.is_running() && !force {
        return Err(Error::conflict(format!(
            "You cannot remove a running container {}. Stop the container before attempting removal or force remove",
            container.id
        )));
    }
    Ok(removed(state, container))
}

/// The container with everything that it has goes.
pub(super) fn removed(state: &State, container: &Container) -> Changes {
    let mut draft = Draft::new(state);
    release(&mut draft, container);
    draft.remove_container(&container.id);
    draft.finish()
}

impl Status {
    /// `created`, `running`, `exited`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Running { .. } => "running",
            Self::Exited { .. } => "exited",
        }
    }

    /// That of the last run; 0 where there was none, or it has not ended.
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::Created { exit_code, .. } | Self::Exited { exit_code, .. } => *exit_code,
            Self::Running { .. } => 0,
        }
    }

    /// When it started and finished; Docker's zero time where it has not.
    pub fn times(&self) -> (&str, &str) {
        match self {
            Self::Created { .. } => (NEVER, NEVER),
            Self::Running { started, .. } => (started, NEVER),
            Self::Exited { started, finished, .. } => (started, finished),
        }
    }
}

#[cfg(test)]
mod tests;
