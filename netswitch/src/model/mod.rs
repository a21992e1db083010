//! The rules: pure, no I/O. A request is judged against [`State`] and comes back as [`Changes`] or
//! as the error a user sees; nothing here touches the kernel, the disk or the clock.

pub mod address_pool;
pub mod changes;
pub mod container;
pub mod directory;
pub mod endpoint;
pub mod filter;
pub mod firewall;
pub mod forwarding;
pub mod host_protocols;
pub mod ipsec;
pub mod message;
pub mod name_server;
pub mod names;
pub mod natural_order;
pub mod network;
pub mod parse;
pub mod policy;
pub mod port_set;
pub mod publish;
pub mod reserved_ports;
pub mod resolv_conf;
pub mod routing;
pub mod sandbox;
pub mod shaping;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod uplink;
pub mod why;

use std::fmt;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::api::Error;

/// 64 hexadecimal digits, as Docker gives to networks, containers and endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub String);

impl Id {
    /// The 12 digits that users see.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What the rules need to know of the world, gathered by the agent before it asks them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// RFC 3339 with nanoseconds and zone.
    pub now: String,
    /// Networks on the host's links, default routes left out.
    pub routes: Vec<IpNetwork>,
    /// Networks that the host reaches by a gateway, default routes left out.
    pub routes_by_gateway: Vec<IpNetwork>,
    /// Names of the host's devices.
    pub devices: Vec<String>,
    /// Names of the interfaces in a namespace that someone else made, for `attach` and for `connect`
    /// into it: ours get other names. Empty for namespaces of our own.
    pub interfaces: Vec<String>,
    /// Families in which such a namespace has a default route already.
    pub default_routes: sandbox::Families,
    /// The host's own sockets that hold ports, for requests that publish.
    pub listeners: Vec<publish::Listener>,
    /// The host's ephemeral ports, first and last: random published ports come from there.
    pub local_port_range: (u16, u16),
    /// Addresses of the host.
    pub addresses: Vec<std::net::IpAddr>,
    /// Fresh random ids: the rules take from the end as many as they need.
    pub fresh: Vec<Id>,
}

impl Facts {
    /// Takes a fresh id. The agent hands in 64, more than any request takes, and for a start one more for each network
    /// of the container.
    pub fn id(&mut self) -> Result<Id, Error> {
        self.fresh.pop().ok_or_else(|| Error::internal("no fresh id is left"))
    }
}
