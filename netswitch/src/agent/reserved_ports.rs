//! Published ports inside the host's ephemeral range, and what masquerading needs of it, are kept from
//! the host's own connections: `net.ipv4.ip_local_reserved_ports`. What is ours there is recorded.

use anyhow::{Context as _, Result};
use netswitch_common::capacity;

use super::core::Core;
use crate::kernel::{Kernel, Namespace};
use crate::model::port_set::PortSet;
use crate::store::Store;

const SETTING: &str = "net/ipv4/ip_local_reserved_ports";

/// Ports that masquerading takes of an ephemeral range, if it must.
const SLICE: u16 = 20_480;

impl Core {
    /// First port and number of ports for masquerading: a slice of the ephemeral range, reserved, where
    /// the usual ports overlap that.
    pub fn masquerade_ports(&mut self) -> Result<(u16, u16)> {
        let usual = self.host.masquerade_ports.unwrap_or(capacity::MASQUERADE_PORTS);
        Ok(slice(usual, self.kernel.local_port_range()?).unwrap_or(usual))
    }

    /// Makes the setting what the state wants. Nothing fails with it: a port that is not reserved may
    /// meet a connection of the host's own.
    pub fn reserve_ports(&mut self) {
        if let Err(error) = self.try_reserve_ports() {
            tracing::warn!(error = format!("{error:#}"), "ports are not reserved as they should be");
        }
    }

    fn try_reserve_ports(&mut self) -> Result<()> {
        let range = self.kernel.local_port_range()?;
        let publications = self
            .state
            .endpoints
            .values()
            .flat_map(|endpoint| &endpoint.publications);
        let published: PortSet = publications
            .map(|published| (published.first, published.last))
            .collect();
        let usual = self.host.masquerade_ports.unwrap_or(capacity::MASQUERADE_PORTS);
        let slice = slice(usual, range).map(|(first, count)| (first, first.saturating_add(count - 1)));
        let wanted = published.within(range).union(&slice.into_iter().collect());
        set(&mut *self.kernel, &self.store, &wanted)
    }
}

/// Takes back what is recorded as ours.
pub fn give_back(kernel: &mut dyn Kernel, store: &Store) -> Result<()> {
    set(kernel, store, &PortSet::default())
}

fn set(kernel: &mut dyn Kernel, store: &Store, wanted: &PortSet) -> Result<()> {
    let before = store.reserved_ports()?;
    let text = kernel.sysctl(&Namespace::Host, SETTING)?;
    let current = PortSet::parse(&text).with_context(|| format!("sysctl {SETTING} is {text:?}"))?;
    let others = current.minus(&before);
    let ours = wanted.minus(&others);
    let value = others.union(&ours);
    // whatever a crash leaves in the kernel is recorded as ours
    let both = before.union(&ours);
    if both != before {
        store.set_reserved_ports(&both)?;
    }
    if value != current {
        // an empty write would change nothing
        kernel.set_sysctl(&Namespace::Host, SETTING, &format!("{value}\n"))?;
    }
    if ours != both {
        store.set_reserved_ports(&ours)?;
    }
    Ok(())
}

/// Where masquerading moves to, as first port and number: the end of the ephemeral range, of which at
/// least half stays the host's. `None`: the usual ports are not in its way.
fn slice((first, count): (u16, u16), (low, high): (u16, u16)) -> Option<(u16, u16)> {
    let last = first.saturating_add(count.saturating_sub(1));
    if last < low || high < first {
        return None;
    }
    let count = SLICE.min((high - low) / 2).max(1);
    Some((high - count + 1, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masquerading_moves_only_out_of_the_way_of_the_ephemeral_range() {
        assert_eq!(slice(capacity::MASQUERADE_PORTS, (32_768, 60_999)), None);
        assert_eq!(
            slice(capacity::MASQUERADE_PORTS, (1024, 65_535)),
            Some((45_056, 20_480))
        );
        assert_eq!(slice((40_000, 100), (32_768, 60_999)), Some((46_885, 14_115)));
    }
}
