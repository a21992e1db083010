//! Published ports: what `-p` asks for, what a running container has got, and who holds which port.

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
