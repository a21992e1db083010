//! `netswitch network create`.

use clap::Args;

use super::subnets;
use crate::api::{self, Request};
use crate::cli::failure::Failure;
use crate::cli::options;
use crate::client::Client;
use crate::model::network::options::{EGRESS, HOST_NAMES};

/// Create a network
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of Docker's")]
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
    /// Names and networks that its containers may speak to
    #[arg(long, value_name = "list", value_parser = options::egress)]
    egress: Vec<String>,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Answer the host's own questions for NAME.NETWORK
    #[arg(long)]
    host_names: bool,
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
        let mut options = options::map(self.opt);
        if self.host_names {
            options.insert(HOST_NAMES.into(), "true".into());
        }
        if !self.egress.is_empty() {
            options.insert(EGRESS.into(), self.egress.join(","));
        }
        Ok(Request::NetworkCreate(api::NetworkCreate {
            name: self.network,
            driver: self.driver,
            scope: self.scope,
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            config_only: self.config_only,
            config_from: self.config_from,
            disable_ipv4: false,
            enable_ipv6: self.ipv6,
            ipam_driver: self.ipam_driver,
            ipam_options: Some(options::map(self.ipam_opt)),
            pools,
            options,
            labels: options::map(self.label),
        }))
    }

    pub fn run(self, client: &Client) -> Result<(), Failure> {
        crate::cli::make(client, &self.request()?)
    }
}
