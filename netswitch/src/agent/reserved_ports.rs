//! Published ports inside the host's ephemeral range, and what masquerading needs of it, are kept from
//! the host's own connections: `net.ipv4.ip_local_reserved_ports`. What is ours there is recorded.

use anyhow::{Context as _, Result};

use super::core::Core;
use crate::action::Action;
use crate::execute::Executor;
use crate::kernel::{Kernel, Namespace};
use crate::model::port_set::PortSet;
use crate::model::reserved_ports::{self, Change};
use crate::store::Store;

const SETTING: &str = "net/ipv4/ip_local_reserved_ports";
/// Another after every reboot (random(4)).
pub(super) const BOOT: &str = "kernel/random/boot_id";

impl Core {
    /// First port and number of ports for masquerading.
    pub fn masquerade_ports(&mut self) -> Result<(u16, u16)> {
        let ephemeral = self.kernel.local_port_range()?;
        let ports = reserved_ports::masquerade(self.host.masquerade_ports, ephemeral);
        let reserved = reserved_ports::overlap(ports, ephemeral);
        if !reserved.is_empty() {
            tracing::info!(%reserved, "masquerade has ephemeral ports of the host's");
        }
        Ok(ports)
    }

    /// Makes the setting what the state wants. Nothing fails with it: a port that is not reserved may
    /// meet a connection of the host's own.
    pub fn reserve_ports(&mut self) {
        if let Err(error) = self.try_reserve_ports() {
            tracing::warn!(error = format!("{error:#}"), "ports are not reserved as they should be");
        }
    }

    /// After these ports were published or withdrawn. Where the host's own connections never get one of them, nothing
    /// is read and nothing written.
    pub fn reserve_moved_ports(&mut self, moved: &PortSet) {
        if moved.is_empty() {
            return;
        }
        match self.kernel.local_port_range() {
            Ok(ephemeral) if moved.within(ephemeral).is_empty() => {}
            Ok(_) | Err(_) => self.reserve_ports(),
        }
    }

    fn try_reserve_ports(&mut self) -> Result<()> {
        let ephemeral = self.kernel.local_port_range()?;
        let masquerade = reserved_ports::masquerade(self.host.masquerade_ports, ephemeral);
        let published = self.state.published().ports();
        let wanted = published
            .within(ephemeral)
            .union(&reserved_ports::overlap(masquerade, ephemeral));
        let (current, change) = change(&mut *self.kernel, &self.store, &wanted)?;
        let executor = Executor::new(&mut *self.kernel, &mut self.datapath);
        carry_out(&self.store, &change, |value| {
            let action = Action::SetSysctl {
                path: SETTING.to_owned(),
                before: written(&current),
                value: written(value),
            };
            executor.all(vec![action])?;
            Ok(())
        })
    }
}

/// Takes back what is recorded as ours.
pub fn give_back(kernel: &mut dyn Kernel, store: &Store) -> Result<()> {
    let (_, change) = change(kernel, store, &PortSet::default())?;
    carry_out(store, &change, |value| {
        Ok(kernel.set_sysctl(&Namespace::Host, SETTING, &written(value))?)
    })
}

/// What is set, and what has to change.
fn change(kernel: &mut dyn Kernel, store: &Store, wanted: &PortSet) -> Result<(PortSet, Change)> {
    let boot = kernel.sysctl(&Namespace::Host, BOOT)?;
    let record = store.reserved_ports()?.at(boot.trim());
    let text = kernel.sysctl(&Namespace::Host, SETTING)?;
    let current = PortSet::parse(&text).with_context(|| format!("sysctl {SETTING} is {text:?}"))?;
    let change = Change::of(&record, &current, wanted);
    Ok((current, change))
}

fn carry_out(store: &Store, change: &Change, set: impl FnOnce(&PortSet) -> Result<()>) -> Result<()> {
    let recorded = store.reserved_ports()?;
    if change.before != recorded {
        store.set_reserved_ports(&change.before)?;
    }
    if let Some(value) = &change.value {
        set(value)?;
    }
    if change.after != change.before {
        store.set_reserved_ports(&change.after)?;
    }
    Ok(())
}

/// An empty write would change nothing: with a line's end.
fn written(ports: &PortSet) -> String {
    format!("{ports}\n")
}
