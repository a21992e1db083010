//! Namespaces that someone else made: `attach`, `detach`.

use super::core::{Core, internal};
use crate::api::{Attach, Error, NamespaceOf, Response};
use crate::kernel::{self, Kernel as _, Namespace, netlink::Netlink};
use crate::model::{
    container::attach,
    sandbox::{Families, Origin},
};
use crate::plan::view::namespace;
use crate::shim;

impl Core {
    pub fn attach(&mut self, asked: &Attach) -> Result<Response, Error> {
        let origin = match &asked.namespace {
            NamespaceOf::Path(path) => Origin::Path(path.clone()),
            NamespaceOf::Process(pid) => {
                let start_time =
                    shim::spawn::start_time(*pid).ok_or_else(|| Error::not_found(format!("no process {pid}")))?;
                Origin::Process { pid: *pid, start_time }
            }
        };
        let mut facts = match asked.publish.as_slice() {
            [] => self.facts()?,
            _ => self.facts_for_publishing()?,
        };
        let target = namespace(&origin);
        facts.interfaces = interfaces(&target)?;
        self.check_namespace(&target)?;
        let (v4, v6) = kernel::namespace::in_namespace(&target, || Netlink::open()?.default_routes())
            .and_then(|routes| routes)
            .map_err(internal)?;
        facts.default_routes = Families { v4, v6 };
        let (changes, id) = attach::attach(&self.state, &mut facts, asked, origin)?;
        self.build(changes)?;
        Ok(Response::Created {
            id: id.0,
            warnings: Vec::new(),
        })
    }

    pub fn detach(&mut self, key: &str) -> Result<Response, Error> {
        let changes = attach::detach(&self.state, key)?;
        self.tear_down(changes)?;
        Ok(Response::Done)
    }

    /// One namespace is one container's, and the host's own is nobody's: a second owner would find
    /// routes and interfaces changed under it.
    fn check_namespace(&self, asked: &Namespace) -> Result<(), Error> {
        let identity = |namespace: &Namespace| kernel::namespace::identity(namespace).ok();
        let target = identity(asked);
        if target == identity(&Namespace::Host) {
            return Err(Error::bad_request(
                "the host's own network namespace cannot be attached",
            ));
        }
        let taken = self.state.containers.values().find(|container| {
            let sandbox = container.sandbox.as_ref().and_then(|id| self.state.sandboxes.get(id));
            sandbox.is_some_and(|sandbox| identity(&namespace(&sandbox.origin)) == target)
        });
        match taken {
            Some(container) => Err(Error::conflict(format!(
                "that network namespace is container {}'s already",
                container.name
            ))),
            None => Ok(()),
        }
    }
}

/// Names of what is in a namespace already; opening it is the proof that it exists.
pub fn interfaces(namespace: &Namespace) -> Result<Vec<String>, Error> {
    let links = kernel::namespace::in_namespace(namespace, || Netlink::open().and_then(|mut kernel| kernel.links()));
    let links = links
        .and_then(|links| links)
        .map_err(|error| Error::not_found(format!("no network namespace: {error}")))?;
    Ok(links.into_iter().map(|link| link.name).collect())
}
