//! A container that asks its gateway for names. Behind the gateway's host there may be another server: `client` –
//! `host` – `upstream`.

use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::echo::Echo;
use super::segment::{CLIENT, SERVER};
use super::{Namespaces, Peer, Route, Site, Way, docker::GATEWAY};
use crate::bench::monitor::Told;
use crate::bench::question::Subject;
use crate::bench::traffic::server_cpu;
use crate::world::agent::Agent;
use crate::world::link;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};

const UPSTREAM: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// The other container.
const LOCAL: &str = "server";
/// What only the server upstream knows.
const FORWARDED: &str = "server.example";

pub fn site(peer: Peer, way: Way, start_agent: impl FnOnce(Namespace) -> Result<Agent>) -> Result<Site> {
    let (client, server, upstream) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
    let (mut agent, mut host, mut echo) = (None, None, None);
    let mut servers = Vec::new();
    match peer {
        Peer::Echo | Peer::EchoAgain => {
            let turn = host.insert(Namespace::new()?);
            link::veth((turn, "veth0"), (&client, "eth0"))?;
            link::add_address(turn, "veth0", GATEWAY, 24)?;
            link::add_address(&client, "eth0", CLIENT, 24)?;
            echo = Some(Echo::attach(turn, "veth0")?);
        }
        Peer::Dnsmasq => {
            let host = host.insert(link::bridge("br0", &[(&client, CLIENT), (&server, SERVER)], false)?);
            link::add_address(host, "br0", GATEWAY, 24)?;
            connect(host, &upstream)?;
            let local = format!("--host-record={LOCAL},{SERVER}");
            servers.push(dnsmasq(host, GATEWAY, &[&local, &format!("--server={UPSTREAM}")])?);
        }
        _ => {
            let host = Namespace::new()?;
            connect(&host, &upstream)?;
            attach(
                agent.insert(start_agent(host)?),
                [("client", &client, CLIENT), (LOCAL, &server, SERVER)],
            )?;
        }
    }
    if way == Way::Forward && echo.is_none() {
        let far = format!("--host-record={FORWARDED},{SERVER}");
        servers.push(dnsmasq(&upstream, UPSTREAM, &[&far, "--local-ttl=3600"])?);
    }
    let site = Site {
        peer,
        agent,
        crowd: None,
        servers,
        namespaces: Namespaces::Resolver {
            client,
            host,
            _others: [server, upstream],
            _echo: echo,
        },
        way,
        told: Told::default(),
    };
    site.subject().wait()?;
    Ok(site)
}

impl Site {
    /// What the container asks.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            route: self.route(),
            name: if self.way == Way::Forward { FORWARDED } else { LOCAL },
            echoes: matches!(self.peer, Peer::Echo | Peer::EchoAgain),
        }
    }

    /// The process that answers, if one does.
    pub fn answering(&self) -> Option<u32> {
        match &self.agent {
            Some(agent) => agent.id().ok(),
            None => self.servers.first().map(Background::id),
        }
    }
}

pub fn route<'a>(client: &'a Namespace, host: Option<&'a Namespace>) -> Route<'a> {
    Route {
        client,
        server: host.unwrap_or(client),
        address: GATEWAY,
    }
}

/// Puts `host` and the server upstream on one link.
fn connect(host: &Namespace, upstream: &Namespace) -> Result<()> {
    link::veth((host, "up0"), (upstream, "eth0"))?;
    link::add_address(host, "up0", HOST, 24)?;
    link::add_address(upstream, "eth0", UPSTREAM, 24)?;
    host.ip(&format!("route add default via {UPSTREAM}")).map(drop)
}

/// Knows nothing but what `options` tell it.
fn dnsmasq(namespace: &Namespace, address: Ipv4Addr, options: &[&str]) -> Result<Background> {
    let mut command = namespace.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
    ]);
    command.args([
        "--no-resolv",
        "--no-hosts",
        "--no-poll",
        "--cache-size=10000",
        "--bind-interfaces",
    ]);
    command.arg(format!("--listen-address={address}")).args(options);
    command.stdout(Stdio::null());
    Background::start(process::pin(&mut command, server_cpu())?)
}

fn attach(agent: &Agent, members: [(&str, &Namespace, Ipv4Addr); 2]) -> Result<()> {
    process::check(
        agent
            .netswitch()
            .args(["network", "create", "--subnet", "10.77.0.0/24", "bench"]),
    )?;
    for (name, namespace, address) in members {
        let mut attach = agent.netswitch();
        attach.args(["attach", name, "--netns"]).arg(namespace.path());
        attach.args(["--network", "bench", "--ip", &address.to_string()]);
        attach.args(["--dns", &UPSTREAM.to_string()]);
        process::check(&mut attach).with_context(|| format!("attach {name}"))?;
    }
    Ok(())
}
