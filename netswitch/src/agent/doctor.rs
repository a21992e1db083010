//! Questions about the switch as a whole: health, version.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::core::Core;
use crate::api::{Finding, Response, UplinkMode, Version};
use crate::datapath::Hook;
use crate::kernel::Namespace;
use crate::model::{container::Status, firewall, shaping};

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
pub async fn firewall(host: &firewall::Host) -> Finding {
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
    Finding {
        subject: "firewall".to_owned(),
        ok: found.is_empty(),
        message: if found.is_empty() {
            "no rules in the way".to_owned()
        } else {
            found.join("; ") + hint
        },
    }
}

fn kernel() -> Finding {
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

impl Core {
    /// What an operator would have to know before it hurts, as far as no other program is asked for it: whom the
    /// host's rules would meet, what was found before them, and behind.
    pub fn examine(&mut self) -> (firewall::Host, Vec<Finding>, Option<Finding>) {
        let findings = vec![
            kernel(),
            self.neighbour_limit("ipv4"),
            self.neighbour_limit("ipv6"),
            self.devices(),
            self.uplinks_found(),
            self.shaping(),
        ];
        (self.firewalled(), findings, self.ipsec_found())
    }

    /// Whom the host's rules would meet.
    pub fn firewalled(&mut self) -> firewall::Host {
        let bridges = self
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.as_ref());
        let gateways = bridges.map(|bridge| bridge.host_end.clone()).collect();
        let addresses = self.kernel.addresses().unwrap_or_default();
        let uplinks = self.uplinks(&addresses).unwrap_or_default();
        firewall::Host {
            stack: self.host.mode == UplinkMode::Stack,
            gateways,
            uplinks: uplinks.into_iter().map(|uplink| uplink.link.name).collect(),
        }
    }

    /// The kernel's neighbour tables are one for all namespaces. Ours on the host are permanent and
    /// do not count; what containers learn of each other does.
    fn neighbour_limit(&mut self, family: &str) -> Finding {
        let subject = format!("{family} neighbours");
        let path = format!("net/{family}/neigh/default/gc_thresh3");
        // only the first namespace shows the limit that binds all of them
        let first = Namespace::Path("/proc/1/ns/net".into());
        let limit = self
            .kernel
            .sysctl(&first, &path)
            .ok()
            .and_then(|text| text.trim().parse::<usize>().ok());
        let limit = limit.unwrap_or(NEIGHBOUR_LIMIT);
        let running = self.state.endpoints.len();
        // every container that talks to one neighbour besides its gateway takes an entry
        if running >= limit {
            Finding {
                subject,
                ok: false,
                message: format!(
                    "{running} endpoints share the kernel's limit of {limit} learnt neighbours over all namespaces: \
                     beyond it new neighbours fail (\"neighbor table overflow\")\nhint: sysctl -w {}={}",
                    path.replace('/', "."),
                    (running * 4).next_power_of_two()
                ),
            }
        } else {
            Finding {
                subject,
                ok: true,
                message: format!("{running} endpoints, the kernel allows {limit} learnt neighbours"),
            }
        }
    }

    fn shaping(&mut self) -> Finding {
        let links = self.kernel.links().unwrap_or_default();
        let found = shaping::passed_by(&self.state, &links);
        Finding {
            subject: "shaping".to_owned(),
            ok: found.is_empty(),
            message: if found.is_empty() {
                "no qdisc on an endpoint's device".to_owned()
            } else {
                found.join("; ") + "\nhint: netswitch update --rate RATE CONTAINER, or a qdisc inside the container"
            },
        }
    }

    /// Which devices lead to the world, and which do not, and why.
    fn uplinks_found(&mut self) -> Finding {
        let (ok, message) = self
            .describe_uplinks()
            .unwrap_or_else(|error| (false, format!("cannot look at them: {error}")));
        Finding {
            subject: "uplinks".to_owned(),
            ok,
            message,
        }
    }

    /// Whether every endpoint and every network has its device, and each device its program.
    fn devices(&mut self) -> Finding {
        let (ok, message) = match self.datapath.attached(Hook::Endpoint) {
            Ok(attached) => self.describe_devices(&attached),
            Err(error) => (false, format!("cannot look at them: {error}")),
        };
        Finding {
            subject: "devices".to_owned(),
            ok,
            message,
        }
    }

    fn describe_devices(&self, attached: &[u32]) -> (bool, String) {
        let endpoints = self.state.endpoints.values();
        let endpoints = endpoints.map(|endpoint| (endpoint.host_device.as_str(), endpoint.index));
        let bridges = self
            .state
            .networks
            .values()
            .filter_map(|network| network.bridge.as_ref());
        let switch_ends = bridges.map(|bridge| (bridge.switch_end.as_str(), bridge.switch_end_index));
        let (mut lost, mut open) = (Vec::new(), Vec::new());
        for (device, index) in endpoints.chain(switch_ends) {
            match index {
                None => lost.push(device),
                Some(index) if attached.binary_search(&index).is_err() => open.push(device),
                Some(_) => {}
            }
        }
        if !lost.is_empty() {
            (false, format!("without a device: {}", lost.join(", ")))
        } else if !open.is_empty() {
            let open = open.join(", ");
            (
                false,
                format!("without netswitch's program (a restart of the agent puts it back): {open}"),
            )
        } else {
            (
                true,
                format!("{} endpoints have their device", self.state.endpoints.len()),
            )
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
