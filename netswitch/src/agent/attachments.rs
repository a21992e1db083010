//! Namespaces that someone else made: `attach`, `detach`.

use super::core::{Core, internal};
use crate::api::{Attach, Error, NamespaceOf, Response};
use crate::kernel::{self, Kernel as _, Namespace, namespace::Opened, netlink::Netlink};
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
        let target = kernel::namespace::open(&target).map_err(absent)?;
        self.check_namespace(&target)?;
        let inside = target.enter(|| {
            let mut kernel = Netlink::open()?;
            Ok::<_, kernel::Error>((kernel.links()?, kernel.default_routes()?))
        });
        let (links, (v4, v6)) = inside.and_then(|inside| inside).map_err(internal)?;
        facts.interfaces = links.into_iter().map(|link| link.name).collect();
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
    fn check_namespace(&self, asked: &Opened<'_>) -> Result<(), Error> {
        if asked.is(&Namespace::Host).map_err(internal)? {
            return Err(Error::bad_request(
                "the host's own network namespace cannot be attached",
            ));
        }
        let taken = self
            .taken
            .holder(asked, &self.state)
            .and_then(|sandbox| self.state.containers_of_sandbox(&sandbox.id).next());
        match taken {
            Some(container) => Err(Error::conflict(format!(
                "that network namespace is container {}'s already",
                container.name
            ))),
            None => Ok(()),
        }
    }
}

/// Names of what is in a namespace already.
pub fn interfaces(namespace: &Namespace) -> Result<Vec<String>, Error> {
    let links = kernel::namespace::in_namespace(namespace, || Netlink::open()?.links());
    let links = links.and_then(|links| links).map_err(absent)?;
    Ok(links.into_iter().map(|link| link.name).collect())
}

/// A namespace that cannot be opened.
fn absent(error: kernel::Error) -> Error {
    match error {
        error @ kernel::Error::NoNamespace(_) => Error::not_found(error.to_string()),
        error => Error::not_found(format!("no network namespace: {error}")),
    }
}
