//! A container's ports as `ps`, `port` and `inspect` show them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Binding, Protocol, parse::range, settle::exposed};
use crate::{api::PublishedPorts, model::container::Container, model::state::State};

/// What a running container publishes and exposes; ranges in one.
pub fn ports(state: &State, container: &Container) -> Vec<PublishedPorts> {
    if !container.is_running() {
        return Vec::new();
    }
    let mut ports = Vec::new();
    for endpoint in state.endpoints_of_container(&container.id) {
        for publication in &endpoint.publications {
            let routed = endpoint.has_address(publication.host);
            let host = match publication.host {
                std::net::IpAddr::V4(_) if routed => std::net::Ipv4Addr::UNSPECIFIED.into(),
                std::net::IpAddr::V6(_) if routed => std::net::Ipv6Addr::UNSPECIFIED.into(),
                host => host,
            };
            ports.push(PublishedPorts {
                host: Some(host),
                host_first: (!routed).then_some(publication.first),
                first: publication.container_first,
                last: publication.container_first + (publication.last - publication.first),
                protocol: publication.protocol,
            });
        }
    }
    let published = |(protocol, port): &(Protocol, u16)| {
        ports
            .iter()
            .any(|ports| ports.protocol == *protocol && (ports.first..=ports.last).contains(port))
    };
    let open = container.process.exposed.iter().filter_map(|text| exposed(text));
    let open: Vec<_> = open.filter(|port| !published(port)).collect();
    ports.extend(open.into_iter().map(|(protocol, port)| PublishedPorts {
        host: None,
        host_first: None,
        first: port,
        last: port,
        protocol,
    }));
    ports.sort_by_key(|ports| (ports.first, ports.host, ports.host_first, ports.protocol));
    ports
}

/// `NetworkSettings.Ports`: by port of the container.
pub fn port_map(ports: &[PublishedPorts]) -> Map<String, Value> {
    let mut map: BTreeMap<(u16, Protocol), Vec<Value>> = BTreeMap::new();
    for ports in ports {
        for port in ports.first..=ports.last {
            let bindings = map.entry((port, ports.protocol)).or_default();
            if ports.host.is_some() {
                let host_port = ports.host_first.map(|first| (first + (port - ports.first)).to_string());
                bindings.push(json!({"HostIp": ports.host_text(), "HostPort": host_port.unwrap_or_default()}));
            }
        }
    }
    map.into_iter()
        .map(|((port, protocol), bindings)| {
            let bindings = if bindings.is_empty() {
                Value::Null
            } else {
                bindings.into()
            };
            (format!("{port}/{protocol}"), bindings)
        })
        .collect()
}

/// `HostConfig.PortBindings`: what was asked for, by port of the container.
pub fn asked(bindings: &[Binding]) -> Map<String, Value> {
    let mut map: BTreeMap<(u16, Protocol), Vec<Value>> = BTreeMap::new();
    for binding in bindings {
        for port in binding.container_first..=binding.container_last {
            let host_port = match binding.host_ports {
                None => String::new(),
                Some((first, last)) if last - first == binding.span() => {
                    (first + (port - binding.container_first)).to_string()
                }
                Some(ports) => range(ports),
            };
            let host = binding.host.map(|host| host.to_string()).unwrap_or_default();
            map.entry((port, binding.protocol))
                .or_default()
                .push(json!({"HostIp": host, "HostPort": host_port}));
        }
    }
    map.into_iter()
        .map(|((port, protocol), bindings)| (format!("{port}/{protocol}"), bindings.into()))
        .collect()
}

/// The `PORTS` column: first the ports that have one number on both sides, as in Docker, with whatever else leads to
/// them; addresses by value. `80/tcp, 0.0.0.0:49155->8080/tcp, :::49155->8080/tcp`.
pub fn column(ports: &[PublishedPorts]) -> String {
    // neighbours of one address with one distance between the host's port and the container's
    let mut groups: Vec<PublishedPorts> = Vec::new();
    let distance = |ports: &PublishedPorts| ports.host_first.map(|first| i32::from(first) - i32::from(ports.first));
    for next in ports {
        // reached at the container's own address: that port and no other
        let next = match (next.host, next.host_first) {
            (Some(_), None) => PublishedPorts {
                host: None,
                ..next.clone()
            },
            _ => next.clone(),
        };
        let same = |group: &&mut PublishedPorts| {
            group.host == next.host && group.protocol == next.protocol && distance(group) == distance(&next)
        };
        let joins = |group: &&mut PublishedPorts| {
            group.last.checked_add(1) == Some(next.first) || group.first == next.first && group.last == next.last
        };
        match groups.iter_mut().rev().find(same).filter(joins) {
            Some(group) => group.last = next.last,
            None => groups.push(next),
        }
    }
    let is_same = |ports: &PublishedPorts| ports.host_first.is_none_or(|first| first == ports.first);
    let leads_there = |ports: &PublishedPorts| {
        let same = groups.iter().filter(|other| other.host.is_some() && is_same(other));
        let mut same = same.filter(|other| other.protocol == ports.protocol);
        same.any(|other| other.first == ports.first)
    };
    let (same, moved): (Vec<&PublishedPorts>, Vec<&PublishedPorts>) =
        groups.iter().partition(|ports| is_same(ports) || leads_there(ports));
    let texts: Vec<String> = same.into_iter().chain(moved).map(ToString::to_string).collect();
    texts.join(", ")
}

impl PublishedPorts {
    /// As Docker writes it; empty where it is not published.
    pub fn host_text(&self) -> String {
        self.host.map(|host| host.to_string()).unwrap_or_default()
    }
}

impl std::fmt::Display for PublishedPorts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(host), Some(first)) = (self.host, self.host_first) {
            write!(out, "{host}:{}->", range((first, first + (self.last - self.first))))?;
        }
        write!(out, "{}/{}", range((self.first, self.last)), self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(host: &str, host_first: u16, first: u16, last: u16) -> PublishedPorts {
        PublishedPorts {
            host: host.parse().ok(),
            host_first: (host_first > 0).then_some(host_first),
            first,
            last,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn s42_ports_are_shown_as_docker_shows_them() {
        let rows = [
            (
                vec![
                    published("0.0.0.0", 49155, 8080, 8080),
                    published("::", 49155, 8080, 8080),
                ],
                "0.0.0.0:49155->8080/tcp, :::49155->8080/tcp",
            ),
            (
                vec![published("0.0.0.0", 8000, 8000, 8010)],
                "0.0.0.0:8000-8010->8000-8010/tcp",
            ),
            (
                vec![
                    published("0.0.0.0", 80, 80, 80),
                    published("0.0.0.0", 81, 81, 81),
                    published("0.0.0.0", 9000, 90, 91),
                    published("", 0, 443, 443),
                ],
                "0.0.0.0:80-81->80-81/tcp, 443/tcp, 0.0.0.0:9000-9001->90-91/tcp",
            ),
            (
                vec![
                    published("0.0.0.0", 9000, 80, 80),
                    published("127.0.0.9", 81, 80, 80),
                    published("127.0.0.10", 80, 80, 80),
                    published("0.0.0.0", 8081, 81, 81),
                    published("0.0.0.0", 443, 443, 443),
                ],
                "0.0.0.0:9000->80/tcp, 127.0.0.9:81->80/tcp, 127.0.0.10:80->80/tcp, 0.0.0.0:443->443/tcp, \
                 0.0.0.0:8081->81/tcp",
            ),
            (
                vec![published("0.0.0.0", 0, 80, 80), published("::", 0, 80, 80)],
                "80/tcp",
            ),
        ];
        for (ports, text) in rows {
            assert_eq!(column(&ports), text);
        }
    }

    #[test]
    fn a_map_is_by_port() {
        let ports = [published("0.0.0.0", 9000, 80, 81), published("", 0, 443, 443)];
        assert_eq!(
            Value::Object(port_map(&ports)).to_string(),
            r#"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"9000"}],"81/tcp":[{"HostIp":"0.0.0.0","HostPort":"9001"}],"443/tcp":null}"#
        );
    }
}
