//! `netswitch network …`: create, list, inspect, connect, disconnect, remove and prune networks.

use std::io::{BufRead as _, stdin};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::failure::{Failure, named};
use super::print::{self, Listing, Row};
use super::{options, subnets};
use crate::api::{self, NetworkResource, Request, Response};
use crate::client::Client;
use crate::doors::{engine, time};
use crate::model::endpoint::Settings;

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

/// Create a network
#[derive(Debug, Args)]
pub struct Create {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])
    #[arg(long, value_name = "map", value_parser = options::entry)]
    aux_address: Vec<(String, String)>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string", default_value = "")]
    config_from: String,
    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,
    /// Driver to manage the Network (default "bridge")
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// IP Address Management Driver (default "default")
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Set IPAM driver specific options (default map[])
    #[arg(long, value_name = "map", value_parser = options::entry)]
    ipam_opt: Vec<(String, String)>,
    /// Enable IPv6 networking
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "list", value_parser = options::label)]
    label: Vec<(String, String)>,
    /// Set driver specific options (default map[])
    #[arg(short, long, value_name = "map", value_parser = options::entry)]
    opt: Vec<(String, String)>,
    /// Control the network's scope
    #[arg(long, value_name = "string", default_value = "")]
    scope: String,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    subnet: Vec<String>,
    #[arg(value_name = "NETWORK")]
    network: String,
}

impl Create {
    pub fn request(self) -> Result<Request, Failure> {
        let auxiliary = options::map(self.aux_address);
        let pools = subnets::pools(&self.subnet, &self.ip_range, &self.gateway, &auxiliary).map_err(Failure::new)?;
        Ok(Request::NetworkCreate(api::NetworkCreate {
            name: self.network,
            driver: self.driver,
            scope: self.scope,
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            config_only: self.config_only,
            config_from: self.config_from,
            enable_ipv6: self.ipv6,
            ipam_driver: self.ipam_driver,
            ipam_options: options::map(self.ipam_opt),
            pools,
            options: options::map(self.opt),
            labels: options::map(self.label),
        }))
    }

    fn run(self, client: &Client) -> Result<(), Failure> {
        match client.ask(&self.request()?)? {
            Response::Created { id, warnings } => {
                for warning in warnings {
                    print::complain(&format!("WARNING: {warning}"));
                }
                print::line(&id);
                Ok(())
            }
            _ => Err(Failure::unexpected()),
        }
    }
}

/// List networks
#[derive(Debug, Args)]
#[command(visible_alias = "list")]
pub struct List {
    /// Provide filter values (e.g. 'driver=bridge')
    #[arg(short, long, value_name = "filter", value_parser = options::filter)]
    filter: Vec<(String, String)>,
    /// Pretty-print networks using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const NETWORKS: Listing = Listing {
    titles: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    columns: &["ID", "Name", "Driver", "Scope"],
};

impl List {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let request = Request::NetworkList {
            filters: options::filters(self.filter),
        };
        let Response::Networks(mut networks) = client.ask(&request)? else {
            return Err(Failure::unexpected());
        };
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        let rows: Vec<Row> = networks
            .into_iter()
            .map(|network| row(network, self.no_trunc))
            .collect();
        print::text(&NETWORKS.render(self.format.as_deref(), self.quiet, &rows)?);
        Ok(())
    }
}

fn row(network: NetworkResource, no_trunc: bool) -> Row {
    let fields = [
        ("CreatedAt", time::go(&network.created)),
        ("Driver", network.driver),
        ("ID", print::id(&network.id, no_trunc).to_owned()),
        ("IPv6", network.enable_ipv6.to_string()),
        ("Internal", network.internal.to_string()),
        ("Labels", print::pairs(&network.labels)),
        ("Name", network.name),
        ("Scope", network.scope),
    ];
    Row {
        fields: fields
            .into_iter()
            .map(|(field, value)| (field.to_owned(), Value::from(value)))
            .collect::<Map<_, _>>(),
        labels: network.labels,
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
            match client
                .ask(&Request::NetworkInspect { network })
                .map_err(|error| named(error, "network", name))?
            {
                Response::Network(network) => {
                    serde_json::to_value(network).map_err(|error| Failure::new(error.to_string()))
                }
                _ => Err(Failure::unexpected()),
            }
        })
    }
}

/// Connect a container to a network
#[derive(Debug, Args)]
pub struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    driver_opt: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", default_value = "")]
    ip: String,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string", default_value = "")]
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
        let mut driver_options = std::collections::BTreeMap::new();
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
                ip: engine::ipv4(&self.ip)?,
                ip6: engine::ipv6(&self.ip6)?,
                mac: None,
                aliases: self.alias,
                links: self.link,
                link_local_ips: engine::link_local(&self.link_local_ip)?,
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
    let _ = stdin().lock().read_line(&mut answer);
    answer.trim().eq_ignore_ascii_case("y")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> NetworkResource {
        serde_json::from_value(serde_json::json!({
            "Name": "bridge", "Id": "2b50586c472a".repeat(5) + "0123", "Created": "2026-01-02T03:04:05.6+00:00",
            "Scope": "local", "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16"}]},
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""},
            "ConfigOnly": false, "Containers": {}, "Options": {}, "Labels": {"a": "b"},
        }))
        .unwrap()
    }

    #[test]
    fn networks_are_listed_as_docker_lists_them() {
        let list = |format, quiet, no_trunc| NETWORKS.render(format, quiet, &[row(bridge(), no_trunc)]).unwrap();
        assert_eq!(
            list(None, false, false),
            "NETWORK ID     NAME      DRIVER    SCOPE\n2b50586c472a   bridge    bridge    local\n"
        );
        assert_eq!(list(None, true, false), "2b50586c472a\n");
        assert_eq!(list(None, true, true).len(), 65);
        assert_eq!(
            list(Some("{{.Name}} {{.IPv6}} {{.Label \"a\"}} {{.Labels}}"), false, false),
            "bridge false b a=b\n"
        );
        assert_eq!(
            list(Some("json"), false, false),
            "{\"CreatedAt\":\"2026-01-02 03:04:05.6 +0000 UTC\",\"Driver\":\"bridge\",\"ID\":\"2b50586c472a\",\
             \"IPv6\":\"false\",\"Internal\":\"false\",\"Labels\":\"a=b\",\"Name\":\"bridge\",\"Scope\":\"local\"}\n"
        );
    }

    #[test]
    fn inspect_prints_dockers_keys_in_dockers_order() {
        let text = print::indented(&[bridge()]);
        let keys: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("        \""))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert_eq!(
            keys.join(" "),
            "Name Id Created Scope Driver EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly \
             Containers Options Labels"
        );
    }
}
