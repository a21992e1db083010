//! In `--uplink-mode stack` the host's stack forwards between the uplinks and the host ends of networks. What
//! that takes of the host's own settings is recorded before it is done, and taken back afterwards.

use std::cell::RefCell;

use anyhow::Result;

use super::core::Core;
use super::reserved_ports::BOOT;
use crate::action::Action;
use crate::api::UplinkMode;
use crate::execute::Executor;
use crate::kernel::{Kernel, Link, Namespace};
use crate::model::{
    forwarding::{self, Record, Setting, Way},
    uplink::Uplink,
};
use crate::store::Store;

impl Core {
    /// Makes the host's settings what the mode wants for these uplinks.
    pub fn let_the_stack_forward(&mut self, uplinks: &[Uplink]) -> Result<()> {
        let record = record(&mut *self.kernel, &self.store)?;
        let wanted = match self.host.mode {
            UplinkMode::Stack => self.forwarding(uplinks, &record.settings)?,
            UplinkMode::Auto | UplinkMode::Tcx | UplinkMode::Xdp => Vec::new(),
        };
        let way = way(&mut *self.kernel, &record, &wanted);
        if way.writes.is_empty() {
            return keep(&self.store, &record.boot, way.after);
        }
        keep(&self.store, &record.boot, way.before)?;
        let actions = way.writes.into_iter().map(action).collect();
        self.set(actions);
        keep(&self.store, &record.boot, way.after)?;
        // taking back what holds for all devices takes it from ours, too; and an older agent did not know all
        let actions = self.host_ends_that_do_not_forward();
        self.set(actions);
        Ok(())
    }

    fn forwarding(&mut self, uplinks: &[Uplink], kept: &[Setting]) -> Result<Vec<(String, String)>> {
        let links = self.kernel.links()?;
        let ours: Vec<u32> = self.state.device_indexes().collect();
        let is_other = |link: &&Link| !ours.contains(&link.index) && link.name != "lo";
        let others = links.iter().filter(is_other);
        let others: Vec<&str> = others.map(|link| link.name.as_str()).collect();
        let uplinks: Vec<&str> = uplinks.iter().map(|uplink| uplink.link.name.as_str()).collect();
        let kernel = RefCell::new(&mut *self.kernel);
        let current = |path: &str| kernel.borrow_mut().sysctl(&Namespace::Host, path).ok();
        Ok(forwarding::wanted(&uplinks, &others, kept, &current))
    }

    fn host_ends_that_do_not_forward(&mut self) -> Vec<Action> {
        let bridges = self
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.as_ref());
        let bridges = bridges.filter(|bridge| bridge.host_end_index.is_some());
        let paths = bridges.flat_map(|bridge| {
            ["forwarding", "force_forwarding"].map(|key| format!("net/ipv6/conf/{}/{key}", bridge.host_end))
        });
        let mut actions = Vec::new();
        for path in paths {
            if let Ok(before) = self.kernel.sysctl(&Namespace::Host, &path)
                && before == "0"
            {
                let value = "1".to_owned();
                actions.push(action(Setting { path, before, value }));
            }
        }
        actions
    }

    fn set(&mut self, actions: Vec<Action>) {
        let (_, errors) = Executor::new(&mut *self.kernel, &mut self.datapath).each(actions);
        for error in errors {
            tracing::warn!(%error, "the host's stack does not forward as it should");
        }
    }
}

fn action(setting: Setting) -> Action {
    let Setting { path, before, value } = setting;
    Action::SetSysctl { path, before, value }
}

/// Takes back what is recorded as ours.
pub fn give_back(kernel: &mut dyn Kernel, store: &Store) -> Result<()> {
    let record = record(kernel, store)?;
    for setting in way(kernel, &record, &[]).writes {
        kernel.set_sysctl(&Namespace::Host, &setting.path, &setting.value)?;
    }
    keep(store, &record.boot, Vec::new())
}

fn record(kernel: &mut dyn Kernel, store: &Store) -> Result<Record> {
    let boot = kernel.sysctl(&Namespace::Host, BOOT)?;
    Ok(store.forwarding()?.at(boot.trim()))
}

fn way(kernel: &mut dyn Kernel, record: &Record, wanted: &[(String, String)]) -> Way {
    let kernel = RefCell::new(kernel);
    let current = |path: &str| kernel.borrow_mut().sysctl(&Namespace::Host, path).ok();
    forwarding::way(&record.settings, wanted, &current)
}

fn keep(store: &Store, boot: &str, settings: Vec<Setting>) -> Result<()> {
    let record = Record {
        boot: boot.to_owned(),
        settings,
    };
    // one that never was in stack mode has none
    if record != store.forwarding()?.at(boot) {
        store.set_forwarding(&record)?;
    }
    Ok(())
}
