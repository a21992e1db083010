//! `-p`: Docker's forms and words (go-connections' `nat.ParsePortSpec`), and `,from=` behind them.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Binding, Protocol};
use crate::api::Error;

type Result<T> = std::result::Result<T, Error>;

/// `[[address:][port[-port]]:]port[-port][/protocol][,from=CIDR]…`.
pub fn binding(text: &str) -> Result<Binding> {
    let mut parts = text.split(',');
    let spec = parts.next().unwrap_or_default();
    let sources = parts.map(source).collect::<Result<Vec<IpNetwork>>>()?;
    let (address, host_port, container) = split(spec);
    let (protocol, container_port) = match container.split_once('/') {
        _ if container.starts_with('/') => ("", ""),
        Some((port, "")) => ("tcp", port),
        Some((port, protocol)) => (protocol.split('/').next().unwrap_or_default(), port),
        None => ("tcp", container),
    };
    let host = host(address)?;
    if container_port.is_empty() {
        return Err(Error::bad_request(format!("No port specified: {spec}<empty>")));
    }
    let (container_first, container_last) = ports(container_port)
        .filter(|(first, _)| *first > 0)
        .ok_or_else(|| Error::bad_request(format!("Invalid containerPort: {container_port}")))?;
    let host_ports = match host_port {
        "" => None,
        text => Some(ports(text).ok_or_else(|| Error::bad_request(format!("Invalid hostPort: {text}")))?),
    };
    if let Some((first, last)) = host_ports
        && last - first != container_last - container_first
        && container_first != container_last
    {
        return Err(Error::bad_request(format!(
            "Invalid ranges specified for container and host Ports: {container_port} and {host_port}"
        )));
    }
    let protocol = Protocol::named(&protocol.to_lowercase())
        .ok_or_else(|| Error::bad_request(format!("Invalid proto: {protocol}")))?;
    // port 0 asks for any, as in Docker
    let host_ports = host_ports.filter(|ports| *ports != (0, 0));
    if host_ports.is_some_and(|(first, _)| first == 0) {
        return Err(Error::bad_request(format!("Invalid hostPort: {host_port}")));
    }
    Ok(Binding {
        protocol,
        host,
        host_ports,
        container_first,
        container_last,
        sources,
    })
}

/// Address, host port and container port; whatever is not given is empty.
fn split(spec: &str) -> (&str, &str, &str) {
    match spec.rsplit_once(':') {
        None => ("", "", spec),
        Some((rest, container)) => match rest.rsplit_once(':') {
            None => ("", rest, container),
            Some((address, host_port)) => (address, host_port, container),
        },
    }
}

/// As Go's `net.SplitHostPort` takes it: an IPv6 address stands in brackets.
fn host(text: &str) -> Result<Option<IpAddr>> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if bracketed.is_none() && text.contains(':') {
        return Err(Error::bad_request(format!(
            "Invalid ip address {text}: address {text}:: too many colons in address"
        )));
    }
    match bracketed.unwrap_or(text) {
        "" => Ok(None),
        text => match text.parse::<IpAddr>() {
            Ok(address) => Ok(Some(address.to_canonical())),
            Err(_) => Err(Error::bad_request(format!("Invalid ip address: {text}"))),
        },
    }
}

/// `8000` or `8000-8010`.
fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last)
}

/// `from=203.0.113.0/24`, or one address.
fn source(text: &str) -> Result<IpNetwork> {
    let Some(network) = text.strip_prefix("from=") else {
        return Err(Error::bad_request(format!(
            "Invalid option of a published port: {text} (there is from=CIDR)"
        )));
    };
    match network.parse::<IpNetwork>() {
        Ok(parsed) => {
            IpNetwork::new(parsed.network(), parsed.prefix()).map_err(|error| Error::bad_request(error.to_string()))
        }
        Err(_) => Err(Error::bad_request(format!("invalid CIDR address: {network}"))),
    }
}

impl Protocol {
    /// By its name in small letters.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp]
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }
}

impl Binding {
    /// How many ports of the container it publishes, less one.
    pub const fn span(&self) -> u16 {
        self.container_last - self.container_first
    }
}

/// The SPEC that asks for it.
impl fmt::Display for Binding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(IpAddr::V6(host)) => write!(out, "[{host}]:")?,
            Some(host) => write!(out, "{host}:")?,
            None => {}
        }
        match self.host_ports {
            Some(ports) => write!(out, "{}:", range(ports))?,
            None if self.host.is_some() => write!(out, ":")?,
            None => {}
        }
        write!(
            out,
            "{}/{}",
            range((self.container_first, self.container_last)),
            self.protocol
        )?;
        self.sources.iter().try_for_each(|source| write!(out, ",from={source}"))
    }
}

/// `8000` or `8000-8010`.
pub fn range((first, last): (u16, u16)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, spelled) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80/udp", "127.0.0.1::80/udp"),
            ("[::1]:8080:80/SCTP", "[::1]:8080:80/sctp"),
            ("[fd00::1]::80/", "[fd00::1]::80/tcp"),
            ("8000-8010:80-90", "8000-8010:80-90/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("80-90/udp", "80-90/udp"),
            (
                "443:443,from=203.0.113.7/24,from=2001:db8::/32",
                "443:443/tcp,from=203.0.113.0/24,from=2001:db8::/32",
            ),
            ("443,from=192.0.2.1", "443/tcp,from=192.0.2.1/32"),
        ] {
            assert_eq!(binding(text).unwrap().to_string(), spelled, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_dockers_words() {
        for (text, message) in [
            ("", "No port specified: <empty>"),
            ("8080:", "No port specified: 8080:<empty>"),
            ("/tcp", "No port specified: /tcp<empty>"),
            ("x", "Invalid containerPort: x"),
            ("80:70000", "Invalid containerPort: 70000"),
            ("90-80", "Invalid containerPort: 90-80"),
            ("0", "Invalid containerPort: 0"),
            ("x:80", "Invalid hostPort: x"),
            ("1.2.3:80:80", "Invalid ip address: 1.2.3"),
            ("[::g]:80:80", "Invalid ip address: ::g"),
            (
                "::1:80:80",
                "Invalid ip address ::1: address ::1:: too many colons in address",
            ),
            ("80/icmp", "Invalid proto: icmp"),
            (
                "8000-8010:80-81",
                "Invalid ranges specified for container and host Ports: 80-81 and 8000-8010",
            ),
            ("443,from=x", "invalid CIDR address: x"),
            (
                "443,rate=1k",
                "Invalid option of a published port: rate=1k (there is from=CIDR)",
            ),
        ] {
            assert_eq!(binding(text).unwrap_err(), Error::bad_request(message), "{text}");
        }
    }
}
