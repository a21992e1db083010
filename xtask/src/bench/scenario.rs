//! What is measured: each scenario, its unit, the way its packets take, and whom it compares.

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::peer::{Peer, Site, Way};
use super::series::quantile;
use super::traffic::{CLIENT_CPU, Cpus, server_cpu};
use super::{lifecycle, limits, monitor, policy, program, publication, traffic};
use crate::world::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scenario {
    /// One TCP stream by iperf3, what the receiver got
    TcpStream,
    /// 64-byte datagrams by iperf3, as many as go: what the receiver got
    #[value(name = "udp_64b")]
    Udp64b,
    /// One 64-byte request and its answer at a time: the median
    TcpRr,
    /// `udp_64b` from a container to a machine outside
    #[value(name = "masq_udp_64b")]
    MasqUdp64b,
    /// `tcp_stream` from a container to a machine outside
    MasqTcpStream,
    /// Connections from outside to a published port: request, answer, close
    PublishTcpCrr,
    /// `udp_64b` from outside to a published port
    #[value(name = "publish_udp_64b")]
    PublishUdp64b,
    /// `udp_64b` from outside to the host itself, beside a container with published ports
    HostUntouched,
    /// `tcp_rr` from the host to a port published on 127.0.0.1, client and server on a CPU each
    LocalhostTcpRr,
    /// The same with client and server on one CPU
    LocalhostTcpRrOneCpu,
    /// What a packet of `publish_tcp_crr` costs inside the programs, by how many ports are published
    PublishAtScale,
    /// `publish_tcp_crr` by how many ports are published
    PublishAtScaleTcpCrr,
    /// Time of the command that publishes 1,000 single ports
    #[value(name = "publish_1000_ports")]
    Publish1000Ports,
    /// Time of the command that publishes a range of 10,000 ports
    #[value(name = "publish_10000_port_range")]
    Publish10000PortRange,
    /// What that range adds to the agent's memory
    #[value(name = "publish_10000_port_range_memory")]
    Publish10000PortRangeMemory,
    /// `udp_64b` between neighbours, by how many rules of a policy are about them
    #[value(name = "policy_udp_64b")]
    PolicyUdp64b,
    /// What a packet of one connection after the other costs inside the programs, by how many rules there are
    PolicyAtScale,
    /// Time of the command that puts 10,000 rules in force
    PolicyApply,
    /// The same in the place of 10,000 others
    PolicyReplace,
    /// From the start of the command that removes a rule to the first packet refused of a flow that it had allowed
    PolicyCut,
    /// `udp_64b` between neighbours, with and without a listener
    #[value(name = "monitor_udp_64b")]
    MonitorUdp64b,
    /// 100,000 packets a second between neighbours, each of a flow of its own: what arrives
    MonitorNewFlows,
    /// How far TCP is from `--rate 100mbit`, ten seconds in each direction: the worse one
    RateAccuracy,
    /// Questions of a container for another one's address, 64 under way: answers. A server has a CPU of its own
    DnsQps,
    /// The same with asker and server on one CPU
    DnsQpsOneCpu,
    /// `dns_qps` for a name that a server upstream knows, and that was asked for before
    DnsQpsCached,
    /// From when a question is due to its answer, 10,000 questions a second: the median
    DnsLatencyP50,
    /// What 99 % of those take at most
    DnsLatencyP99,
    /// CPU time of the process that answers and of all eBPF programs under `dns_qps`
    DnsCpu,
    /// 100 `run -d` from 100 processes: from the first to the end of the last
    RunAtOnce,
    /// The same of `rm -f`
    RemoveAtOnce,
    /// A request to attach a namespace, by how many endpoints there are: the median
    Attach,
    /// From the end of the agent to the first answer of the next one
    Restart,
    /// Resident memory of an agent that has just started
    AgentMemory,
    /// What 99 % of the requests for the list of networks take at most under `run_at_once`
    ApiBusy,
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpStream => "tcp_stream",
            Self::Udp64b => "udp_64b",
            Self::TcpRr => "tcp_rr",
            Self::MasqUdp64b => "masq_udp_64b",
            Self::MasqTcpStream => "masq_tcp_stream",
            Self::PublishTcpCrr => "publish_tcp_crr",
            Self::PublishUdp64b => "publish_udp_64b",
            Self::HostUntouched => "host_untouched",
            Self::LocalhostTcpRr => "localhost_tcp_rr",
            Self::LocalhostTcpRrOneCpu => "localhost_tcp_rr_one_cpu",
            Self::PublishAtScale => "publish_at_scale",
            Self::PublishAtScaleTcpCrr => "publish_at_scale_tcp_crr",
            Self::Publish1000Ports => "publish_1000_ports",
            Self::Publish10000PortRange => "publish_10000_port_range",
            Self::Publish10000PortRangeMemory => "publish_10000_port_range_memory",
            Self::PolicyUdp64b => "policy_udp_64b",
            Self::PolicyAtScale => "policy_at_scale",
            Self::PolicyApply => "policy_apply",
            Self::PolicyReplace => "policy_replace",
            Self::PolicyCut => "policy_cut",
            Self::MonitorUdp64b => "monitor_udp_64b",
            Self::MonitorNewFlows => "monitor_new_flows",
            Self::RateAccuracy => "rate_accuracy",
            Self::DnsQps => "dns_qps",
            Self::DnsQpsOneCpu => "dns_qps_one_cpu",
            Self::DnsQpsCached => "dns_qps_cached",
            Self::DnsLatencyP50 => "dns_latency_p50",
            Self::DnsLatencyP99 => "dns_latency_p99",
            Self::DnsCpu => "dns_cpu",
            Self::RunAtOnce => "run_at_once",
            Self::RemoveAtOnce => "remove_at_once",
            Self::Attach => "attach",
            Self::Restart => "restart",
            Self::AgentMemory => "agent_memory",
            Self::ApiBusy => "api_busy",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::TcpStream | Self::MasqTcpStream => "Gbit/s",
            Self::Udp64b
            | Self::MasqUdp64b
            | Self::PublishUdp64b
            | Self::HostUntouched
            | Self::PolicyUdp64b
            | Self::MonitorUdp64b
            | Self::MonitorNewFlows => "packets/s",
            Self::TcpRr
            | Self::LocalhostTcpRr
            | Self::LocalhostTcpRrOneCpu
            | Self::DnsLatencyP50
            | Self::DnsLatencyP99 => "us",
            Self::PublishTcpCrr | Self::PublishAtScaleTcpCrr => "connections/s",
            Self::PublishAtScale | Self::PolicyAtScale => "ns/packet",
            Self::Publish1000Ports
            | Self::Publish10000PortRange
            | Self::PolicyApply
            | Self::PolicyReplace
            | Self::PolicyCut
            | Self::RunAtOnce
            | Self::RemoveAtOnce
            | Self::Attach
            | Self::Restart
            | Self::ApiBusy => "ms",
            Self::AgentMemory => "MiB",
            Self::Publish10000PortRangeMemory => "KiB",
            Self::DnsQps | Self::DnsQpsOneCpu | Self::DnsQpsCached => "answers/s",
            Self::DnsCpu => "ns/answer",
            Self::RateAccuracy => "%",
        }
    }

    pub fn better(self) -> &'static str {
        match self.unit() {
            "us" | "ns/packet" | "ns/answer" | "ms" | "KiB" | "MiB" | "%" => "lower",
            _ => "higher",
        }
    }

    pub fn way(self) -> Way {
        match self {
            Self::TcpStream
            | Self::Udp64b
            | Self::TcpRr
            | Self::PolicyUdp64b
            | Self::PolicyAtScale
            | Self::PolicyApply
            | Self::PolicyReplace
            | Self::PolicyCut
            | Self::MonitorUdp64b
            | Self::MonitorNewFlows
            | Self::RateAccuracy
            | Self::RunAtOnce
            | Self::RemoveAtOnce
            | Self::Attach
            | Self::Restart
            | Self::AgentMemory
            | Self::ApiBusy => Way::Segment,
            Self::MasqUdp64b | Self::MasqTcpStream => Way::Masquerade,
            Self::HostUntouched => Way::Host,
            Self::LocalhostTcpRr | Self::LocalhostTcpRrOneCpu => Way::Localhost,
            Self::PublishTcpCrr
            | Self::PublishUdp64b
            | Self::PublishAtScale
            | Self::PublishAtScaleTcpCrr
            | Self::Publish1000Ports
            | Self::Publish10000PortRange
            | Self::Publish10000PortRangeMemory => Way::Publish,
            Self::DnsQps | Self::DnsQpsOneCpu | Self::DnsLatencyP50 | Self::DnsLatencyP99 | Self::DnsCpu => {
                Way::Resolve
            }
            Self::DnsQpsCached => Way::Forward,
        }
    }

    /// Whom it compares; the first is the one that the others are judged by.
    pub fn peers(self) -> &'static [Peer] {
        use Peer::{
            Bridge, Direct, DirectAgain, DirectBigTcp, Dnsmasq, Docker, DockerProxy, Echo, EchoAgain, Iptables,
            Loopback, LoopbackAgain, Netswitch, Netswitch1Port, Netswitch10Endpoints, Netswitch10Rules,
            Netswitch1000Endpoints, Netswitch1000Ports, Netswitch4000Endpoints, Netswitch10000Ports,
            Netswitch10000Rules, NetswitchAgain, NetswitchAgent, NetswitchBefore, NetswitchBigTcp, NetswitchMonitored,
            NetswitchXdp, Nftables,
        };
        match self {
            // BIG TCP changes the size of segments, so only bulk TCP is measured with it
            Self::TcpStream => &[
                Direct,
                DirectAgain,
                DirectBigTcp,
                Bridge,
                Docker,
                Netswitch,
                NetswitchBigTcp,
            ],
            Self::Udp64b => &[Direct, DirectAgain, Bridge, Docker, Netswitch, NetswitchBefore],
            Self::TcpRr => &[Direct, DirectAgain, Bridge, Docker, Netswitch],
            Self::MasqUdp64b => &[Direct, DirectAgain, Iptables, Netswitch, NetswitchBefore],
            Self::MasqTcpStream => &[Direct, DirectAgain, Iptables, Netswitch],
            Self::PublishTcpCrr => &[Direct, DirectAgain, Iptables, Netswitch, NetswitchXdp],
            Self::PublishUdp64b => &[Direct, DirectAgain, Iptables, Netswitch, NetswitchBefore, NetswitchXdp],
            Self::HostUntouched => &[Direct, DirectAgain, Netswitch, NetswitchBefore],
            Self::LocalhostTcpRr | Self::LocalhostTcpRrOneCpu => &[Loopback, LoopbackAgain, DockerProxy, Netswitch],
            Self::PublishAtScale | Self::PublishAtScaleTcpCrr => {
                &[Netswitch1Port, Netswitch1000Ports, Netswitch10000Ports]
            }
            Self::Publish1000Ports
            | Self::Publish10000PortRange
            | Self::Publish10000PortRangeMemory
            | Self::PolicyApply
            | Self::PolicyReplace
            | Self::RateAccuracy
            | Self::RunAtOnce
            | Self::RemoveAtOnce
            | Self::ApiBusy => &[Netswitch],
            Self::Attach => &[Netswitch10Endpoints, Netswitch1000Endpoints, Netswitch4000Endpoints],
            Self::Restart => &[Netswitch1000Endpoints],
            Self::AgentMemory => &[Netswitch4000Endpoints],
            Self::PolicyUdp64b => &[
                Netswitch,
                NetswitchAgain,
                Netswitch10Rules,
                Netswitch10000Rules,
                Bridge,
                Nftables,
            ],
            Self::PolicyAtScale | Self::PolicyCut => &[Netswitch10Rules, Netswitch10000Rules],
            Self::MonitorUdp64b | Self::MonitorNewFlows => &[Netswitch, NetswitchAgain, NetswitchMonitored],
            Self::DnsQps | Self::DnsQpsOneCpu | Self::DnsLatencyP50 | Self::DnsLatencyP99 | Self::DnsCpu => {
                &[Echo, EchoAgain, Dnsmasq, Netswitch, NetswitchAgent]
            }
            // what others know is the agent's to answer in any case
            Self::DnsQpsCached => &[Echo, EchoAgain, Dnsmasq, Netswitch],
        }
    }

    pub fn measure(self, site: &mut Site) -> Result<f64> {
        let peer = site.peer;
        let figure = match self {
            Self::TcpStream | Self::MasqTcpStream => traffic::tcp_stream(&site.route()),
            Self::Udp64b | Self::MasqUdp64b | Self::PublishUdp64b | Self::HostUntouched | Self::PolicyUdp64b => {
                traffic::udp_64b(&site.route())
            }
            Self::TcpRr | Self::LocalhostTcpRr => traffic::tcp_rr(&site.route(), Cpus::two()),
            Self::LocalhostTcpRrOneCpu => traffic::tcp_rr(&site.route(), Cpus::one()),
            Self::PublishTcpCrr | Self::PublishAtScaleTcpCrr => traffic::tcp_crr(&site.route()),
            Self::PublishAtScale | Self::PolicyAtScale => {
                program::average(site.loader()?, || traffic::tcp_crr(&site.route()).map(drop))
            }
            Self::Publish1000Ports => publication::milliseconds(site.agent()?, &publication::thousand_singles()),
            Self::Publish10000PortRange => publication::milliseconds(site.agent()?, &publication::long_range()),
            Self::Publish10000PortRangeMemory => publication::kibibytes(site.agent()?, &publication::long_range()),
            Self::PolicyApply => policy::first(site.agent()?, 10_000),
            Self::PolicyReplace => policy::replacing(site.agent()?, 10_000),
            Self::PolicyCut => policy::cut(site),
            Self::MonitorUdp64b => monitor::beside(site, traffic::udp_64b),
            Self::MonitorNewFlows => monitor::beside(site, monitor::new_flows),
            Self::RateAccuracy => limits::deviation(site),
            Self::DnsQps | Self::DnsQpsCached => site.subject().ask_for_a_while(CLIENT_CPU).map(|(_, rate)| rate),
            Self::DnsQpsOneCpu => site.subject().ask_for_a_while(server_cpu()).map(|(_, rate)| rate),
            Self::DnsLatencyP50 => site.subject().delays().map(|delays| quantile(&delays, 0.5)),
            Self::DnsLatencyP99 => site.subject().delays().map(|delays| quantile(&delays, 0.99)),
            Self::DnsCpu => cpu_per_answer(site),
            Self::RunAtOnce => lifecycle::run_at_once(site.agent()?),
            Self::RemoveAtOnce => lifecycle::remove_at_once(site.agent()?),
            Self::Attach => site.crowd().and_then(|(agent, crowd)| lifecycle::attach(agent, crowd)),
            Self::Restart => lifecycle::restart(site.agent()?),
            Self::AgentMemory => lifecycle::memory(site.agent()?),
            Self::ApiBusy => lifecycle::busy(site.agent()?),
        };
        figure.with_context(|| format!("{} on {}", self.name(), peer.name()))
    }
}

/// Nanoseconds.
fn cpu_per_answer(site: &Site) -> Result<f64> {
    let used = || site.answering().map_or(Ok(0.0), process::cpu_nanoseconds);
    let (before, mut answers) = (used()?, 0.0);
    let programs = program::total(site.loader()?, || {
        answers = site.subject().ask_for_a_while(CLIENT_CPU)?.0;
        Ok(())
    })?;
    Ok((used()? - before + programs) / answers)
}
