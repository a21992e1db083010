//! `cargo xtask build-and-load`: the agent for real use on this host.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, Need};
use crate::{build, command};

/// The agent's socket where `netswitch` looks for it by default.
const SOCKET: &str = "/run/netswitch/api.sock";

/// Loading the programs takes tens of milliseconds; a slow machine may need seconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the agent running in the background
    #[arg(long)]
    detach: bool,
    /// Passed on to `netswitch agent`
    #[arg(last = true)]
    agent: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Host])?;
    let netswitch = build::netswitch(true)?;
    let mut agent = command::as_root(&netswitch);
    agent.arg("agent").args(&arguments.agent);
    if !arguments.detach {
        println!("starting the agent; Ctrl-C stops it, and what it switches goes on");
        next_commands(&netswitch);
        return Err(agent.exec()).context("start the agent");
    }
    let log = crate::place::target().join("agent.log");
    let output = File::create(&log).with_context(|| log.display().to_string())?;
    let child = agent
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0) // a Ctrl-C in this terminal is not meant for it
        .spawn()
        .context("start the agent")?;
    let pid = child.id();
    answers(child, &log)?;
    println!("agent running (pid {pid}), log in {}", log.display());
    next_commands(&netswitch);
    Ok(())
}

/// Waits until the agent takes requests; fails with the agent's words when it ends before.
fn answers(mut child: Child, log: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            let words = fs::read_to_string(log).unwrap_or_default();
            bail!("the agent ended with {status}\n{}", words.trim_end());
        }
        // its own ready line, too: another agent may be what answers on the socket
        let ready = fs::read_to_string(log).is_ok_and(|words| words.contains("ready"));
        if ready && (UnixStream::connect(SOCKET).is_ok() || !nix::unistd::geteuid().is_root()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the agent does not answer on {SOCKET}; its log is {}", log.display());
        }
        sleep(Duration::from_millis(20));
    }
}

fn next_commands(netswitch: &Path) {
    let sudo = if nix::unistd::geteuid().is_root() { "" } else { "sudo " };
    println!("try, in another terminal:");
    for line in [
        "network ls",
        "run -d --name one -- sleep 1000",
        "run --rm -- ping -c 3 172.17.0.2",
        "rm -f one",
    ] {
        println!("  {sudo}{} {line}", netswitch.display());
    }
}
