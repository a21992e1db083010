//! How a network's containers meet the world: masquerade, and how their ports are published.

use std::net::{IpAddr, Ipv4Addr};

use netswitch_common::endpoint::flags;
use serde::{Deserialize, Serialize};

/// As `-o` asks; the default is Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// `enable_ip_masquerade`.
    pub masquerade: bool,
    /// `host_binding_ipv4`: where a port is published that names no address of the host.
    pub host_binding: Option<IpAddr>,
    /// `host_ipv4`, `host_ipv6`: what to masquerade with; `None`: what the way out suggests.
    pub source_v4: Option<IpAddr>,
    pub source_v6: Option<IpAddr>,
    /// `gateway_mode_ipv4`, `gateway_mode_ipv6`.
    pub mode_v4: Mode,
    pub mode_v6: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Nat,
    /// As `Nat`, and every port of a container is reached at its own address, too.
    #[serde(rename = "nat-unprotected")]
    Unprotected,
    /// Containers are reached at their own addresses, at published ports alone.
    Routed,
    /// The host has no address on the network.
    Isolated,
}

impl Mode {
    /// Whether ports are published at addresses of the host.
    pub const fn translates(self) -> bool {
        matches!(self, Self::Nat | Self::Unprotected)
    }

    /// The one of a family's flags that the mode is.
    const fn flags(self, [routed, open, no_host]: [u32; 3]) -> u32 {
        match self {
            Self::Nat => 0,
            Self::Unprotected => open,
            Self::Routed => routed,
            Self::Isolated => no_host,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            masquerade: true,
            host_binding: None,
            source_v4: None,
            source_v6: None,
            mode_v4: Mode::Nat,
            mode_v6: Mode::Nat,
        }
    }
}

impl Gateway {
    pub const fn mode(&self, v6: bool) -> Mode {
        if v6 { self.mode_v6 } else { self.mode_v4 }
    }

    /// What the modes are in an endpoint's flags.
    pub const fn flags(&self) -> u32 {
        let v4 = self
            .mode_v4
            .flags([flags::ROUTED_V4, flags::OPEN_V4, flags::NO_HOST_V4]);
        v4 | self
            .mode_v6
            .flags([flags::ROUTED_V6, flags::OPEN_V6, flags::NO_HOST_V6])
    }

    /// Whether containers show the world an address of the host's.
    pub fn masquerades(&self, v6: bool) -> bool {
        self.masquerade && self.mode(v6).translates()
    }

    /// Whether the network has no gateway in one family at least.
    pub fn is_isolated(&self) -> bool {
        [self.mode_v4, self.mode_v6].contains(&Mode::Isolated)
    }

    /// Where a port is published that names no address: all addresses of both families, or the one
    /// that `host_binding_ipv4` names.
    pub fn default_hosts(&self) -> Vec<IpAddr> {
        let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self.host_binding.filter(|address| *address != every) {
            Some(address) => vec![address],
            None => vec![every, std::net::Ipv6Addr::UNSPECIFIED.into()],
        }
    }
}
