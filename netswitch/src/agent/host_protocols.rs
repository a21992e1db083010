//! The protocols without ports that the host itself uses: their packets are its own, not a container's.

use netswitch_common::host::waits;

use super::core::Core;
use crate::model::host_protocols::{self, Families};

/// What [`host_protocols::of_sockets`] reads, with the family of its sockets.
const SOCKETS: [(&str, u32); 2] = [
    ("/proc/thread-self/net/raw", waits::V4),
    ("/proc/thread-self/net/raw6", waits::V6),
];
/// Each line but the first is a socket.
const SCTP: &str = "/proc/thread-self/net/sctp/eps";

impl Core {
    /// Notes the protocols that the host has sockets, tunnels or policies for. The socket hook notes new sockets at
    /// once, with or without an agent; only the agent learns that one has gone.
    pub fn refresh_host_protocols(&mut self) {
        if let Err(error) = self.try_refresh_host_protocols() {
            tracing::warn!(%error, "cannot look at the protocols that the host uses");
        }
    }

    fn try_refresh_host_protocols(&mut self) -> anyhow::Result<()> {
        let wanted = self.used_protocols()?;
        let cleared = self.datapath.tables().set_host_protocols(&wanted)?;
        if cleared {
            // a socket that was made between the look and the note has been taken back
            let wanted = self.used_protocols()?;
            self.datapath.tables().set_host_protocols(&wanted)?;
        }
        Ok(())
    }

    fn used_protocols(&mut self) -> anyhow::Result<Families> {
        let mut used = host_protocols::of_links(&self.kernel.links()?);
        for (path, family) in SOCKETS {
            // a kernel without IPv6 has no such file
            let text = std::fs::read_to_string(path).unwrap_or_default();
            host_protocols::of_sockets(&text, family, &mut used);
        }
        let associations = std::fs::read_to_string(SCTP).unwrap_or_default();
        if associations.lines().count() > 1 {
            used[host_protocols::SCTP] |= waits::V4 | waits::V6;
        }
        if self.kernel.has_ipsec()? {
            for protocol in host_protocols::IPSEC {
                used[protocol] |= waits::V4 | waits::V6;
            }
        }
        Ok(used)
    }
}
