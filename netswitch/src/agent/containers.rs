//! Requests about containers' records.

use super::core::Core;
use crate::api::{ContainerCreate, Error, Filters, Response};
use crate::model::container::{Owner, create, inspect, lifecycle, limits, list};
use crate::model::sandbox::Origin;

impl Core {
    pub fn container_create(&mut self, asked: &ContainerCreate) -> Result<Response, Error> {
        let mut facts = self.facts()?;
        let (changes, id, warnings) = create::create(&self.state, &mut facts, asked)?;
        self.build(changes)?;
        Ok(Response::Created { id: id.0, warnings })
    }

    pub fn container_remove(&mut self, key: &str, force: bool) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        let id = container.id.clone();
        let changes = lifecycle::remove(&self.state, key, force)?;
        if container.is_running() {
            return Err(Error::conflict(format!(
                "container {} was started again",
                container.name
            )));
        }
        self.tear_down(changes)?;
        for directory in [self.state_dir(&id), self.run_dir(&id)] {
            let _ = std::fs::remove_dir_all(directory);
        }
        Ok(Response::Done)
    }

    pub fn container_update(&mut self, key: &str, limits: limits::Change) -> Result<Response, Error> {
        let changes = limits::update(&self.state, key, limits)?;
        self.build(changes)?;
        Ok(Response::Done)
    }

    pub fn container_list(&self, all: bool, filters: &Filters) -> Result<Response, Error> {
        let facts = self.facts()?;
        Ok(Response::Containers(list::list(&self.state, &facts, all, filters)?))
    }

    pub fn container_inspect(&self, key: &str) -> Result<Response, Error> {
        Ok(Response::Container(inspect::inspect(&self.state, key)?))
    }

    pub fn container_exec(&self, key: &str) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        if container.owner == Owner::Attached {
            return Err(Error::conflict(format!(
                "container {} is attached: there is no process to join",
                container.name
            )));
        }
        if !container.is_running() {
            return Err(Error::conflict(format!("Container {} is not running", container.id)));
        }
        Ok(self.shim_of(container))
    }

    pub fn container_namespace(&self, key: &str) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        let sandbox = container.sandbox.as_ref().and_then(|id| self.state.sandboxes.get(id));
        let is_there = container.owner == Owner::Attached || container.is_running();
        match sandbox.filter(|_| is_there).map(|sandbox| &sandbox.origin) {
            Some(Origin::Host) => Err(Error::conflict(format!(
                "container {} is on the host's own network",
                container.name
            ))),
            Some(origin) => Ok(Response::Namespace(origin.clone())),
            None => Err(Error::conflict(format!("Container {} is not running", container.id))),
        }
    }

    pub fn container_logs(&self, key: &str) -> Result<Response, Error> {
        let container = self.state.container(key)?;
        let running = container.is_running();
        Ok(Response::Log {
            path: self.log(&container.id),
            running,
        })
    }
}
