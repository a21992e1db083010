//! Runs actions and, when one fails, undoes in reverse what was done. The only code that changes
//! the system.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::action::{Action, Entry, UplinkHooks};
use crate::api::UplinkMode;
use crate::datapath::{self, Datapath};
use crate::kernel::{self, Kernel};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    #[error("no index for device {0}")]
    NoIndex(String),
    /// For tests of undo.
    #[cfg(test)]
    #[error("asked to fail")]
    Asked,
}

/// The data plane, as far as actions change it; the real one is [`Datapath`].
pub trait Plane {
    fn attach(&mut self, device: &str, index: u32) -> Result<(), datapath::Error>;
    fn detach(&mut self, index: u32) -> Result<(), datapath::Error>;
    /// With what device and mode need, and without what they do not.
    fn attach_uplink(&mut self, hooks: &UplinkHooks) -> Result<(), datapath::Error>;
    fn detach_uplink(&mut self, index: u32) -> Result<(), datapath::Error>;
    fn write(&mut self, entry: &Entry) -> Result<(), datapath::Error>;
    fn remove(&mut self, entry: &Entry) -> Result<(), datapath::Error>;
}

/// The programs that an uplink may have, beside XDP's, and whether this one has them. The first comes first on a packet's
/// way.
pub fn programs(hooks: &UplinkHooks) -> [(datapath::Hook, bool); 3] {
    [
        (datapath::Hook::BareUplink, hooks.is_bare),
        (datapath::Hook::Uplink, true),
        (datapath::Hook::UplinkEgress, hooks.mode == UplinkMode::Stack),
    ]
}

impl Plane for Datapath {
    fn attach(&mut self, device: &str, index: u32) -> Result<(), datapath::Error> {
        Self::attach(self, datapath::Hook::Endpoint, device, index)
    }
    fn detach(&mut self, index: u32) -> Result<(), datapath::Error> {
        Self::detach(self, datapath::Hook::Endpoint, index)
    }
    fn attach_uplink(&mut self, hooks: &UplinkHooks) -> Result<(), datapath::Error> {
        let UplinkHooks { device, index, .. } = hooks;
        for (hook, is_wanted) in programs(hooks) {
            if is_wanted {
                Self::attach(self, hook, device, *index)?;
            } else {
                Self::detach(self, hook, *index)?;
            }
        }
        if hooks.are_guarded() {
            self.guard(*index)
        } else {
            self.unguard(*index)
        }
    }
    fn detach_uplink(&mut self, index: u32) -> Result<(), datapath::Error> {
        self.unguard(index)?;
        Self::detach(self, datapath::Hook::UplinkEgress, index)?;
        Self::detach(self, datapath::Hook::Uplink, index)?;
        Self::detach(self, datapath::Hook::BareUplink, index)
    }
    fn write(&mut self, entry: &Entry) -> Result<(), datapath::Error> {
        self.tables().write(entry)
    }
    fn remove(&mut self, entry: &Entry) -> Result<(), datapath::Error> {
        self.tables().remove(entry)
    }
}

/// Indexes of the devices that a run met, by name.
pub type Indexes = HashMap<String, u32>;

/// What a run did.
#[derive(Debug, Default)]
pub struct Done {
    pub indexes: Indexes,
    /// What would take it back, in the order to run it in.
    pub undo: Vec<Action>,
}

/// Runs actions on a kernel and a data plane.
pub struct Executor<'a> {
    pub kernel: &'a mut dyn Kernel,
    pub plane: &'a mut dyn Plane,
    indexes: Indexes,
}

impl<'a> Executor<'a> {
    pub fn new(kernel: &'a mut dyn Kernel, plane: &'a mut dyn Plane) -> Self {
        Self {
            kernel,
            plane,
            indexes: Indexes::new(),
        }
    }

    /// All of it or nothing: on an error everything done so far is undone, last first.
    pub fn all(mut self, actions: Vec<Action>) -> Result<Done, Error> {
        let mut undo = Vec::new();
        for action in actions {
            if let Err(error) = self.run(&action) {
                for step in undo.iter().rev() {
                    if let Err(error) = self.run(step) {
                        tracing::warn!(%error, ?step, "undo failed");
                    }
                }
                return Err(error);
            }
            undo.extend(action.undo());
        }
        undo.reverse();
        Ok(Done {
            indexes: self.indexes,
            undo,
        })
    }

    /// As much of it as can be done: taking down never stops at the first error.
    pub fn each(mut self, actions: Vec<Action>) -> (Indexes, Vec<Error>) {
        let mut errors = Vec::new();
        for action in actions {
            if let Err(error) = self.run(&action) {
                tracing::debug!(%error, ?action, "step failed");
                errors.push(error);
            }
        }
        (self.indexes, errors)
    }

    fn run(&mut self, action: &Action) -> Result<(), Error> {
        match action {
            Action::AddVeth(veth) => self.kernel.add_veth(veth)?,
            Action::DeleteLink { device } => {
                self.kernel.delete_link(device)?;
                self.indexes.remove(device);
            }
            Action::SetUp { device, up } => self.kernel.set_up(device, *up)?,
            Action::AddAddress { device, address } => {
                match self.kernel.add_address(&kernel::Namespace::Host, device, *address) {
                    // a gateway that somebody set by hand (SEED S25) is there before we are told
                    Err(kernel::Error::System { source, .. }) if source.raw_os_error() == Some(libc::EEXIST) => {}
                    result => result?,
                }
            }
            Action::DeleteAddress { device, address } => self.kernel.delete_address(device, *address)?,
            Action::AddNeighbour { device, address, mac } => {
                self.kernel
                    .set_neighbour(&kernel::Namespace::Host, device, *address, *mac)?;
            }
            Action::DeleteNeighbour { device, address } => self.kernel.delete_neighbour(device, *address)?,
            Action::SetUpLoopback { namespace } => self.kernel.set_up_loopback(namespace)?,
            Action::ConfigureInterface(interface) => self.kernel.configure_interface(interface)?,
            Action::ReceiveByNapi { namespace, interface } => self.kernel.receive_by_napi(namespace, interface)?,
            Action::SetDefaultRoute { namespace, from, to } => {
                if let Some(to) = to {
                    self.kernel.set_default_route(namespace, &to.interface, to.gateway)?;
                } else if let Some(from) = from {
                    self.kernel
                        .delete_default_route(namespace, &from.interface, from.gateway)?;
                }
            }
            Action::Attach { device } => {
                let index = self.index(device)?;
                self.plane.attach(device, index)?;
            }
            Action::Detach { device, index } => {
                let index = match index {
                    Some(index) => *index,
                    None => self.index(device)?,
                };
                self.plane.detach(index)?;
            }
            Action::AttachUplink(hooks) => self.plane.attach_uplink(hooks)?,
            Action::DetachUplink { index } => self.plane.detach_uplink(*index)?,
            Action::SetSysctl { path, value, .. } => {
                self.kernel.set_sysctl(&kernel::Namespace::Host, path, value)?;
            }
            Action::Put { entry, .. } => {
                let entry = self.resolved(entry)?;
                self.plane.write(&entry)?;
            }
            Action::Remove { entry } => {
                let entry = self.resolved(entry)?;
                self.plane.remove(&entry)?;
            }
            Action::Announce {
                namespace,
                interface,
                mac,
                addresses,
            } => {
                self.kernel.announce(namespace, interface, *mac, addresses)?;
            }
            #[cfg(test)]
            Action::Fail => return Err(Error::Asked),
        }
        Ok(())
    }

    fn resolved(&mut self, entry: &Entry) -> Result<Entry, Error> {
        let mut entry = entry.clone();
        for device in entry.devices() {
            if device.index.is_none() {
                device.index = Some(self.index(&device.name)?);
            }
        }
        Ok(entry)
    }

    fn index(&mut self, device: &str) -> Result<u32, Error> {
        if let Some(index) = self.indexes.get(device) {
            return Ok(*index);
        }
        let link = self
            .kernel
            .link(device)?
            .ok_or_else(|| Error::NoIndex(device.to_owned()))?;
        self.indexes.insert(device.to_owned(), link.index);
        Ok(link.index)
    }
}
