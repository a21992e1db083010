//! Taken: which sandbox has which network namespace, found by device and inode. An attachment asks this table, and not every
//! container's namespace.

use std::collections::HashMap;

use crate::kernel::namespace::{Identity, Opened, seen};
use crate::model::{Id, changes::Changes, sandbox::Sandbox, state::State};
use crate::plan::view::namespace;

/// Sandboxes by their namespaces, and the other way round.
#[derive(Default)]
pub struct Taken {
    sandboxes: HashMap<Identity, Id>,
    identities: HashMap<Id, Identity>,
}

impl Taken {
    pub fn of(state: &State) -> Self {
        let mut taken = Self::default();
        for sandbox in state.sandboxes.values() {
            taken.add(sandbox);
        }
        taken
    }

    pub fn follow(&mut self, changes: &Changes) {
        for (id, sandbox) in &changes.sandboxes {
            self.remove(id);
            if let Some(sandbox) = sandbox {
                self.add(sandbox);
            }
        }
    }

    /// The sandbox that has this namespace. It is compared once more, because the kernel gives the inode of a namespace that
    /// is gone to a new one.
    pub fn holder<'a>(&self, asked: &Opened<'_>, state: &'a State) -> Option<&'a Sandbox> {
        let id = self.sandboxes.get(&asked.identity().ok()?)?;
        let sandbox = state.sandboxes.get(id)?;
        asked
            .is(&namespace(&sandbox.origin))
            .unwrap_or(false)
            .then_some(sandbox)
    }

    fn add(&mut self, sandbox: &Sandbox) {
        if let Some(identity) = seen(&namespace(&sandbox.origin)) {
            self.sandboxes.insert(identity, sandbox.id.clone());
            self.identities.insert(sandbox.id.clone(), identity);
        }
    }

    fn remove(&mut self, id: &Id) {
        if let Some(identity) = self.identities.remove(id)
            && self.sandboxes.get(&identity) == Some(id)
        {
            self.sandboxes.remove(&identity);
        }
    }
}
