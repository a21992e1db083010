//! `--link` on the default network: who links to a container learns its new address.

use std::io;
use std::path::Path;

use super::core::Core;
use crate::model::{
    Id,
    container::{Container, Owner, files},
};
use crate::shim::protocol;

impl Core {
    /// After a container has got another address: the hosts files of those that link to it.
    pub fn follow_links(&self, id: &Id) {
        let running = self
            .state
            .containers
            .values()
            .filter(|container| container.is_running());
        let linking = running.filter(|container| container.links.iter().any(|link| link.container == *id));
        for parent in linking {
            let sharing = parent
                .sandbox
                .iter()
                .flat_map(|sandbox| self.state.containers_of_sandbox(sandbox));
            for container in sharing.filter(|container| container.owner == Owner::Netswitch) {
                if let Err(error) = self.relink(container) {
                    tracing::warn!(%error, container = container.id.short(), "its links are out of date");
                }
            }
        }
    }

    /// In place, because the container has the file mounted.
    fn relink(&self, container: &Container) -> io::Result<()> {
        let path = self.run_dir(&container.id).join(protocol::HOSTS);
        match files::relinked(&self.state, &container.id, &read(&path)?) {
            Some(text) => std::fs::write(path, text),
            None => Ok(()),
        }
    }
}

/// What a container has written into its file need not be UTF-8.
fn read(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
