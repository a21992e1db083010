//! A container, its host, and a machine on the host's LAN: `container` – `host` – `lan`. For a direct pair there is no
//! host, and the container has its address.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::{Namespaces, Peer, Route, Site, Way, docker, ping};
use crate::bench::{monitor::Told, traffic};
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::{link, process};

pub const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const LAN: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// The host's network card.
const UPLINK: &str = "up0";

pub fn site(peer: Peer, way: Way, start_agent: impl FnOnce(Namespace) -> Result<Agent>) -> Result<Site> {
    let (container, lan) = (Namespace::new()?, Namespace::new()?);
    let (mut agent, mut bridge) = (None, None);
    match peer {
        Peer::Direct | Peer::DirectAgain => connect(&container, &lan)?,
        Peer::Iptables | Peer::DockerProxy => {
            let host = link::bridge(docker::BRIDGE, &[(&container, CONTAINER)], true)?;
            connect(&host, &lan)?;
            docker::write_rules(&host, &traffic::PORTS)?;
            container.ip(&format!("route add default via {}", docker::GATEWAY))?;
            bridge = Some(host);
        }
        _ => {
            let host = Namespace::new()?;
            connect(&host, &lan)?;
            if peer == Peer::NetswitchXdp {
                process::check(lan.command("ethtool").args(["-K", "eth0", "tx", "off"]))?;
            }
            let publications = peer.publications(way);
            attach(agent.insert(start_agent(host)?), &container, &publications)?;
        }
    }
    let mut servers = Vec::new();
    if let Some(host) = bridge.as_ref().filter(|_| peer == Peer::DockerProxy) {
        servers.push(docker::start_proxy(host, traffic::PORT)?);
    }
    // the container's first packet also tells whether what is measured works at all
    ping(&container, LAN)?;
    match way {
        Way::Masquerade => servers.push(traffic::start_iperf_server(&lan)?),
        Way::Publish => servers.push(traffic::start_iperf_server(&container)?),
        Way::Host => {
            let host = agent.as_ref().map_or(&container, Agent::host);
            servers.push(traffic::start_iperf_server(host)?);
        }
        Way::Localhost | Way::Segment | Way::Resolve | Way::Forward => {}
    }
    Ok(Site {
        peer,
        agent,
        crowd: None,
        servers,
        namespaces: Namespaces::Outside {
            container,
            lan,
            host: bridge,
        },
        way,
        told: Told::default(),
    })
}

/// `host` is missing where the container is the host, in a direct pair.
pub fn route<'a>(way: Way, container: &'a Namespace, lan: &'a Namespace, host: Option<&'a Namespace>) -> Route<'a> {
    let (client, server, address) = match way {
        Way::Masquerade | Way::Segment | Way::Resolve | Way::Forward => (container, lan, LAN),
        Way::Publish => (lan, container, HOST),
        Way::Host => (lan, host.unwrap_or(container), HOST),
        Way::Localhost => (host.unwrap_or(container), container, Ipv4Addr::LOCALHOST),
    };
    Route {
        client,
        server,
        address,
    }
}

/// Puts `host` on the LAN; the machine there is its gateway.
fn connect(host: &Namespace, lan: &Namespace) -> Result<()> {
    link::veth((host, UPLINK), (lan, "eth0"))?;
    link::add_address(host, UPLINK, HOST, 24)?;
    link::add_address(lan, "eth0", LAN, 24)?;
    host.ip(&format!("route add default via {LAN}")).map(drop)
}

fn attach(agent: &Agent, container: &Namespace, publications: &[String]) -> Result<()> {
    process::check(
        agent
            .netswitch()
            .args(["network", "create", "--subnet", "10.77.0.0/24", "bench"]),
    )?;
    let mut attach = agent.netswitch();
    attach.args(["attach", "server", "--netns"]).arg(container.path());
    attach.args(["--network", "bench", "--ip", &CONTAINER.to_string()]);
    for publication in publications {
        attach.args(["-p", publication]);
    }
    process::check(&mut attach).context("attach the container").map(drop)
}
