//! Requests about networks: judge, build, answer.

use super::core::Core;
use crate::api::{Error, Filters, NetworkCreate, Response};
use crate::model::{endpoint, endpoint::Settings, network};

impl Core {
    pub fn network_create(&mut self, create: &NetworkCreate) -> Result<Response, Error> {
        let mut facts = self.facts_of_host()?;
        let (changes, id, warnings) = network::create(&self.state, &mut facts, create)?;
        self.build(changes)?;
        Ok(Response::Created { id: id.0, warnings })
    }

    pub fn network_list(&mut self, filters: &Filters) -> Result<Response, Error> {
        let facts = self.facts()?;
        Ok(Response::Networks(network::list(&self.state, &facts, filters)?))
    }

    pub fn network_inspect(&self, key: &str) -> Result<Response, Error> {
        let network = self.state.network(key)?;
        Ok(Response::Network(Box::new(network::resource(&self.state, network))))
    }

    pub fn network_connect(&mut self, network: &str, container: &str, settings: &Settings) -> Result<Response, Error> {
        let mut facts = self.facts()?;
        let changes = endpoint::connect(&self.state, &mut facts, network, container, settings)?;
        self.build(changes)?;
        self.write_hosts_of(container)?;
        Ok(Response::Done)
    }

    pub fn network_disconnect(&mut self, network: &str, container: &str, force: bool) -> Result<Response, Error> {
        let changes = endpoint::disconnect(&self.state, network, container, force)?;
        self.tear_down(changes)?;
        self.write_hosts_of(container)?;
        Ok(Response::Done)
    }

    pub fn network_remove(&mut self, key: &str) -> Result<Response, Error> {
        let changes = network::remove(&self.state, key)?;
        self.tear_down(changes)?;
        Ok(Response::Done)
    }

    pub fn network_prune(&mut self, filters: &Filters) -> Result<Response, Error> {
        let facts = self.facts()?;
        let mut names = Vec::new();
        for id in network::prunable(&self.state, &facts, filters)? {
            let name = self.state.network(&id.0)?.name.clone();
            self.network_remove(&id.0)?;
            names.push(name);
        }
        Ok(Response::Pruned(names))
    }
}
