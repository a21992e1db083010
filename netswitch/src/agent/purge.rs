//! `agent --purge`: removes every trace of the agent that lived in these directories.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{dns::interim, forwarding, lock::Lock, reserved_ports};
use crate::api::Directories;
use crate::datapath::Datapath;
use crate::kernel::{Kernel as _, netlink::Netlink};
use crate::shim;
use crate::store::Store;

/// Ends the containers, deletes the devices, pins, state and sockets; refuses while an agent runs.
/// Nothing there is no error.
pub fn purge(directories: &Directories) -> Result<()> {
    let state = directories.state.canonicalize().ok();
    let mut locks = Vec::new();
    for directory in [Some(&directories.state), Some(&directories.run)].into_iter().flatten() {
        if directory.exists() {
            locks.push(Lock::take(directory)?);
        }
    }
    if let Err(error) = interim::take(&directories.run) {
        tracing::warn!(%error, "a process holds the sockets of names for some seconds");
    }
    let containers = directories.run.join("containers");
    for entry in std::fs::read_dir(&containers).into_iter().flatten().flatten() {
        shim::spawn::kill(&entry.path());
    }
    if let Some(state) = &state {
        let mark = format!("netswitch {} ", state.display());
        let mut kernel = Netlink::open().context("netlink")?;
        let links = kernel.links().context("links")?.into_iter();
        let ours = links.filter(|link| link.alias.as_ref().is_some_and(|alias| alias.starts_with(&mark)));
        let names: Vec<String> = ours.map(|link| link.name).collect();
        kernel.delete_links(&names)?;
        let path = state.join("state.redb");
        // a damaged store does not keep the rest from going
        if path.exists()
            && let Err(error) = give_back(&mut kernel, &path)
        {
            tracing::warn!(error = format!("{error:#}"), "settings of the host stay changed");
        }
    }
    Datapath::purge(&directories.bpffs)?;
    for directory in [&directories.state, &directories.run] {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| directory.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is recorded as changed of the host's own settings.
fn give_back(kernel: &mut Netlink, path: &Path) -> Result<()> {
    let store = Store::open(path)?;
    let ports = reserved_ports::give_back(kernel, &store);
    forwarding::give_back(kernel, &store)?;
    ports
}
