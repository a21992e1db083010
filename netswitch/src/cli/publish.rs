//! `netswitch publish`, `unpublish` and `port`: ports of a container that is there.

use std::fmt::Write as _;

use clap::Args;

use super::failure::Failure;
use super::print;
use crate::api::{PublishedPorts, Request, Response};
use crate::client::Client;
use crate::model::natural_order;
use crate::model::publish::{Protocol, parse};

/// Publish more of a container's ports to the host
#[derive(Debug, Args)]
pub struct Publish {
    #[arg(value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<String>,
}

/// Take published ports of a container back
#[derive(Debug, Args)]
pub struct Unpublish {
    #[arg(value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<String>,
}

/// List port mappings or a specific mapping for the container
#[derive(Debug, Args)]
pub struct Port {
    #[arg(value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

impl Publish {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let (container, specs) = (self.container, read(self.specs)?);
        client.ask(&Request::Publish { container, specs })?;
        Ok(())
    }
}

impl Unpublish {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let (container, specs) = (self.container, read(self.specs)?);
        client.ask(&Request::Unpublish { container, specs })?;
        Ok(())
    }
}

/// What cannot be read is refused before the agent is asked.
fn read(specs: Vec<String>) -> Result<Vec<String>, Failure> {
    for spec in &specs {
        parse::binding(spec).map_err(|error| Failure::new(error.message))?;
    }
    Ok(specs)
}

impl Port {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let container = self.container.clone();
        let Response::Ports(ports) = client.ask(&Request::ContainerPorts { container })? else {
            return Err(Failure::unexpected());
        };
        print::text(&render(&ports, self.port.as_deref(), &self.container)?);
        Ok(())
    }
}

fn render(ports: &[PublishedPorts], wanted: Option<&str>, container: &str) -> Result<String, Failure> {
    let mut lines: Vec<(u16, Protocol, String)> = Vec::new();
    for ports in ports.iter().filter(|ports| ports.host.is_some()) {
        for port in ports.first..=ports.last {
            let host_port = ports.host_first.map_or(port, |first| first + (port - ports.first));
            lines.push((port, ports.protocol, format!("{}:{host_port}", ports.host_text())));
        }
    }
    let Some(wanted) = wanted else {
        let line = |(port, protocol, host): &(u16, Protocol, String)| format!("{port}/{protocol} -> {host}\n");
        let mut lines: Vec<String> = lines.iter().map(line).collect();
        lines.sort_by(|a, b| natural_order::compare(a, b));
        return Ok(lines.concat());
    };
    let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let mut found = String::new();
    for (number, name, host) in &lines {
        if number.to_string() == port && name.name() == protocol {
            let _ = writeln!(found, "{host}");
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!(
            "Error: No public port '{port}/{protocol}' published for {container}"
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed_as_docker_lists_them() {
        let published = |host: &str| PublishedPorts {
            host: host.parse().ok(),
            host_first: Some(49155),
            first: 8080,
            last: 8081,
            protocol: Protocol::Tcp,
        };
        let ports = [published("0.0.0.0"), published("::"), published("")];
        let list = |wanted| render(&ports, wanted, "web").map_err(|failure| failure.message);
        assert_eq!(
            list(None).unwrap(),
            "8080/tcp -> 0.0.0.0:49155\n8080/tcp -> :::49155\n8081/tcp -> 0.0.0.0:49156\n8081/tcp -> :::49156\n"
        );
        assert_eq!(list(Some("8080")).unwrap(), "0.0.0.0:49155\n:::49155\n");
        assert_eq!(
            list(Some("8080/udp")).unwrap_err(),
            "Error: No public port '8080/udp' published for web"
        );
    }
}
