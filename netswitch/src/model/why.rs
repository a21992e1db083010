//! What `netswitch why` asks about: from whom, to whom, and the packet that would say it.

pub mod frame;
pub mod probe;

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Somebody who sends or receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// By name or id.
    Container(String),
    Host,
    World,
    Address(IpAddr),
}

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (text, bare.unwrap_or(text).parse()) {
            (_, Ok(address)) => Self::Address(address),
            ("host", _) => Self::Host,
            ("world", _) => Self::World,
            _ => Self::Container(text.strip_prefix("container:").unwrap_or(text).to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    /// An echo request, of the family at hand.
    Icmp,
}

impl Protocol {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// To whom, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub place: Place,
    pub protocol: Protocol,
    /// 0 for ICMP.
    pub port: u16,
}

impl FromStr for Target {
    type Err = String;

    /// Reads `B[:PORT][/PROTO]`: TCP where a port is named, else ICMP.
    fn from_str(text: &str) -> Result<Self, String> {
        let (whom, protocol) = match text.rsplit_once('/') {
            Some((whom, "tcp")) => (whom, Some(Protocol::Tcp)),
            Some((whom, "udp")) => (whom, Some(Protocol::Udp)),
            Some((whom, "icmp")) => (whom, Some(Protocol::Icmp)),
            Some((_, other)) => return Err(format!("{other:?} is no protocol\nhint: tcp, udp or icmp")),
            None => (text, None),
        };
        let (place, port) = match whom.rsplit_once(':') {
            // the colons of an address are no port's, nor is that of container:NAME
            Some((place, port)) if whom.parse::<IpAddr>().is_err() && !whom.ends_with(']') && place != "container" => {
                let port = port.parse().ok().filter(|port| *port != 0);
                let port = port.ok_or_else(|| format!("{text:?} names no port from 1 to 65535"))?;
                (place, Some(port))
            }
            _ => (whom, None),
        };
        let (protocol, port) = match (protocol, port) {
            (None | Some(Protocol::Icmp), None) => (Protocol::Icmp, 0),
            (Some(Protocol::Icmp), Some(_)) => return Err("icmp has no ports".to_owned()),
            (Some(protocol), None) => return Err(format!("{} needs a port\nhint: {whom}:80/{0}", protocol.name())),
            (protocol, Some(port)) => (protocol.unwrap_or(Protocol::Tcp), port),
        };
        Ok(Self {
            place: place.into(),
            protocol,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Place, Protocol, u16), String> {
        text.parse()
            .map(|target: Target| (target.place, target.protocol, target.port))
    }

    #[test]
    fn targets_name_a_place_a_port_and_a_protocol() {
        let web = || Place::Container("web".into());
        let v6 = || Place::Address("fd00::1".parse().unwrap());
        assert_eq!(read("web"), Ok((web(), Protocol::Icmp, 0)));
        assert_eq!(read("web:80"), Ok((web(), Protocol::Tcp, 80)));
        assert_eq!(read("web:53/udp"), Ok((web(), Protocol::Udp, 53)));
        assert_eq!(read("container:web"), Ok((web(), Protocol::Icmp, 0)));
        assert_eq!(read("host/icmp"), Ok((Place::Host, Protocol::Icmp, 0)));
        assert_eq!(read("world:443"), Ok((Place::World, Protocol::Tcp, 443)));
        assert_eq!(read("fd00::1"), Ok((v6(), Protocol::Icmp, 0)));
        assert_eq!(read("[fd00::1]"), Ok((v6(), Protocol::Icmp, 0)));
        assert_eq!(read("[fd00::1]:80/tcp"), Ok((v6(), Protocol::Tcp, 80)));
        let v4 = Place::Address("10.0.0.1".parse().unwrap());
        assert_eq!(read("10.0.0.1:80"), Ok((v4, Protocol::Tcp, 80)));
        for bad in ["web:0", "web:http", "web:80/icmp", "web/tcp", "web/gre", "web:70000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
