//! `netswitch agent`: the daemon itself, in the foreground.

use std::path::PathBuf;

use clap::Args;
use ipnetwork::IpNetwork;
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use crate::api::{AgentOptions, Directories};
use crate::model::address_pool;

/// Run the agent in the foreground
#[derive(Debug, Args)]
pub struct Agent {
    /// Load the data path as if its maps had this version
    #[arg(long, hide = true, value_name = "int")]
    abi_version: Option<u32>,
    /// Gateway address and prefix of the default network
    #[arg(long, value_name = "cidr", value_parser = bip)]
    bip: Option<IpNetwork>,
    /// Folder for pinned maps and links (default "/sys/fs/bpf/netswitch")
    #[arg(long, value_name = "path", default_value = "/sys/fs/bpf/netswitch")]
    bpffs: PathBuf,
    /// Log of the eBPF programs: off, error, warn, info, debug or trace (default "off")
    #[arg(long, value_name = "level", default_value = "off", value_parser = level)]
    datapath_log: LevelFilter,
    /// Remove every trace of the agent, then exit
    #[arg(long)]
    purge: bool,
    /// Folder for the socket and what does not survive a reboot (default "/run/netswitch")
    #[arg(long, value_name = "path", default_value = "/run/netswitch")]
    run_dir: PathBuf,
    /// Folder for the state (default "/var/lib/netswitch")
    #[arg(long, value_name = "path", default_value = "/var/lib/netswitch")]
    state_dir: PathBuf,
    /// Device towards the world: auto, none or a name (default "auto")
    #[arg(long, value_name = "list", default_value = "auto")]
    uplink: Vec<String>,
}

impl Agent {
    pub fn options(self) -> AgentOptions {
        AgentOptions {
            directories: Directories {
                state: self.state_dir,
                run: self.run_dir,
                bpffs: self.bpffs,
            },
            bip: self.bip,
            uplinks: self.uplink,
            purge: self.purge,
            abi_version: self.abi_version,
            log_level: self.datapath_log,
        }
    }

    pub fn run(self) -> Result<(), Failure> {
        crate::agent::run(&self.options()).map_err(|error| Failure::new(format!("{error:#}")))
    }
}

fn bip(text: &str) -> Result<IpNetwork, String> {
    let address = address_pool::parse_cidr(text).ok_or_else(|| format!("invalid CIDR address: {text}"))?;
    address_pool::check_subnet(address_pool::subnet_of(address)).map_err(|error| error.message)?;
    Ok(address)
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| "must be off, error, warn, info, debug or trace".to_owned())
}
