//! What is compared: sites of namespaces that traffic crosses, each joined in another way.

mod docker;
mod echo;
mod outside;
mod resolver;
mod segment;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::echo::Echo;
pub use self::segment::{CLIENT, SERVER, SERVER_V6};
use crate::bench::{Binaries, lifecycle::Crowd, monitor::Told, publication, traffic};
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Peer {
    /// A veth pair between client and server
    Direct,
    /// A second one: the control
    DirectAgain,
    /// A veth pair with BIG TCP sizes
    DirectBigTcp,
    /// A bare kernel bridge, which iptables does not see
    Bridge,
    /// A bridge as Docker Engine 20.10 sets it up
    Docker,
    /// The world outside by MASQUERADE and DNAT as Docker Engine 20.10 writes them
    Iptables,
    /// A port published by Docker's userland proxy
    DockerProxy,
    /// Client and server on the host, by 127.0.0.1
    Loopback,
    /// The same again: the control
    LoopbackAgain,
    /// Containers of netswitch
    Netswitch,
    /// The same again: the control
    NetswitchAgain,
    /// The same by the binary that `--before` names
    NetswitchBefore,
    /// The same while `netswitch monitor` listens to everything
    NetswitchMonitored,
    /// The same with BIG TCP, a network option
    NetswitchBigTcp,
    /// With `--uplink-mode xdp`, and a client that finishes its checksums as a network card would
    NetswitchXdp,
    /// A container of netswitch with one published port
    #[value(name = "netswitch_1_port")]
    Netswitch1Port,
    /// With 1,000 single ports
    #[value(name = "netswitch_1000_ports")]
    Netswitch1000Ports,
    /// With a range of 10,000
    #[value(name = "netswitch_10000_ports")]
    Netswitch10000Ports,
    /// Containers between which a policy of 10 rules lets pass what is measured
    #[value(name = "netswitch_10_rules")]
    Netswitch10Rules,
    /// A policy of 10,000 rules
    #[value(name = "netswitch_10000_rules")]
    Netswitch10000Rules,
    /// With 10 endpoints more
    #[value(name = "netswitch_10_endpoints")]
    Netswitch10Endpoints,
    #[value(name = "netswitch_1000_endpoints")]
    Netswitch1000Endpoints,
    #[value(name = "netswitch_4000_endpoints")]
    Netswitch4000Endpoints,
    /// A kernel bridge, and the same 10,000 rules of nftables
    Nftables,
    /// An eBPF program at the asker's veth that sends its questions back as they are
    Echo,
    /// A second one: the control
    EchoAgain,
    /// dnsmasq on the gateway, a bare kernel bridge
    Dnsmasq,
    /// netswitch without answers from the kernel
    NetswitchAgent,
}

/// Every question about a name goes to the agent.
const NO_KERNEL_NAMES: [&str; 2] = ["--kernel-names", "off"];

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectAgain => "direct_again",
            Self::DirectBigTcp => "direct_big_tcp",
            Self::Bridge => "bridge",
            Self::Docker => "docker",
            Self::Iptables => "iptables",
            Self::DockerProxy => "docker_proxy",
            Self::Loopback => "loopback",
            Self::LoopbackAgain => "loopback_again",
            Self::Netswitch => "netswitch",
            Self::NetswitchAgain => "netswitch_again",
            Self::NetswitchBefore => "netswitch_before",
            Self::NetswitchMonitored => "netswitch_monitored",
            Self::NetswitchBigTcp => "netswitch_big_tcp",
            Self::NetswitchXdp => "netswitch_xdp",
            Self::Netswitch1Port => "netswitch_1_port",
            Self::Netswitch1000Ports => "netswitch_1000_ports",
            Self::Netswitch10000Ports => "netswitch_10000_ports",
            Self::Netswitch10Rules => "netswitch_10_rules",
            Self::Netswitch10000Rules => "netswitch_10000_rules",
            Self::Netswitch10Endpoints => "netswitch_10_endpoints",
            Self::Netswitch1000Endpoints => "netswitch_1000_endpoints",
            Self::Netswitch4000Endpoints => "netswitch_4000_endpoints",
            Self::Nftables => "nftables",
            Self::Echo => "echo",
            Self::EchoAgain => "echo_again",
            Self::Dnsmasq => "dnsmasq",
            Self::NetswitchAgent => "netswitch_agent",
        }
    }

    /// Like another: how far its ratio to that is from 1 is how far any other can be trusted.
    pub fn is_control(self) -> bool {
        matches!(
            self,
            Self::DirectAgain | Self::LoopbackAgain | Self::EchoAgain | Self::NetswitchAgain
        )
    }

    /// How many rules its policy has, of those whom one governs.
    fn rules(self) -> Option<u16> {
        match self {
            Self::Netswitch10Rules => Some(10),
            Self::Netswitch10000Rules | Self::Nftables => Some(10_000),
            _ => None,
        }
    }

    /// How many endpoints there are beside those that are measured.
    fn endpoints(self) -> Option<usize> {
        match self {
            Self::Netswitch10Endpoints => Some(10),
            Self::Netswitch1000Endpoints => Some(1000),
            Self::Netswitch4000Endpoints => Some(4000),
            _ => None,
        }
    }

    /// What the container publishes, as `-p` takes it.
    fn publications(self, way: Way) -> Vec<String> {
        match self {
            _ if way == Way::Host => publication::beside_the_traffic(),
            Self::Netswitch1Port => publication::singles_with_the_traffic(1),
            Self::Netswitch1000Ports => publication::singles_with_the_traffic(1000),
            Self::Netswitch10000Ports => publication::range_with_the_traffic(),
            _ => publication::of_the_traffic(),
        }
    }
}

/// The way that a scenario's packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Between two members of one network
    Segment,
    /// From a container to a machine outside
    Masquerade,
    /// From a machine outside to a published port of a container
    Publish,
    /// From the host to a published port of a container, by 127.0.0.1
    Localhost,
    /// From a machine outside to the host itself, which has a container with other ports published
    Host,
    /// From a container to its gateway, with questions about a name that is known there
    Resolve,
    /// The same about a name that a server upstream knows
    Forward,
}

/// The namespaces of one peer and what runs in them.
pub struct Site {
    pub peer: Peer,
    // in the order of their end: the agent purges what it attached while the namespaces are still there
    agent: Option<Agent>,
    crowd: Option<Crowd>,
    servers: Vec<Background>,
    namespaces: Namespaces,
    way: Way,
    /// What listeners have heard of its traffic.
    pub told: Told,
}

enum Namespaces {
    /// Two members of one network, at [`segment::CLIENT`] and [`segment::SERVER`], and where its bridge lives
    Segment {
        client: Namespace,
        server: Namespace,
        _switch: Option<Namespace>,
    },
    /// A container, the world outside, and the host between them if it is not the agent's
    Outside {
        container: Namespace,
        lan: Namespace,
        host: Option<Namespace>,
    },
    Loopback(Namespace),
    /// A container that asks for names, and its host if that is not the agent's
    Resolver {
        client: Namespace,
        host: Option<Namespace>,
        _others: [Namespace; 2],
        _echo: Option<Echo>,
    },
}

/// Who talks to whom.
pub struct Route<'a> {
    pub client: &'a Namespace,
    /// Where the server listens, on every address.
    pub server: &'a Namespace,
    /// What the client dials.
    pub address: Ipv4Addr,
}

impl Site {
    /// `None` where there cannot be such a peer. `directory` keeps agents' state.
    pub fn new(peer: Peer, way: Way, binaries: &Binaries, directory: &Path) -> Result<Option<Self>> {
        let binary = match (peer, &binaries.before) {
            (Peer::NetswitchBefore, None) => return Ok(None),
            (Peer::NetswitchBefore, Some(before)) => before,
            _ => &binaries.netswitch,
        };
        if matches!(peer, Peer::Docker | Peer::Nftables) && !Path::new("/proc/sys/net/bridge").exists() {
            let name = peer.name();
            eprintln!("{name} is left out: it needs br_netfilter, which this kernel has not loaded");
            return Ok(None);
        }
        let start_agent = |host| {
            let directory = directory.join(peer.name());
            fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
            let options: &[_] = match peer {
                Peer::NetswitchXdp => &["--uplink-mode", "xdp"],
                Peer::NetswitchAgent => &NO_KERNEL_NAMES,
                _ => &[],
            };
            // who asks has the other one
            let cpu = matches!(way, Way::Resolve | Way::Forward).then(traffic::server_cpu);
            Agent::start(
                binary,
                host,
                &directory,
                &format!("bench-{}", peer.name()),
                options,
                cpu,
            )
        };
        let site = match (way, peer) {
            (Way::Resolve | Way::Forward, _) => resolver::site(peer, way, start_agent),
            (Way::Segment, _) => segment::site(peer, start_agent),
            (_, Peer::Loopback | Peer::LoopbackAgain) => Namespace::new().map(|host| Self {
                peer,
                agent: None,
                crowd: None,
                servers: Vec::new(),
                namespaces: Namespaces::Loopback(host),
                way,
                told: Told::default(),
            }),
            _ => outside::site(peer, way, start_agent),
        }
        .with_context(|| format!("set up {}", peer.name()))?;
        Ok(Some(site))
    }

    pub fn route(&self) -> Route<'_> {
        match &self.namespaces {
            Namespaces::Segment { client, server, .. } => Route {
                client,
                server,
                address: SERVER,
            },
            Namespaces::Loopback(host) => Route {
                client: host,
                server: host,
                address: Ipv4Addr::LOCALHOST,
            },
            Namespaces::Outside { container, lan, host } => {
                let host = self.agent.as_ref().map(Agent::host).or(host.as_ref());
                outside::route(self.way, container, lan, host)
            }
            Namespaces::Resolver { client, host, .. } => {
                let host = self.agent.as_ref().map(Agent::host).or(host.as_ref());
                resolver::route(client, host)
            }
        }
    }

    /// The agent of a peer that is netswitch.
    pub fn agent(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("no agent runs")
    }

    /// The agent, and the endpoints beside those that are measured.
    pub fn crowd(&self) -> Result<(&Agent, &Crowd)> {
        self.agent.as_ref().zip(self.crowd.as_ref()).context("no crowd")
    }

    /// The process that has loaded its eBPF programs, if there are any.
    pub fn loader(&self) -> Result<u32> {
        self.agent.as_ref().map_or(Ok(std::process::id()), Agent::id)
    }

    /// Takes everything down and says when something stayed.
    pub fn finish(self) -> Result<()> {
        self.agent.map_or(Ok(()), Agent::finish)
    }
}

fn ping(from: &Namespace, address: Ipv4Addr) -> Result<()> {
    process::check(from.command("ping").args(["-c", "1", "-W", "2", &address.to_string()])).map(drop)
}
