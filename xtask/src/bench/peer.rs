//! What is compared: pairs of namespaces, each joined in another way.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::traffic;
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};
use crate::world::{interrupted, link};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Peer {
    /// A veth pair between the two namespaces
    Direct,
    /// A second one: the control
    DirectAgain,
    /// A veth pair with BIG TCP sizes
    DirectBigTcp,
    /// A bare kernel bridge, which iptables does not see
    Bridge,
    /// A bridge as Docker Engine 20.10 sets it up
    Docker,
    /// Two containers on one netswitch network
    Netswitch,
    /// The same with BIG TCP, a network option
    NetswitchBigTcp,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectAgain => "direct_again",
            Self::DirectBigTcp => "direct_big_tcp",
            Self::Bridge => "bridge",
            Self::Docker => "docker",
            Self::Netswitch => "netswitch",
            Self::NetswitchBigTcp => "netswitch_big_tcp",
        }
    }

    pub fn needs_agent(self) -> bool {
        matches!(self, Self::Netswitch | Self::NetswitchBigTcp)
    }
}

/// Two joined namespaces; an iperf3 server waits in one.
pub struct Pair {
    pub peer: Peer,
    pub client: Namespace,
    pub server: Namespace,
    /// The server's.
    pub address: Ipv4Addr,
    _iperf: Background,
    /// Where the bridge lives, if there is one.
    _switch: Option<Namespace>,
}

/// All pairs of a run, and the agent that joins some of them.
pub struct Field {
    /// Dropped first: it purges what it attached while the namespaces are still there.
    agent: Option<Agent>,
    pairs: Vec<Pair>,
}

impl Field {
    /// `binary` is netswitch's; `directory` keeps its agent's state.
    pub fn new(peers: &[Peer], binary: &Path, directory: &Path) -> Result<Self> {
        let agent = peers
            .iter()
            .any(|peer| peer.needs_agent())
            .then(|| Agent::start(binary, Namespace::new()?, directory, "bench"))
            .transpose()?;
        let mut field = Self {
            agent,
            pairs: Vec::new(),
        };
        for &peer in peers {
            if peer == Peer::Docker && !Path::new("/proc/sys/net/bridge").exists() {
                eprintln!("docker is left out: it needs br_netfilter, which this kernel has not loaded");
                continue;
            }
            let pair = join(peer, field.agent.as_ref()).with_context(|| format!("set up {}", peer.name()))?;
            field.pairs.push(pair);
            interrupted()?;
        }
        Ok(field)
    }

    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Takes everything down and says when something stayed.
    pub fn finish(self) -> Result<()> {
        self.agent.map_or(Ok(()), Agent::finish)
    }
}

fn join(peer: Peer, agent: Option<&Agent>) -> Result<Pair> {
    let (client, server) = (Namespace::new()?, Namespace::new()?);
    let members = [(&client, CLIENT), (&server, SERVER)];
    let mut switch = None;
    match peer {
        Peer::Direct | Peer::DirectAgain | Peer::DirectBigTcp => {
            link::veth((&client, "eth0"), (&server, "eth0"))?;
            for (namespace, address) in members {
                link::add_address(namespace, "eth0", address, 24)?;
                if peer == Peer::DirectBigTcp {
                    link::set_big_tcp(namespace, "eth0")?;
                }
            }
        }
        Peer::Bridge => switch = Some(link::bridge("br0", members, false)?),
        Peer::Docker => {
            let host = link::bridge("docker0", members, true)?;
            write_docker_rules(&host)?;
            switch = Some(host);
        }
        Peer::Netswitch | Peer::NetswitchBigTcp => attach(agent.context("no agent runs")?, peer, members)?,
    }
    let address = if peer == Peer::NetswitchBigTcp {
        big(SERVER)
    } else {
        SERVER
    };
    process::check(
        client
            .command("ping")
            .args(["-c", "1", "-W", "2", &address.to_string()]),
    )?;
    let iperf = traffic::start_iperf_server(&server)?;
    Ok(Pair {
        peer,
        client,
        server,
        address,
        _iperf: iperf,
        _switch: switch,
    })
}

/// netswitch's two networks cannot have the same subnet.
fn big(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, _, d] = address.octets();
    Ipv4Addr::new(a, b, 1, d)
}

/// A network of its own, with both namespaces on it.
fn attach(agent: &Agent, peer: Peer, members: [(&Namespace, Ipv4Addr); 2]) -> Result<()> {
    let network = peer.name();
    let big_tcp = peer == Peer::NetswitchBigTcp;
    let mut create = agent.netswitch();
    create.args([
        "network",
        "create",
        "--subnet",
        if big_tcp { "10.77.1.0/24" } else { "10.77.0.0/24" },
    ]);
    if big_tcp {
        create.args(["-o", "netswitch.big_tcp=true"]);
    }
    process::check(create.arg(network))?;
    for (role, (namespace, address)) in ["client", "server"].into_iter().zip(members) {
        let address = if big_tcp { big(address) } else { address };
        let mut attach = agent.netswitch();
        attach
            .args(["attach", &format!("{network}-{role}"), "--netns"])
            .arg(namespace.path());
        attach.args(["--network", network, "--ip", &address.to_string()]);
        process::check(&mut attach)?;
    }
    Ok(())
}

/// The rules that engine 20.10 writes for docker0, and the settings it makes for them.
fn write_docker_rules(host: &Namespace) -> Result<()> {
    const RULES: &str = "\
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.77.0.0/24 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
";
    link::add_address(host, "docker0", Ipv4Addr::new(10, 77, 0, 1), 24)?;
    host.set("ipv4/ip_forward", "1")?;
    let written = process::output(&mut host.command("iptables-restore"), RULES)?;
    ensure!(
        written.status.success(),
        "iptables-restore: {}\n{}",
        written.status,
        written.stderr
    );
    Ok(())
}
