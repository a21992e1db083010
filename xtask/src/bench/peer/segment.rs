//! Two members of one network: joined by a veth pair, a bridge, Docker's bridge, or netswitch.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};

use super::{Namespaces, Peer, Site, Way, docker, ping};
use crate::bench::{lifecycle::Crowd, monitor::Told, policy, traffic};
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::{link, process};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 3);

pub fn site(peer: Peer, start_agent: impl FnOnce(Namespace) -> Result<Agent>) -> Result<Site> {
    let (client, server) = (Namespace::new()?, Namespace::new()?);
    let members = [(&client, CLIENT), (&server, SERVER)];
    let (mut agent, mut switch) = (None, None);
    match peer {
        Peer::Bridge => switch = Some(link::bridge("br0", &members, false)?),
        Peer::Docker => {
            let host = link::bridge(docker::BRIDGE, &members, true)?;
            docker::write_rules(&host, &[])?;
            switch = Some(host);
        }
        Peer::Nftables => switch = Some(link::bridge("br0", &members, true)?),
        Peer::Direct | Peer::DirectAgain | Peer::DirectBigTcp => {
            link::veth((&client, "eth0"), (&server, "eth0"))?;
            for (namespace, address) in members {
                link::add_address(namespace, "eth0", address, 24)?;
                if peer == Peer::DirectBigTcp {
                    link::set_big_tcp(namespace, "eth0")?;
                }
            }
        }
        _ => {
            let started = agent.insert(start_agent(Namespace::new()?)?);
            attach(started, peer == Peer::NetswitchBigTcp, [&client, &server])?;
        }
    }
    ping(&client, SERVER)?;
    if let Some(count) = peer.rules() {
        match (&agent, &switch) {
            (Some(agent), _) => policy::set(agent, count)?,
            (_, Some(switch)) => policy::set_by_nftables(switch, count)?,
            _ => {}
        }
        ensure!(ping(&client, SERVER).is_err(), "a ping passes that no rule allows");
    }
    let crowd = match (&agent, peer.endpoints()) {
        (Some(agent), Some(count)) => Some(Crowd::attach(agent, count)?),
        _ => None,
    };
    Ok(Site {
        peer,
        agent,
        crowd,
        servers: vec![traffic::start_iperf_server(&server)?],
        namespaces: Namespaces::Segment {
            client,
            server,
            _switch: switch,
        },
        way: Way::Segment,
        told: Told::default(),
    })
}

/// A network of its own, with both namespaces on it.
fn attach(agent: &Agent, big_tcp: bool, namespaces: [&Namespace; 2]) -> Result<()> {
    let mut create = agent.netswitch();
    create.args(["network", "create", "--subnet", "10.77.0.0/24"]);
    create.args(["--ipv6", "--subnet", "fd77::/64"]);
    if big_tcp {
        create.args(["-o", "netswitch.big_tcp=true"]);
    }
    process::check(create.arg("bench"))?;
    let members = [("client", CLIENT, CLIENT_V6), ("server", SERVER, SERVER_V6)];
    for ((name, v4, v6), namespace) in members.into_iter().zip(namespaces) {
        let mut attach = agent.netswitch();
        attach.args(["attach", name, "--netns"]).arg(namespace.path());
        attach.args(["--network", "bench", "--ip", &v4.to_string(), "--ip6", &v6.to_string()]);
        process::check(&mut attach)?;
    }
    Ok(())
}
