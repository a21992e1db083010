//! `netswitch network …`: inspect, connect, disconnect, remove and prune; create and list have files of their own.

mod create;
mod list;
pub mod shape;
mod subnets;

use std::io::{BufRead as _, stdin};

use clap::{Args, Subcommand};

use self::{create::Create, list::List};
use super::failure::{Failure, named};
use super::{options, print};
use crate::api::{Request, Response};
use crate::client::Client;
use crate::model::{endpoint::Settings, parse};

/// Manage networks
#[derive(Debug, Subcommand)]
pub enum Verb {
    Create(Box<Create>),
    Ls(List),
    Inspect(Inspect),
    Connect(Connect),
    Disconnect(Disconnect),
    Rm(Remove),
    Prune(Prune),
}

impl Verb {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Create(verb) => verb.run(client),
            Self::Ls(verb) => verb.run(client),
            Self::Inspect(verb) => verb.run(client),
            Self::Connect(verb) => verb.run(client),
            Self::Disconnect(verb) => verb.run(client),
            Self::Rm(verb) => verb.run(client),
            Self::Prune(verb) => verb.run(client),
        }
    }
}

/// Display detailed information on one or more networks
#[derive(Debug, Args)]
pub struct Inspect {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
    #[arg(value_name = "NETWORK [NETWORK...]", required = true)]
    networks: Vec<String>,
}

impl Inspect {
    fn run(self, client: &Client) -> Result<(), Failure> {
        super::inspect::show(self.format.as_deref(), &self.networks, |name| {
            let network = name.to_owned();
            let answer = client.ask(&Request::NetworkInspect { network });
            let Response::Network(network) = answer.map_err(|error| named(error, "network", name))? else {
                return Err(Failure::unexpected());
            };
            super::inspect::Found::network(&network)
        })
    }
}

// the help is Docker's, which has no short forms of `--driver-opt`
/// Connect a container to a network
#[derive(Debug, Args)]
#[command(mut_arg("router", |arg| arg.hide(true)), mut_arg("extra_address", |arg| arg.hide(true)))]
pub struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    driver_opt: Vec<String>,
    #[command(flatten)]
    openings: options::Openings,
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
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    link_local_ip: Vec<String>,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Connect {
    pub fn request(self) -> Result<Request, Failure> {
        let mut driver_options = self.openings.options();
        for option in self.driver_opt {
            let (key, value) = option
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::new("invalid key/value pair format in driver options"))?;
            driver_options.insert(key.to_owned(), value.to_owned());
        }
        Ok(Request::NetworkConnect {
            network: self.network,
            container: self.container,
            settings: Settings {
                ip: parse::ipv4(&self.ip)?,
                ip6: parse::ipv6(&self.ip6)?,
                mac: None,
                aliases: self.alias,
                links: self.link,
                link_local_ips: parse::link_local(&self.link_local_ip)?,
                driver_options,
                connected: true,
            },
        })
    }

    fn run(self, client: &Client) -> Result<(), Failure> {
        client.ask(&self.request()?)?;
        Ok(())
    }
}

/// Disconnect a container from a network
#[derive(Debug, Args)]
pub struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Disconnect {
    fn run(self, client: &Client) -> Result<(), Failure> {
        client.ask(&Request::NetworkDisconnect {
            network: self.network,
            container: self.container,
            force: self.force,
        })?;
        Ok(())
    }
}

/// Remove one or more networks
#[derive(Debug, Args)]
#[command(visible_alias = "remove")]
pub struct Remove {
    #[arg(value_name = "NETWORK [NETWORK...]", required = true)]
    networks: Vec<String>,
}

impl Remove {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for name in self.networks {
            let network = name.clone();
            match client.ask(&Request::NetworkRemove { network }) {
                Ok(_) => print::line(&name),
                Err(error) => {
                    print::complain(&named(error, "network", &name).message);
                    outcome = Err(Failure::status(1));
                }
            }
        }
        outcome
    }
}

/// Remove all unused networks
#[derive(Debug, Args)]
pub struct Prune {
    /// Provide filter values (e.g. 'until=<timestamp>')
    #[arg(long, value_name = "filter", value_parser = options::filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    fn run(self, client: &Client) -> Result<(), Failure> {
        if !self.force && !confirmed() {
            return Ok(());
        }
        let request = Request::NetworkPrune {
            filters: options::filters(self.filter),
        };
        let Response::Pruned(names) = client.ask(&request)? else {
            return Err(Failure::unexpected());
        };
        if !names.is_empty() {
            print::line(&format!("Deleted Networks:\n{}\n", names.join("\n")));
        }
        Ok(())
    }
}

fn confirmed() -> bool {
    print::text(
        "WARNING! This will remove all custom networks not used by at least one container.\n\
         Are you sure you want to continue? [y/N] ",
    );
    let mut answer = String::new();
    // An unreadable answer is a no.
    _ = stdin().lock().read_line(&mut answer);
    answer.trim().eq_ignore_ascii_case("y")
}
