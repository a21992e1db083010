//! `netswitch agent`: the daemon itself, in the foreground.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args};
use ipnetwork::IpNetwork;
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use crate::api::{AgentOptions, Directories, HostOptions, UplinkMode};
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
    /// Cgroup whose programs reach published ports by any address of the host (default: every program)
    #[arg(long, value_name = "path")]
    cgroup: Option<PathBuf>,
    /// Log of the eBPF programs: off, error, warn, info, debug or trace (default "off")
    #[arg(long, value_name = "level", default_value = "off", value_parser = level)]
    datapath_log: LevelFilter,
    /// Flows that one container may have at once (default 32768)
    #[arg(long, value_name = "int", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    flow_quota: Option<u32>,
    /// Loopback address at which the host's own programs ask for names (default "127.0.0.153:53")
    #[arg(long, value_name = "address", default_value = "127.0.0.153", value_parser = host_names)]
    host_names: SocketAddr,
    /// Whether eBPF answers questions for names where it can: on or off (default "on")
    #[arg(long, value_name = "mode", default_value = "on", value_parser = on_or_off, action = ArgAction::Set)]
    kernel_names: bool,
    /// Ports that masquerade gives out (default "10240-32767")
    #[arg(long, value_name = "first-last", value_parser = masquerade_ports)]
    masquerade_ports: Option<(u16, u16)>,
    /// Answer Prometheus at this address and port, such as 127.0.0.1:9417 (default: nowhere)
    #[arg(long, value_name = "address:port", value_parser = metrics)]
    metrics: Option<SocketAddr>,
    /// Remove every trace of the agent, then exit
    #[arg(long)]
    purge: bool,
    /// File that names the host's name servers (default "/etc/resolv.conf")
    #[arg(long, value_name = "path", default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
    /// Folder for the socket and what does not survive a reboot (default "/run/netswitch")
    #[arg(long, value_name = "path", default_value = "/run/netswitch")]
    run_dir: PathBuf,
    /// Device towards the world: auto, none or a name (default "auto")
    #[arg(long, value_name = "list", default_value = "auto")]
    uplink: Vec<String>,
    /// Where packets from the world are judged: auto, tcx, xdp or stack (default "auto")
    #[arg(long, value_name = "mode", default_value = "auto", value_parser = uplink_mode)]
    uplink_mode: UplinkMode,
    /// Folder for the state (default "/var/lib/netswitch")
    #[arg(long, value_name = "path", default_value = "/var/lib/netswitch")]
    state_dir: PathBuf,
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
            host: HostOptions {
                uplinks: self.uplink,
                mode: self.uplink_mode,
                masquerade_ports: self.masquerade_ports,
                flow_quota: self.flow_quota,
                kernel_names: self.kernel_names,
                host_names: self.host_names,
            },
            cgroup: self.cgroup,
            resolv_conf: self.resolv_conf,
            metrics: self.metrics,
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

/// `ADDRESS` or `ADDRESS:PORT`; port 53, where programs ask that cannot be told another.
fn host_names(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| (address, 53).into());
    match address.or_else(|_| text.parse::<SocketAddr>()) {
        Ok(address) if !address.ip().is_loopback() => Err(format!("{} is not a loopback address", address.ip())),
        Ok(address) if address.port() == 0 => Err("port 0 is none".into()),
        Ok(address) => Ok(address),
        Err(_) => Err("must be ADDRESS or ADDRESS:PORT, such as 127.0.0.153:53".into()),
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

fn uplink_mode(text: &str) -> Result<UplinkMode, String> {
    match text {
        "auto" => Ok(UplinkMode::Auto),
        "tcx" => Ok(UplinkMode::Tcx),
        "xdp" => Ok(UplinkMode::Xdp),
        "stack" => Ok(UplinkMode::Stack),
        _ => Err("must be auto, tcx, xdp or stack".into()),
    }
}

/// `10240-32767`, as the first and how many.
fn masquerade_ports(text: &str) -> Result<(u16, u16), String> {
    let ports = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    match ports {
        Some((first, last)) if first > 0 && first <= last => Ok((first, last - first + 1)),
        _ => Err("must be FIRST-LAST, such as 10240-32767".into()),
    }
}

fn metrics(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be ADDRESS:PORT, such as 127.0.0.1:9417".to_owned())
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| "must be off, error, warn, info, debug or trace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_asks_at_a_loopback_address() {
        let read = |text: &str| host_names(text).map(|address| address.to_string());
        assert_eq!(read("127.0.0.9"), Ok("127.0.0.9:53".into()));
        assert_eq!(read("127.0.0.9:5300"), Ok("127.0.0.9:5300".into()));
        assert_eq!(read("::1"), Ok("[::1]:53".into()));
        assert_eq!(read("[::1]:5300"), Ok("[::1]:5300".into()));
        assert_eq!(read("10.2.0.1:53"), Err("10.2.0.1 is not a loopback address".into()));
        assert_eq!(read("0.0.0.0"), Err("0.0.0.0 is not a loopback address".into()));
        for text in ["", "localhost", "127.0.0.9:", "127.0.0.9:0x", "127.0.0.9:70000"] {
            assert!(read(text).unwrap_err().starts_with("must be "), "{text}");
        }
        assert_eq!(read("127.0.0.9:0"), Err("port 0 is none".into()));
    }
}
