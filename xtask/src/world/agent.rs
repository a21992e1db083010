//! A netswitch agent in a namespace of its own, with folders of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::namespace::Namespace;
use super::process::{self, Background};

/// With an agent that was asked to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Agent {
    binary: PathBuf,
    host: Namespace,
    directory: PathBuf,
    bpffs: PathBuf,
    /// Further arguments.
    options: Vec<&'static str>,
    /// The only CPU that it may use.
    cpu: Option<usize>,
    /// The host's, before the agent came.
    links: BTreeSet<String>,
    process: Option<Background>,
}

impl Agent {
    /// Starts in `host` and waits until it serves. `directory` keeps its state and its log.
    pub fn start(
        binary: &Path,
        host: Namespace,
        directory: &Path,
        name: &str,
        options: &[&'static str],
        cpu: Option<usize>,
    ) -> Result<Self> {
        let links = links(&host)?;
        let mut agent = Self {
            links,
            binary: binary.into(),
            host,
            directory: directory.into(),
            bpffs: format!("/sys/fs/bpf/netswitch-{name}-{}", std::process::id()).into(),
            options: options.into(),
            cpu,
            process: None,
        };
        agent.run()?;
        Ok(agent)
    }

    /// Another process on the same state.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.run()
    }

    /// Ends the agent; what it made stays.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(PATIENCE);
        }
    }

    pub fn id(&self) -> Result<u32> {
        self.process.as_ref().map(Background::id).context("no agent runs")
    }

    /// Starts it on the same state.
    pub fn run(&mut self) -> Result<()> {
        let log = File::create(self.log()).context("create the agent's log")?;
        let mut command = self.agent_command();
        command.args(&self.options).stdout(log.try_clone()?).stderr(log);
        if let Some(cpu) = self.cpu {
            process::pin(&mut command, cpu)?;
        }
        self.process = Some(Background::start(&mut command)?);
        self.wait_until_it_serves()
    }

    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// `netswitch …` as a user of this host would run it.
    pub fn netswitch(&self) -> Command {
        let mut command = self.host.command(&self.binary);
        command.env("NETSWITCH_SOCKET", self.socket());
        command
    }

    /// Ends the agent, purges what it made, and looks whether that was everything.
    pub fn finish(mut self) -> Result<()> {
        self.purge()?;
        for left in [&self.bpffs, &self.directory.join("state"), &self.directory.join("run")] {
            ensure!(!left.exists(), "{} is still there after agent --purge", left.display());
        }
        let links = links(&self.host)?;
        let left: Vec<&String> = links.difference(&self.links).collect();
        ensure!(left.is_empty(), "links are still there after agent --purge: {left:?}");
        Ok(())
    }

    fn agent_command(&self) -> Command {
        let mut command = self.host.command(&self.binary);
        command
            .arg("agent")
            .arg("--state-dir")
            .arg(self.directory.join("state"))
            .arg("--run-dir")
            .arg(self.directory.join("run"))
            .arg("--bpffs")
            .arg(&self.bpffs);
        command
    }

    fn log(&self) -> PathBuf {
        self.directory.join("agent.log")
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("run/api.sock")
    }

    fn wait_until_it_serves(&mut self) -> Result<()> {
        let (log, socket) = (self.log(), self.socket());
        let Some(process) = self.process.as_mut() else {
            bail!("the agent was not started");
        };
        process::poll("the agent serves", Duration::from_secs(20), || {
            if let Some(status) = process.ended()? {
                bail!(
                    "the agent ended with {status}:\n{}",
                    fs::read_to_string(&log).unwrap_or_default()
                );
            }
            Ok(UnixStream::connect(&socket).is_ok())
        })
    }

    fn purge(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.stop(PATIENCE);
        process::check(self.agent_command().arg("--purge")).map(drop)
    }
}

/// Names of the devices of a namespace.
fn links(namespace: &Namespace) -> Result<BTreeSet<String>> {
    let list = namespace.ip("-brief link")?;
    let name = |line: &str| line.split(['@', ' ']).next().map(str::to_owned);
    Ok(list.lines().filter_map(name).collect())
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Err(error) = self.purge() {
            eprintln!("clean-up failed: {error:#}");
        }
    }
}
