//! Requests about published ports.

use super::core::Core;
use crate::api::{Error, Response};
use crate::model::publish::{change, list};

impl Core {
    pub fn publish(&mut self, container: &str, specs: &[String]) -> Result<Response, Error> {
        let facts = self.facts_for_publishing()?;
        let changes = change::publish(&self.state, &facts, container, specs)?;
        self.build(changes)?;
        Ok(Response::Done)
    }

    pub fn unpublish(&mut self, container: &str, specs: &[String]) -> Result<Response, Error> {
        let changes = change::unpublish(&self.state, container, specs)?;
        self.build(changes)?;
        Ok(Response::Done)
    }

    pub fn container_ports(&self, container: &str) -> Result<Response, Error> {
        let container = self.state.container(container)?;
        Ok(Response::Ports(list::ports(&self.state, container)))
    }
}
