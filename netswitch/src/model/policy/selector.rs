//! Who is meant: `web`, `label:tier=front`, `network:blue`, `10.0.0.0/8`, `host`, `world`, `any`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    Any,
    /// The host itself.
    Host,
    /// Everything beyond the host.
    World,
    /// By name; `container:NAME` where that means something else.
    Container(String),
    /// Containers with a label, of one value or of any.
    Label {
        key: String,
        value: Option<String>,
    },
    /// Containers by what network they speak on.
    Network(String),
    /// Addresses of the world; containers are never meant by their addresses.
    Cidr(IpNetwork),
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("any"),
            Self::Host => out.write_str("host"),
            Self::World => out.write_str("world"),
            Self::Container(name) if matches!(name.parse(), Ok(Self::Container(_))) => out.write_str(name),
            Self::Container(name) => write!(out, "container:{name}"),
            Self::Label { key, value: None } => write!(out, "label:{key}"),
            Self::Label {
                key,
                value: Some(value),
            } => write!(out, "label:{key}={value}"),
            Self::Network(name) => write!(out, "network:{name}"),
            Self::Cidr(network) => network.fmt(out),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => return Ok(Self::Any),
            "host" => return Ok(Self::Host),
            "world" => return Ok(Self::World),
            _ => {}
        }
        if let Some((kind, rest)) = text.split_once(':') {
            match (kind, rest) {
                ("container", name) if is_name(name) => return Ok(Self::Container(name.to_owned())),
                ("network", name) if !name.is_empty() => return Ok(Self::Network(name.to_owned())),
                ("label", label) => {
                    let (key, value) = label
                        .split_once('=')
                        .map_or((label, None), |(key, value)| (key, Some(value)));
                    if !key.is_empty() {
                        let (key, value) = (key.to_owned(), value.map(str::to_owned));
                        return Ok(Self::Label { key, value });
                    }
                }
                _ => {}
            }
        }
        if let Some(network) = address(text) {
            return whole(text, network).map(Self::Cidr);
        }
        if is_name(text) {
            return Ok(Self::Container(text.to_owned()));
        }
        Err(format!(
            "{text:?} names nobody\nhint: a container, label:KEY=VALUE, network:NAME, 10.0.0.0/8, host, world or any"
        ))
    }
}

stored_as_text!(Selector);

/// Reads `10.0.0.0/8`, or an address alone.
pub(super) fn address(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u8 = if text.contains('/') { prefix.parse().ok()? } else { bits };
    match (address.to_canonical(), prefix) {
        (v4 @ IpAddr::V4(_), 96..) if address.is_ipv6() => IpNetwork::new(v4, prefix - 96).ok(),
        _ => IpNetwork::new(address, prefix).ok(),
    }
}

/// If it ends where its prefix does.
pub(super) fn whole(text: &str, network: IpNetwork) -> Result<IpNetwork, String> {
    if network.network() != network.ip() {
        let (whole, prefix) = (network.network(), network.prefix());
        return Err(format!("{text} has bits beyond its prefix\nhint: {whole}/{prefix}"));
    }
    Ok(network)
}

/// As containers may be named.
fn is_name(text: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.chars().all(is_part)
}
