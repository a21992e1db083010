//! Questions about the switch as a whole: health, version.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::process::Command;
use tokio::time::timeout;

use super::core::Core;
use super::observer::roster::Roster;
use super::uplinks::choice;
use crate::api::{Finding, Response, UplinkMode, Version};
use crate::datapath::Hook;
use crate::kernel::{Kernel, Link, Namespace};
use crate::model::{container::Status, firewall, shaping, uplink};

/// `gc_thresh3` unless somebody raised it (net/ipv4/arp.c, net/ipv6/ndisc.c): what holds where a
/// container around the agent hides the first namespace.
const NEIGHBOUR_LIMIT: usize = 1024;

/// How long a program may take to list the host's rules.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// What a command prints; nothing where it is missing, fails or takes too long: then it is killed.
async fn output_of(command: &[&str]) -> String {
    let [program, arguments @ ..] = command else {
        return String::new();
    };
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(LISTED_WITHIN, output).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

/// Rules of the host's that packets on the eBPF path do not meet, or that cut what its stack carries.
async fn firewall(host: &firewall::Host) -> Finding {
    let (v4, v6, ruleset) = tokio::join!(
        output_of(&["iptables-save"]),
        output_of(&["ip6tables-save"]),
        output_of(&["nft", "--json", "list", "ruleset"]),
    );
    let [kept_v4, kept_v6] = [&v4, &v6].map(|text| firewall::iptables::kept_in_nftables(text));
    let mut tables = firewall::nft::tables(&ruleset, |family, table| match family {
        "ip" => kept_v4.contains(table),
        "ip6" => kept_v6.contains(table),
        _ => false,
    });
    tables.push(firewall::iptables::filter("iptables", &v4));
    tables.push(firewall::iptables::filter("ip6tables", &v6));
    let findings = host.judge(&tables);
    let hint = if findings.unseen.is_empty() {
        ""
    } else {
        "\nhint: agent --uplink-mode stack"
    };
    let found: Vec<String> = findings.unseen.into_iter().chain(findings.cut).collect();
    let message = if found.is_empty() {
        "no rules in the way".to_owned()
    } else {
        found.join("; ") + hint
    };
    finding("firewall", found.is_empty(), message)
}

fn judged_kernel() -> Finding {
    let name = nix::sys::utsname::uname();
    let version = name.map(|name| name.version().to_string_lossy().into_owned());
    let realtime = std::fs::read_to_string("/sys/kernel/realtime");
    judge_kernel(&version.unwrap_or_default(), &realtime.unwrap_or_default())
}

/// By `uname -v` and `/sys/kernel/realtime`, which is empty where there is none.
fn judge_kernel(version: &str, realtime: &str) -> Finding {
    let is_realtime = version.split_whitespace().any(|word| word == "PREEMPT_RT") || realtime.trim() == "1";
    Finding {
        subject: "kernel".to_owned(),
        ok: !is_realtime,
        message: if is_realtime {
            "PREEMPT_RT: a packet's programs can be interrupted by another packet's on the same CPU, which overwrite \
             what they have noted about theirs\nhint: start a kernel without PREEMPT_RT"
        } else {
            "no packet's programs interrupt another packet's"
        }
        .to_owned(),
    }
}

/// What `doctor` has to know of the agent's state; the rest it sees for itself, off the agent's thread.
pub struct Examination {
    endpoints: usize,
    /// Host devices of endpoints that have none any more.
    lost: Vec<String>,
    /// Devices without the program.
    open: Vec<String>,
    mode: UplinkMode,
    /// What `--uplink` says, and what networks trust.
    named: Vec<String>,
    trusted: Vec<String>,
    /// The host ends of our networks.
    gateways: Vec<String>,
    /// Indexes of the switch's own devices.
    ours: BTreeSet<u32>,
    ipsec: Option<Finding>,
}

/// What was found, but for the host's rules.
pub struct Examined {
    before: Vec<Finding>,
    /// Whom the host's rules would meet.
    firewalled: firewall::Host,
    ipsec: Option<Finding>,
}

impl Examined {
    /// With what other programs say of the host's rules.
    pub async fn findings(self) -> Vec<Finding> {
        let mut findings = self.before;
        findings.push(firewall(&self.firewalled).await);
        findings.extend(self.ipsec);
        findings
    }

    /// The host's rules alone.
    pub async fn firewall(&self) -> Finding {
        firewall(&self.firewalled).await
    }
}

impl Examination {
    /// Looks at what an operator would have to know before it hurts.
    pub fn carry_out(self, kernel: &mut dyn Kernel, roster: &Roster) -> Examined {
        let links = kernel.links();
        let addresses = kernel.addresses();
        let (uplinks, firewalled) = match (&links, &addresses) {
            (Ok(links), Ok(addresses)) => self.uplinks(links, addresses),
            (Err(error), _) | (_, Err(error)) => {
                let message = format!("cannot look at them: {error}");
                (finding("uplinks", false, message), self.firewalled(Vec::new()))
            }
        };
        let before = vec![
            judged_kernel(),
            neighbour_limit(kernel, "ipv4", self.endpoints),
            neighbour_limit(kernel, "ipv6", self.endpoints),
            self.devices(),
            uplinks,
            shaped(roster, &links.unwrap_or_default()),
        ];
        Examined {
            before,
            firewalled,
            ipsec: self.ipsec,
        }
    }

    /// Which devices lead to the world, and which do not, and why.
    fn uplinks(&self, links: &[Link], addresses: &[(String, IpNetwork)]) -> (Finding, firewall::Host) {
        let host = uplink::Host {
            links,
            addresses,
            ours: self.ours.clone(),
            needs_ethernet: self.mode == UplinkMode::Stack,
        };
        let choice = choice(&self.named, self.trusted.iter(), &host);
        let (ok, message) = uplink::describe(&choice, &host);
        let chosen = uplink::choose(&choice, &host).into_iter();
        let names = chosen.map(|uplink| uplink.link.name).collect();
        (finding("uplinks", ok, message), self.firewalled(names))
    }

    fn firewalled(&self, uplinks: Vec<String>) -> firewall::Host {
        firewall::Host {
            stack: self.mode == UplinkMode::Stack,
            gateways: self.gateways.clone(),
            uplinks,
        }
    }

    /// Whether every endpoint and every network has its device, and each device its program.
    fn devices(&self) -> Finding {
        let message = if !self.lost.is_empty() {
            format!("without a device: {}", self.lost.join(", "))
        } else if !self.open.is_empty() {
            format!(
                "without netswitch's program (a restart of the agent puts it back): {}",
                self.open.join(", ")
            )
        } else {
            format!("{} endpoints have their device", self.endpoints)
        };
        finding("devices", self.lost.is_empty() && self.open.is_empty(), message)
    }
}

fn finding(subject: impl Into<String>, ok: bool, message: String) -> Finding {
    Finding {
        subject: subject.into(),
        ok,
        message,
    }
}

/// The kernel's neighbour tables are one for all namespaces. Ours on the host are permanent and
/// do not count; what containers learn of each other does.
fn neighbour_limit(kernel: &mut dyn Kernel, family: &str, endpoints: usize) -> Finding {
    let path = format!("net/{family}/neigh/default/gc_thresh3");
    // only the first namespace shows the limit that binds all of them
    let first = Namespace::Path("/proc/1/ns/net".into());
    let limit = kernel.sysctl(&first, &path).ok();
    let limit = limit.and_then(|text| text.trim().parse::<usize>().ok());
    let limit = limit.unwrap_or(NEIGHBOUR_LIMIT);
    // every container that talks to one neighbour besides its gateway takes an entry
    let message = if endpoints >= limit {
        format!(
            "{endpoints} endpoints share the kernel's limit of {limit} learnt neighbours over all namespaces: \
             beyond it new neighbours fail (\"neighbor table overflow\")\nhint: sysctl -w {}={}",
            path.replace('/', "."),
            (endpoints * 4).next_power_of_two()
        )
    } else {
        format!("{endpoints} endpoints, the kernel allows {limit} learnt neighbours")
    };
    finding(format!("{family} neighbours"), endpoints < limit, message)
}

fn shaped(roster: &Roster, links: &[Link]) -> Finding {
    let members = roster.ports().filter_map(|port| port.member.as_ref());
    let interfaces = members.map(|member| shaping::Interface {
        host_device: &member.host_device,
        name: &member.interface,
        container: &member.container,
    });
    let found = shaping::passed_by(interfaces, links);
    let message = if found.is_empty() {
        "no qdisc on an endpoint's device".to_owned()
    } else {
        found.join("; ") + "\nhint: netswitch update --rate RATE CONTAINER, or a qdisc inside the container"
    };
    finding("shaping", found.is_empty(), message)
}

impl Core {
    pub fn examine(&mut self) -> Examination {
        let networks = self.state.networks.values();
        let bridges = networks.filter_map(|network| network.bridge.as_ref());
        let endpoints = self.state.endpoints.values();
        let devices = endpoints.map(|endpoint| (&endpoint.host_device, endpoint.index));
        let switch_ends = bridges
            .clone()
            .map(|bridge| (&bridge.switch_end, bridge.switch_end_index));
        // where it cannot be told, the log says why
        let attached = self
            .datapath
            .attached(Hook::Endpoint)
            .inspect_err(|error| tracing::warn!(%error));
        let (mut lost, mut open) = (Vec::new(), Vec::new());
        for (device, index) in devices.chain(switch_ends) {
            match (index, &attached) {
                (None, _) => lost.push(device.clone()),
                (Some(index), Ok(attached)) if attached.binary_search(&index).is_err() => open.push(device.clone()),
                (Some(_), _) => {}
            }
        }
        Examination {
            endpoints: self.state.endpoints.len(),
            lost,
            open,
            mode: self.host.mode,
            named: self.host.uplinks.clone(),
            trusted: self.trusted_devices().cloned().collect(),
            gateways: bridges.map(|bridge| bridge.host_end.clone()).collect(),
            ours: self.state.device_indexes().collect(),
            ipsec: self.ipsec_found(),
        }
    }

    pub fn version(&self) -> Response {
        let running = self
            .state
            .containers
            .values()
            .filter(|container| matches!(container.status, Status::Running { .. }))
            .count();
        let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        Response::Version(Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            abi_version: netswitch_common::ABI_VERSION,
            kernel: kernel.unwrap_or_default(),
            pid: std::process::id(),
            containers: self.state.containers.len(),
            running,
            networks: self.state.networks.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::judge_kernel;

    #[test]
    fn a_realtime_kernel_is_a_problem() {
        for (version, realtime, ok) in [
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1 (2025-08-26)", "", true),
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1 (2025-08-26)", "0\n", true),
            ("#1 SMP PREEMPT_RT Debian 6.1.148-1 (2025-08-26)", "1\n", false),
            ("#1 SMP PREEMPT_RT Debian 6.1.148-1 (2025-08-26)", "", false),
            ("#7 SMP made by hand", "1\n", false),
            ("", "", true),
        ] {
            let finding = judge_kernel(version, realtime);
            assert_eq!(finding.ok, ok, "{version}, {realtime:?}: {}", finding.message);
            assert_eq!(finding.message.contains("hint: "), !ok);
        }
    }
}
