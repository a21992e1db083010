//! `netswitch run`: a program in a container of its own.

use std::path::PathBuf;

use clap::Args;

use super::failure::{self, Failure};
use super::{options, print, update::Limits};
use crate::api::{ContainerCreate, Request, Response, WaitCondition};
use crate::client::Client;
use crate::model::{container, endpoint::Settings, parse, publish};
use crate::shim;

/// Run a command in a new container
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of Docker's")]
pub struct Run {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = options::extra_host)]
    add_host: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = options::name_server)]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = options::search_domain)]
    dns_search: Vec<String>,
    /// Names and networks that the container may speak to (e.g., 'api.example.com:443,*.example.org,10.0.0.0/8')
    #[arg(long, value_name = "list", value_parser = options::egress)]
    egress: Vec<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = options::variable)]
    env: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    expose: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string", default_value = "")]
    hostname: String,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", default_value = "")]
    ip: String,
    #[arg(
        long,
        help = "IPv6 address (e.g., 2001:db8::33)",
        value_name = "string",
        default_value = ""
    )]
    ip6: String,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = options::label)]
    label: Vec<(String, String)>,
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "list")]
    link_local_ip: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    openings: options::Openings,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", default_value = "")]
    mac_address: String,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = container::resources::memory, default_value = "0")]
    memory: u64,
    /// Assign a name to the container
    #[arg(long, value_name = "string", default_value = "")]
    name: String,
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "network")]
    network: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    network_alias: Vec<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(
        long,
        value_name = "int",
        value_parser = options::integer,
        default_value = "0",
        allow_negative_numbers = true
    )]
    pids_limit: i64,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "")]
    user: String,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    volume: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,
    /// The first of these ends the options; a `--` before it is not part of the command.
    #[arg(value_name = "COMMAND [ARG...]", required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

impl Run {
    pub fn request(self) -> Result<Request, String> {
        let daemon = |error| format!("Error response from daemon: {error}");
        // What is asked of "the" network is asked of the first, as in Docker.
        let first = Settings {
            ip: parse::ipv4(&self.ip).map_err(daemon)?,
            ip6: parse::ipv6(&self.ip6).map_err(daemon)?,
            mac: parse::mac(&self.mac_address).map_err(|error| error.message)?,
            aliases: self.network_alias,
            driver_options: self.openings.options(),
            link_local_ips: parse::link_local(&self.link_local_ip).map_err(daemon)?,
            ..Settings::default()
        };
        for spec in &self.publish {
            publish::parse::binding(spec).map_err(|error| error.message)?;
        }
        let mut names = self.network;
        if names.is_empty() {
            names.push(String::new());
        }
        if let Some((_, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("network {name:?} is specified multiple times"));
        }
        let settings = std::iter::once(first).chain(std::iter::repeat_with(Settings::default));
        Ok(Request::ContainerCreate(Box::new(ContainerCreate {
            name: self.name,
            command: self.command,
            networks: names.into_iter().zip(settings).collect(),
            hostname: self.hostname,
            environment: options::variables(self.env),
            directory: self.workdir,
            user: self.user,
            terminal: self.tty,
            interactive: self.interactive,
            binds: self.volume,
            extra_hosts: self.add_host,
            dns: self.dns,
            dns_search: self.dns_search,
            dns_options: self.dns_option,
            egress: self.egress,
            links: self.link,
            expose: self.expose,
            publish: self.publish,
            publish_all: self.publish_all,
            limits: self.limits.change(),
            memory: self.memory,
            pids_limit: self.pids_limit,
            labels: options::map(self.label),
            remove: self.rm,
        })))
    }

    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let (detach, terminal, interactive) = (self.detach, self.tty, self.interactive);
        let request = self.request().map_err(|error| refused(&error, true))?;
        if !detach {
            options::check_terminal(interactive, terminal)?;
        }
        let created = client
            .ask(&request)
            .map_err(|error| refused(&error.to_string(), true))?;
        let Response::Created { id, warnings } = created else {
            return Err(Failure::unexpected());
        };
        print::warnings(&warnings);
        let started = client.ask(&Request::ContainerStart {
            container: id.clone(),
            wait_for_attach: !detach,
        });
        if detach {
            // Docker prints the id while the container starts, whether or not it does.
            print::line(&id);
        }
        started.map_err(|error| refused(&error.to_string(), false))?;
        if detach {
            Ok(())
        } else {
            attach(client, &id, interactive)
        }
    }
}

/// Joins a container that waits for it, until its process ends.
pub fn attach(client: &Client, container: &str, interactive: bool) -> Result<(), Failure> {
    let (socket, terminal) = find_shim(client, container)?;
    let outcome = shim::client::attach(&socket, terminal, interactive);
    settle(client, container);
    join(outcome)
}

/// Waits until the agent knows, too, that the process has ended, so that what the user types next
/// finds the container stopped, or gone if it was run with `--rm`.
fn settle(client: &Client, container: &str) {
    let request = Request::ContainerWait {
        container: container.to_owned(),
        condition: WaitCondition::NotRunning,
    };
    // one that has gone has ended, and an agent that goes tells nobody
    let _ = client.ask(&request);
}

/// The socket of a container's shim, and whether the container has a terminal.
pub fn find_shim(client: &Client, container: &str) -> Result<(PathBuf, bool), Failure> {
    let container = container.to_owned();
    let Response::Shim { socket, terminal } = client.ask(&Request::ContainerExec { container })? else {
        return Err(Failure::unexpected());
    };
    Ok((socket, terminal))
}

fn join(outcome: Result<i32, shim::Error>) -> Result<(), Failure> {
    match outcome {
        Ok(exit_code) => failure::process(exit_code),
        Err(shim::Error::Failed { exit_code, message }) => {
            print::complain(&refused(&format!("Error response from daemon: {message}"), false).message);
            failure::process(exit_code)
        }
        Err(error) => Err(refused(&error.to_string(), false)),
    }
}

/// Docker's text and status for a container that did not come to run.
fn refused(message: &str, with_hint: bool) -> Failure {
    let hint = if with_hint { "\nSee 'netswitch run --help'." } else { "" };
    let status = if ["executable file not found", "no such file or directory"]
        .iter()
        .any(|cause| message.contains(cause))
    {
        127
    } else if message.contains("permission denied") && !message.contains("netswitch agent") {
        126
    } else {
        125
    };
    Failure {
        message: format!("netswitch: {}.{hint}", message.trim_end_matches('.')),
        status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_does_not_run_ends_with_dockers_status() {
        let rows = [
            ("Error response from daemon: invalid IPv4 address: x", true, 125),
            (
                "exec: \"nothing\": executable file not found in $PATH: unknown",
                false,
                127,
            ),
            ("exec: \"/etc/passwd\": permission denied: unknown", false, 126),
        ];
        for (message, with_hint, status) in rows {
            let failure = refused(message, with_hint);
            assert_eq!(failure.status, status);
            let hint = if with_hint { "\nSee 'netswitch run --help'." } else { "" };
            assert_eq!(failure.message, format!("netswitch: {message}.{hint}"));
        }
    }
}
