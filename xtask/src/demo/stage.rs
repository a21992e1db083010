//! Where the demo happens: a host with one network card, a machine at the card's other end, and an
//! agent on the host; and how a step runs a command there and says what it saw.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::screen::{Screen, plain};
use crate::progress::Step;
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background, Output};
use crate::world::{Directory, link};

/// The host's address: the tutorial's own, which lies inside the subnet that it chooses later.
pub const HOST: &str = "192.168.56.99";

/// The machine at the other end of the host's network card.
pub const LAN: &str = "192.168.56.1";

/// Lines of output that a step shows if it does not say otherwise.
const USUAL: usize = 16;

pub struct Stage {
    pub screen: Screen,
    // in the order of their end: the agent purges while its host and its folder are still there
    agent: Agent,
    lan: Namespace,
    directory: Directory,
}

impl Stage {
    pub fn new(binary: &Path) -> Result<Self> {
        let (host, lan) = (Namespace::new()?, Namespace::new()?);
        link::veth((&host, "enp0s3"), (&lan, "eth0"))?;
        link::add_address(&host, "enp0s3", HOST.parse()?, 24)?;
        link::add_address(&lan, "eth0", LAN.parse()?, 24)?;
        host.ip(&format!("route add default via {LAN}"))?;
        let directory = Directory::new("demo")?;
        let agent = Agent::start(binary, host, directory.path(), "demo", &[], None)?;
        Ok(Self {
            screen: Screen::new(),
            agent,
            lan,
            directory,
        })
    }

    /// For files that a step mounts into containers.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `line` as a user on the host would, shows both, and fails when the command does.
    pub fn show(&mut self, line: &str) -> Result<String> {
        self.show_lines(line, USUAL)
    }

    /// As [`Self::show`], with at most `most` lines of output.
    pub fn show_lines(&mut self, line: &str, most: usize) -> Result<String> {
        self.screen.command(line);
        let output = self.run(line, "")?;
        self.shown(line, &output, most)
    }

    /// As [`Self::show`], as a user of the machine at the other end of the LAN.
    pub fn show_on_lan(&mut self, line: &str) -> Result<String> {
        self.screen.command_on("lan", line);
        let output = process::output(&mut self.command_on_lan(line)?, "")?;
        self.shown(line, &output, USUAL)
    }

    /// As [`Self::show`], with `input` on standard input.
    pub fn show_with_input(&mut self, input: &str, line: &str, most: usize) -> Result<String> {
        self.screen.command(&format!("echo '{input}' | {line}"));
        let output = self.run(line, &format!("{input}\n"))?;
        self.shown(line, &output, most)
    }

    /// As [`Self::show_with_input`], for a command that takes a while: `progress` says what goes on.
    pub fn show_slowly(&mut self, progress: &str, input: &str, line: &str, most: usize) -> Result<String> {
        self.screen.command(&format!("echo '{input}' | {line}"));
        let step = Step::start(progress);
        let output = self.run(line, &format!("{input}\n"));
        step.end(if output.as_ref().is_ok_and(|output| output.status.success()) {
            "done"
        } else {
            "failed"
        });
        self.shown(line, &output?, most)
    }

    /// As [`Self::show`], for a command that must fail.
    pub fn show_failing(&mut self, line: &str) -> Result<String> {
        self.screen.command(line);
        let output = self.run(line, "")?;
        let text = text(&output);
        self.screen.output(&text, USUAL);
        ensure!(!output.status.success(), "`{line}` succeeds and must not");
        Ok(text)
    }

    /// Runs a command that is not part of the tour.
    pub fn ask(&self, line: &str) -> Result<String> {
        let output = self.run(line, "")?;
        let text = text(&output);
        ensure!(output.status.success(), "`{line}`: {}\n{text}", output.status);
        Ok(text)
    }

    /// The first object of a command that answers with a JSON list.
    pub fn ask_json(&self, line: &str) -> Result<Value> {
        first(&self.ask(line)?)
    }

    /// A server on the machine at the other end of the LAN.
    pub fn serve_on_lan(&mut self, line: &str) -> Result<Background> {
        self.screen.command_on("lan", &format!("{line} &"));
        let mut command = self.command_on_lan(line)?;
        Background::start(command.current_dir(self.directory()).stdout(Stdio::null()))
    }

    /// Fails unless the host and the machine at the other end of the LAN both can connect to the host's `port`.
    pub fn reaches(&self, port: u16) -> Result<()> {
        let address = SocketAddr::new(HOST.parse()?, port);
        for (who, from) in [("the host", self.agent.host()), ("the LAN", &self.lan)] {
            from.inside(|| Ok(TcpStream::connect_timeout(&address, Duration::from_secs(3))?))
                .with_context(|| format!("port {port} from {who}"))?;
        }
        Ok(())
    }

    /// What the step before must have shown.
    pub fn prove(&self, holds: bool, what: &str) -> Result<()> {
        if !holds {
            bail!("this does not hold: {what}");
        }
        self.screen.proven(what);
        Ok(())
    }

    /// A command on the host, netswitch included.
    pub fn command(&self, line: &str) -> Result<Command> {
        let mut words = line.split_whitespace();
        let program = words.next().context("an empty command")?;
        let mut command = if program == "netswitch" {
            self.agent.netswitch()
        } else {
            self.agent.host().command(program)
        };
        command.args(words);
        Ok(command)
    }

    fn command_on_lan(&self, line: &str) -> Result<Command> {
        let mut words = line.split_whitespace();
        let mut command = self.lan.command(words.next().context("an empty command")?);
        command.args(words);
        Ok(command)
    }

    pub fn break_off(&self) {
        self.screen.broken("the demo stops here and cleans up");
    }

    /// Takes everything down and looks whether it is gone.
    pub fn finish(mut self) -> Result<()> {
        self.screen.heading("Clean up", "");
        let processes = self.container_processes()?;
        self.agent.finish()?;
        process::poll("the containers' processes end", Duration::from_secs(5), || {
            Ok(processes.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists()))
        })?;
        self.screen
            .proven("no container, device, eBPF program or file of the demo is left");
        Ok(())
    }

    fn container_processes(&self) -> Result<Vec<u64>> {
        let running = self.ask("netswitch ps --quiet")?;
        running
            .split_whitespace()
            .map(|id| {
                let container = self.ask_json(&format!("netswitch inspect {id}"))?;
                container["State"]["Pid"]
                    .as_u64()
                    .with_context(|| format!("container {id} has no process"))
            })
            .collect()
    }

    fn run(&self, line: &str, input: &str) -> Result<Output> {
        process::output(&mut self.command(line)?, input)
    }

    fn shown(&self, line: &str, output: &Output, most: usize) -> Result<String> {
        let text = text(output);
        if !output.status.success() {
            self.screen.output(&text, usize::MAX - 1);
            bail!("`{line}`: {}", output.status);
        }
        self.screen.output(&text, most);
        Ok(text)
    }
}

/// The first object of a JSON list, as `inspect` answers.
pub fn first(text: &str) -> Result<Value> {
    let Value::Array(list) = serde_json::from_str(text).context("inspect did not answer in JSON")? else {
        bail!("inspect did not answer with a list");
    };
    list.into_iter().next().context("inspect answered with an empty list")
}

fn text(output: &Output) -> String {
    plain(&(output.stdout.clone() + &output.stderr))
}
