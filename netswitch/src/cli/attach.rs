//! `netswitch attach` and `detach`: a namespace that someone else made is a container for a while.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::{options, print, update::Limits};
use crate::api::{self, NamespaceOf, Request};
use crate::client::Client;
use crate::model::{endpoint::Settings, parse, publish};

/// Connect an existing network namespace to a network
#[derive(Debug, Args)]
pub struct Attach {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "list")]
    alias: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = options::name_server)]
    dns: Vec<String>,
    /// Names and networks that the container may speak to (e.g., 'api.example.com:443,*.example.org,10.0.0.0/8')
    #[arg(long, value_name = "list", value_parser = options::egress)]
    egress: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", default_value = "")]
    ip: String,
    #[arg(
        long,
        help = "IPv6 address (e.g., 2001:db8::33)",
        value_name = "string",
        default_value = ""
    )]
    ip6: String,
    /// Set meta data on the container
    #[arg(short, long, value_name = "list", value_parser = options::label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    openings: options::Openings,
    /// MAC address of the interface (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", default_value = "")]
    mac_address: String,
    /// File of the namespace (e.g., /run/netns/x)
    #[arg(long, value_name = "path")]
    netns: Option<PathBuf>,
    /// Network to connect to (default "bridge")
    #[arg(long, alias = "net", value_name = "network", default_value = "bridge")]
    network: String,
    /// Process whose namespace it is
    #[arg(long, value_name = "int", value_parser = options::integer)]
    pid: Option<i64>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    publish: Vec<String>,
    #[arg(value_name = "NAME")]
    name: String,
}

impl Attach {
    pub fn request(self) -> Result<Request, Failure> {
        for spec in &self.publish {
            publish::parse::binding(spec).map_err(|error| Failure {
                message: format!("netswitch: {}.\nSee 'netswitch attach --help'.", error.message),
                status: 125,
            })?;
        }
        let namespace = match (self.netns, self.pid) {
            // absolute, for the agent runs elsewhere; links are followed there
            (Some(path), None) => NamespaceOf::Path(
                std::path::absolute(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?,
            ),
            (None, Some(pid)) => NamespaceOf::Process(
                i32::try_from(pid)
                    .ok()
                    .filter(|pid| *pid > 0)
                    .ok_or_else(|| Failure::new(format!("no such process: {pid}")))?,
            ),
            _ => return Err(Failure::new("either --netns or --pid must name a namespace")),
        };
        Ok(Request::Attach(api::Attach {
            name: self.name,
            namespace,
            network: self.network,
            settings: Settings {
                ip: parse::ipv4(&self.ip)?,
                ip6: parse::ipv6(&self.ip6)?,
                mac: parse::mac(&self.mac_address).map_err(|error| Failure::new(error.message))?,
                aliases: self.alias,
                driver_options: self.openings.options(),
                ..Settings::default()
            },
            dns: self.dns,
            egress: self.egress,
            publish: self.publish,
            limits: self.limits.change(),
            labels: options::map(self.label),
        }))
    }

    pub fn run(self, client: &Client) -> Result<(), Failure> {
        super::make(client, &self.request()?)
    }
}

/// Undo an attach; the namespace stays
#[derive(Debug, Args)]
pub struct Detach {
    #[arg(value_name = "NAME")]
    name: String,
}

impl Detach {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let container = self.name.clone();
        client.ask(&Request::Detach { container })?;
        print::line(&self.name);
        Ok(())
    }
}
