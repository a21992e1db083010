//! The kernel's side of a network, behind one trait: links, addresses, neighbours, routes, sysctls.
//! [`netlink::Netlink`] is the real one, [`fake::Fake`] keeps a table and fails on demand.

pub mod address;
pub mod announce;
pub mod capture;
pub mod connected;
pub mod ethtool;
pub mod fake;
pub mod ipsec;
pub mod link;
pub mod listeners;
pub mod namespace;
pub mod neighbour;
pub mod netlink;
pub mod raw_netlink;
pub mod route;
pub mod rule;
pub mod sock_diag;
pub mod socket;
pub mod sysctl;
pub mod watch;

use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

use self::connected::Connected;
use crate::model::{ipsec::Policy, publish::Listener, routing::Rule};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// The agent's own: "the host".
    Host,
    /// `/run/netns/x`.
    Path(PathBuf),
    /// That of a process, while it lives: its number may be another's afterwards, who started at another time
    /// (clock ticks since boot).
    Process { pid: i32, start_time: u64 },
}

/// A veth pair, made in one netlink request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    pub near: End,
    pub far: End,
}

/// One end of a pair. The near end is always in the host's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub name: String,
    pub namespace: Namespace,
    pub mac: Option<Mac>,
    pub mtu: u32,
    pub alias: Option<String>,
    /// A port of the switch: no ARP, IPv6 address generation none, so that it never speaks by itself.
    pub silent: bool,
    /// Host end: IPv6 address generation none (its link-local address is given by hand), `accept_ra`,
    /// DAD and router solicitations off, `forwarding` on for the FIB look-up.
    pub gateway: bool,
    /// `gso_max_size`, `gro_max_size` and their ipv4 twins, in bytes.
    pub big_tcp: Option<u32>,
}

/// A link as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub alias: Option<String>,
    pub mac: Option<Mac>,
    pub mtu: u32,
    pub up: bool,
    /// Index of the other end of a pair (in whatever namespace).
    pub peer: Option<u32>,
    /// `veth`, `bridge`, …; empty for hardware.
    pub kind: String,
    /// The queueing discipline that what is sent passes: `noqueue`, `fq_codel`, …
    pub qdisc: String,
    pub header: LinkHeader,
    /// Index of the bridge or bond that it belongs to.
    pub controller: Option<u32>,
}

/// What stands before the IP header of a device's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkHeader {
    #[default]
    Ethernet,
    /// Nothing: tunnels, raw IP.
    None,
    /// Another one: `InfiniBand`, …
    Other,
}

/// Where the host reaches a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub destination: IpNetwork,
    /// Whether a gateway leads there; else the network is on one of the host's links.
    pub by_gateway: bool,
}

/// What an interface has received and sent, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}

/// What netlink refused, and for what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    System { what: String, source: std::io::Error },
    /// A device of that name exists and is not ours.
    #[error("device {0} exists already")]
    Exists(String),
    #[error("no device {0}")]
    NoDevice(String),
    #[error("no network namespace: {0}")]
    NoNamespace(String),
}

impl Error {
    pub fn system(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::System {
            what: what.into(),
            source,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Everything netswitch asks of the kernel's network stack. "The host" is the namespace the
/// implementation was opened in. All calls block.
pub trait Kernel: Send {
    fn links(&mut self) -> Result<Vec<Link>>;
    /// `None`: no such device.
    fn link(&mut self, name: &str) -> Result<Option<Link>>;
    /// Sets everything that [`End`] says on both ends; leaves them down. Undoes itself on error.
    fn add_veth(&mut self, veth: &Veth) -> Result<()>;
    /// No device: no error.
    fn delete_link(&mut self, name: &str) -> Result<()>;
    /// As [`Self::delete_link`], and as fast for many as for one where the kernel can.
    fn delete_links(&mut self, names: &[String]) -> Result<()> {
        names.iter().try_for_each(|name| self.delete_link(name))
    }
    fn set_up(&mut self, name: &str, up: bool) -> Result<()>;
    /// `lo` of another namespace: up, IPv6 off.
    fn set_up_loopback(&mut self, namespace: &Namespace) -> Result<()>;
    fn add_address(&mut self, namespace: &Namespace, device: &str, address: IpNetwork) -> Result<()>;
    fn delete_address(&mut self, device: &str, address: IpNetwork) -> Result<()>;
    /// (device, address) of every address of the host.
    fn addresses(&mut self) -> Result<Vec<(String, IpNetwork)>>;
    /// Those of one device of the host; none where there is no such device.
    fn addresses_of(&mut self, device: &str) -> Result<Vec<IpNetwork>>;
    /// Permanent; replaces what is there.
    fn set_neighbour(&mut self, namespace: &Namespace, device: &str, address: IpAddr, mac: Mac) -> Result<()>;
    fn delete_neighbour(&mut self, device: &str, address: IpAddr) -> Result<()>;
    /// Permanent neighbours of a host device.
    fn neighbours(&mut self, device: &str) -> Result<Vec<(IpAddr, Mac)>>;
    /// The host's routes, default routes left out.
    fn routes(&mut self) -> Result<Vec<Route>>;
    /// The rules of IPv6's routing tables, in the order in which the kernel asks them.
    fn routing_rules(&mut self) -> Result<Vec<Rule>>;
    /// Prefixes of IPv6's routes in these tables.
    fn prefixes(&mut self, tables: &[u32]) -> Result<Vec<(u32, IpNetwork)>>;
    fn set_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()>;
    fn delete_default_route(&mut self, namespace: &Namespace, device: &str, gateway: IpAddr) -> Result<()>;
    /// `path` below `/proc/sys`, as seen from `namespace`.
    fn set_sysctl(&mut self, namespace: &Namespace, path: &str, value: &str) -> Result<()>;
    fn sysctl(&mut self, namespace: &Namespace, path: &str) -> Result<String>;
    /// The host's listening TCP and SCTP sockets and its bound UDP sockets.
    fn listeners(&mut self) -> Result<Vec<Listener>>;
    /// The host's connected UDP sockets.
    fn connected(&mut self) -> Result<Vec<Connected>>;
    /// Its program hears an error.
    fn end_socket(&mut self, socket: &Connected) -> Result<()>;
    /// Whether the host has an `IPsec` association or policy.
    fn has_ipsec(&mut self) -> Result<bool>;
    /// The host's `IPsec` policies about what it sends and passes on.
    fn security_policies(&mut self) -> Result<Vec<Policy>>;
    /// The host's ephemeral ports, first and last.
    fn local_port_range(&mut self) -> Result<(u16, u16)> {
        let path = "net/ipv4/ip_local_port_range";
        let text = self.sysctl(&Namespace::Host, path)?;
        let mut ports = text.split_whitespace().map_while(|port| port.parse().ok());
        ports.next().zip(ports.next()).ok_or_else(|| {
            let what = format!("sysctl {path} is {text:?}");
            Error::system(what, std::io::ErrorKind::InvalidData.into())
        })
    }
    /// Sets up an interface inside a namespace: [`crate::action::Interface`].
    fn configure_interface(&mut self, interface: &crate::action::Interface) -> Result<()>;
    /// A pair's end takes frames that XDP redirects to it only if it receives by NAPI, which GRO turns on
    /// (`veth_xdp_xmit`, drivers/net/veth.c).
    fn receive_by_napi(&mut self, namespace: &Namespace, interface: &str) -> Result<()>;
    /// Gratuitous ARP and unsolicited NA from inside a namespace.
    fn announce(&mut self, namespace: &Namespace, interface: &str, mac: Mac, addresses: &[IpAddr]) -> Result<()>;
}
