//! Published ports: what `-p` asks for, what a running container has got, and who holds which port.

pub mod allocate;
pub mod change;
pub mod led;
pub mod list;
pub mod parse;
pub mod resolve;
pub mod settle;
pub mod table;

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::publish::protocol;
use serde::{Deserialize, Serialize};

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
            Self::Sctp => protocol::SCTP,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What one `-p` asks for; the container keeps it, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub protocol: Protocol,
    /// `None`: the network's default, which is every address of the host.
    pub host: Option<IpAddr>,
    /// First and last port asked for. As many as the container's; or several for one: the first that is
    /// free. `None`: any that is free.
    pub host_ports: Option<(u16, u16)>,
    pub container_first: u16,
    pub container_last: u16,
    /// Who may come in (`from=`); empty: everyone.
    #[serde(default)]
    pub sources: Vec<IpNetwork>,
}

/// Ports `first..=last`, in step with as many of the container's. Exists while its container runs: it
/// is the endpoint's that carries the container's default route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// For the maps; never 0.
    pub number: u16,
    pub protocol: Protocol,
    /// Of the host; unspecified for every address of that family.
    pub host: IpAddr,
    pub first: u16,
    pub last: u16,
    pub container_first: u16,
    /// Who may come in (`from=`); empty: everyone.
    pub sources: Vec<IpNetwork>,
}

/// A socket of the host's that has a port: one that listens or, where the protocol knows no listening,
/// that is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub protocol: Protocol,
    /// Unspecified for every address of its family; `::` for IPv4's too, unless `v6_only`.
    pub address: IpAddr,
    pub port: u16,
    /// `IPV6_V6ONLY`; means nothing with an IPv4 address.
    pub v6_only: bool,
}

#[cfg(test)]
mod tests;
