//! Requests about networks: judge, build, answer.

use super::{attachments::interfaces, core::Core};
use crate::api::{Error, Filters, NetworkCreate, Response};
use crate::model::{
    container::Owner,
    endpoint::{Settings, connect},
    network::{Network, create, inspect, remove},
};
use crate::plan::view::namespace;

impl Core {
    pub fn network_create(&mut self, asked: &NetworkCreate) -> Result<Response, Error> {
        let mut facts = self.facts_of_host()?;
        let (changes, id, warnings) = create::create(&self.state, &mut facts, asked)?;
        if changes.networks.values().flatten().any(Network::has_host_names) {
            self.open_host_names()?;
        }
        self.build(changes).inspect_err(|_| self.listen_for_host())?;
        Ok(Response::Created { id: id.0, warnings })
    }

    pub fn network_list(&self, filters: &Filters) -> Result<Response, Error> {
        Ok(Response::Networks(inspect::list(&self.state, filters)?))
    }

    pub fn network_inspect(&self, key: &str) -> Result<Response, Error> {
        Ok(Response::Network(Box::new(inspect::inspect(&self.state, key)?)))
    }

    pub fn network_connect(&mut self, network: &str, container: &str, settings: &Settings) -> Result<Response, Error> {
        let found = self.state.container(container)?.clone();
        let mut facts = self.facts_for(&found)?;
        facts.interfaces = self.foreign_interfaces(container)?;
        let changes = connect::connect(&self.state, &mut facts, network, container, settings)?;
        self.build(changes)?;
        self.write_files_of(container);
        self.follow_links(&found.id);
        Ok(Response::Done)
    }

    /// In a namespace that someone else made, names may be taken that we did not give.
    fn foreign_interfaces(&self, container: &str) -> Result<Vec<String>, Error> {
        let container = self.state.container(container)?;
        let sandbox = container.sandbox.as_ref().and_then(|id| self.state.sandboxes.get(id));
        match (container.owner, sandbox) {
            (Owner::Attached, Some(sandbox)) => interfaces(&namespace(&sandbox.origin)),
            _ => Ok(Vec::new()),
        }
    }

    pub fn network_disconnect(&mut self, network: &str, container: &str, force: bool) -> Result<Response, Error> {
        let facts = match self.state.container(container).cloned() {
            Ok(container) => self.facts_for(&container)?,
            Err(_) => self.facts()?,
        };
        let changes = connect::disconnect(&self.state, &facts, network, container, force)?;
        self.tear_down(changes)?;
        self.write_files_of(container);
        Ok(Response::Done)
    }

    pub fn network_remove(&mut self, key: &str) -> Result<Response, Error> {
        let changes = remove::remove(&self.state, key)?;
        self.tear_down(changes)?;
        Ok(Response::Done)
    }

    pub fn network_prune(&mut self, filters: &Filters) -> Result<Response, Error> {
        let facts = self.facts()?;
        let (changes, names) = remove::prune(&self.state, &facts, filters)?;
        self.tear_down(changes)?;
        Ok(Response::Pruned(names))
    }
}
