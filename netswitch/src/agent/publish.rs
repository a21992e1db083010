//! Requests about published ports.

use super::core::Core;
use crate::api::{Error, Response};
use crate::kernel;
use crate::model::changes::Changes;
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

    /// Ends the host's connected UDP sockets to containers' ports that are published no more once `changes` are made:
    /// their programs hear an error and dial again. Else they would talk on with whoever has the address then. The
    /// kernel does not list what a UDP socket has dialled: who dialled the container itself hears the error, too.
    pub fn end_abandoned_sockets(&mut self, changes: &Changes) {
        if let Err(error) = self.try_end_abandoned_sockets(changes) {
            tracing::warn!(%error, "programs of the host are not told that a port is published no more");
        }
    }

    fn try_end_abandoned_sockets(&mut self, changes: &Changes) -> kernel::Result<()> {
        for socket in self.kernel.connected()? {
            if changes.abandons(&self.state, socket.peer) {
                self.kernel.end_socket(&socket)?;
            }
        }
        Ok(())
    }

    pub fn container_ports(&self, container: &str) -> Result<Response, Error> {
        let container = self.state.container(container)?;
        Ok(Response::Ports(list::ports(&self.state, container)))
    }
}
