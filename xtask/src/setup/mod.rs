//! `cargo xtask setup`, and the part of it that each other command needs: looks at what is there, installs what is
//! missing, and says so before it does.

mod apt;
mod docker;
mod ebpf;
mod host;
mod machine;
pub(crate) mod programs;

use anyhow::Result;
use clap::ValueEnum as _;

pub(crate) use self::docker::{client as docker_client, engine as docker_engine, proxy as docker_proxy};
pub(crate) use self::machine::{Machine, machine, why_not as why_no_machine};

/// What a command needs on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Need {
    /// A compiler for BPF and bpf-linker
    Ebpf,
    /// To run an agent: root, a kernel that is new enough, and bpffs
    Host,
    /// The shell, and what its lines start
    Shell,
    /// `redis-server` and `redis-cli`
    Redis,
    /// `ip`, `ping` and `iperf3`
    Traffic,
    /// What tests look at packets, devices and the host with: `tcpdump`, `ethtool`, `nft`, `iptables-save`
    Inspect,
    /// What tests ask for names with, and whom: `dig`, `busybox`, `dnsmasq`, two C compilers
    Names,
    /// The peers that the benchmark measures against: iptables, as Docker uses it, and dnsmasq
    Rivals,
    /// Debian's docker command line, unpacked and never installed
    DockerClient,
    /// Debian's docker-proxy, unpacked and never installed
    DockerProxy,
    /// qemu and Debian's 6.1 kernel, unpacked and never installed
    Vm,
    /// A C++ compiler, for libFuzzer
    Fuzz,
    /// cargo-deny, and clippy for the eBPF programs
    Check,
}

impl Need {
    /// What apt has to install.
    fn missing_packages(self) -> Vec<&'static str> {
        match self {
            Self::Ebpf => ebpf::missing_packages().to_vec(),
            Self::Fuzz => vec!["g++"],
            Self::Check => ebpf::lint_package().to_vec(),
            _ => programs::missing_packages(self).collect(),
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also what the demo, the tests, the checks and the benchmark need
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.all {
        ensure(Need::value_variants())?;
    } else {
        ensure(&[Need::Ebpf])?;
    }
    println!("ready");
    Ok(())
}

/// Installs what of `needs` is missing; silent when nothing is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    if needs.contains(&Need::Host) {
        host::check()?;
    }
    let packages: Vec<_> = needs.iter().flat_map(|need| need.missing_packages()).collect();
    apt::install(&packages)?;
    for need in needs {
        match need {
            Need::Ebpf => ebpf::prepare()?,
            Need::Host => host::mount_bpffs()?,
            Need::DockerClient => drop(docker_client()?),
            Need::DockerProxy => drop(docker_proxy()?),
            Need::Vm => drop(machine()?),
            Need::Check => ebpf::install_deny()?,
            Need::Shell | Need::Redis | Need::Traffic | Need::Inspect | Need::Names | Need::Rivals | Need::Fuzz => {}
        }
    }
    Ok(())
}
