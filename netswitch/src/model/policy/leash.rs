//! Leash: whom a container may begin to speak with, by name and prefix: `--egress
//! 'api.example.com:443,*.example.org:443,10.0.0.0/8'`. The host and metadata services are closed to it besides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use netswitch_common::leash::{CLASSES, Classes};
use netswitch_common::policy::{PROTOCOL_BITS, SET_BITS, flags};
use serde::{Deserialize, Serialize};

use super::{
    Ports, Protocol,
    ports::blocks,
    rule::{destination, protocol_of_ports},
    selector::{address, whole},
};

/// The longest name (RFC 1035, 2.3.4), as text without the dot at its end.
const NAME_MAX: usize = 253;
/// The longest label.
const LABEL_MAX: usize = 63;

/// In one class is what is said about the same ports; [`netswitch_common::leash`] says how they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Leash {
    /// And the class of each.
    targets: Vec<(Target, usize)>,
    classes: Vec<Class>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Class {
    protocol: Protocol,
    /// None: all of them.
    ports: Vec<Ports>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// `*`
    EveryName,
    /// In lower case.
    Name(String),
    /// `*.example.org`, at any depth: what is before the star's name, dot and all.
    Below(String),
    Prefix(IpNetwork),
}

impl Leash {
    /// Of all of `--egress`; `None`: it was not given.
    pub fn given(texts: &[String]) -> Result<Option<Self>, String> {
        match texts {
            [] => Ok(None),
            texts => texts.join(",").parse().map(Some),
        }
    }

    /// Which classes a name is in, in lower case and without the dot at its end.
    pub fn of_name(&self, name: &str) -> u64 {
        self.of(|target| match target {
            Target::EveryName => true,
            Target::Name(of) => of == name,
            Target::Below(end) => name.ends_with(end.as_str()) && name.len() > end.len(),
            Target::Prefix(_) => false,
        })
    }

    /// And an address, by the prefixes alone.
    pub fn of_address(&self, address: IpAddr) -> u64 {
        self.of(|target| matches!(target, Target::Prefix(network) if network.contains(address)))
    }

    fn of(&self, is_meant: impl Fn(&Target) -> bool) -> u64 {
        let meant = self.targets.iter().filter(|(target, _)| is_meant(target));
        meant.fold(0, |classes, (_, class)| classes | 1 << class)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let (target, protocol, ports) = destination(text)?;
        let target = target.parse()?;
        let class = Class {
            protocol: protocol_of_ports(protocol, &ports)?,
            ports: Ports::normal(ports),
        };
        let known = self.classes.iter().position(|known| *known == class);
        let number = known.unwrap_or(self.classes.len());
        if known.is_none() {
            self.classes.push(class);
        }
        if number >= CLASSES {
            return Err(format!("more than {CLASSES} different ports in one leash"));
        }
        self.targets.push((target, number));
        Ok(())
    }
}

impl FromStr for Leash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut leash = Self::default();
        if text == NOBODY {
            return Ok(leash);
        }
        for item in text.split(',') {
            leash.add(item.trim())?;
        }
        Ok(leash)
    }
}

/// Of a leash that lets nothing pass.
const NOBODY: &str = "none";

impl fmt::Display for Leash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.targets.is_empty() {
            return out.write_str(NOBODY);
        }
        for (place, (target, class)) in self.targets.iter().enumerate() {
            let Class { protocol, ports } = &self.classes[*class];
            out.write_str(if place == 0 { "" } else { "," })?;
            match target {
                Target::EveryName => out.write_str("*")?,
                Target::Name(name) => out.write_str(name)?,
                Target::Below(end) => write!(out, "*{end}")?,
                Target::Prefix(network) if network.is_ipv6() => write!(out, "[{network}]")?,
                Target::Prefix(network) => network.fmt(out)?,
            }
            for range in ports {
                write!(out, ":{range}")?;
            }
            if !(protocol.is_any() && ports.is_empty()) {
                write!(out, "/{protocol}")?;
            }
        }
        Ok(())
    }
}

stored_as_text!(Leash);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(network) = address(text) {
            return whole(text, network).map(Self::Prefix);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match name.strip_prefix('*') {
            Some("") => Ok(Self::EveryName),
            Some(end) if end.strip_prefix('.').is_some_and(is_name) => Ok(Self::Below(end.to_owned())),
            None if is_name(&name) => Ok(Self::Name(name)),
            _ => Err(format!(
                "{text:?} is no name and no prefix\nhint: api.example.com:443, *.example.org:443/udp, 10.0.0.0/8, \
                 [2001:db8::/32]:443 or none"
            )),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.len() <= LABEL_MAX && label.bytes().all(is_part)
    };
    text.len() <= NAME_MAX && text.split('.').all(is_label)
}

/// Of one endpoint: its container's and its network's. Where there are both, both must let something pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leashes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Leash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Leash>,
}

/// An entry of `LEASH_PORTS`: protocol, port, length of the prefix, classes.
pub type PortsEntry = (u8, u16, u32, Classes);

impl Leashes {
    pub const fn is_none(&self) -> bool {
        self.container.is_none() && self.network.is_none()
    }

    /// Bits of [`netswitch_common::policy::flags`].
    pub const fn flags(&self) -> u32 {
        let container = if self.container.is_some() { flags::LEASHED } else { 0 };
        let network = if self.network.is_some() {
            flags::LEASHED_BY_NETWORK
        } else {
            0
        };
        container | network
    }

    fn both(&self, classes: impl Fn(&Leash) -> u64) -> Classes {
        [&self.container, &self.network].map(|leash| leash.as_ref().map_or(0, &classes))
    }

    /// Whether it may know where a name leads: every leash that there is says something of it.
    pub fn permits_name(&self, name: &str) -> bool {
        let leashes = [&self.container, &self.network];
        leashes.into_iter().flatten().all(|leash| leash.of_name(name) != 0)
    }

    pub fn of_name(&self, name: &str) -> Classes {
        self.both(|leash| leash.of_name(name))
    }

    pub fn of_address(&self, address: IpAddr) -> Classes {
        self.both(|leash| leash.of_address(address))
    }

    /// The prefixes that are named, and the classes of each: its own and those of the wider ones around it.
    pub fn prefixes(&self) -> BTreeMap<IpNetwork, Classes> {
        let targets = [&self.container, &self.network].into_iter().flatten();
        let targets = targets.flat_map(|leash| &leash.targets);
        let named: BTreeSet<IpNetwork> = targets
            .filter_map(|(target, _)| match target {
                Target::Prefix(network) => Some(*network),
                _ => None,
            })
            .collect();
        let around = |network: IpNetwork| {
            let is_around = move |wider: IpNetwork| wider.prefix() <= network.prefix() && wider.contains(network.ip());
            self.both(|leash| leash.of(|target| matches!(target, Target::Prefix(wider) if is_around(*wider))))
        };
        named.into_iter().map(|network| (network, around(network))).collect()
    }

    /// What is said of protocols and ports. What says no more than the next shorter prefix is left out.
    pub fn ports(&self) -> Vec<PortsEntry> {
        let of_protocol = |protocol: Option<u8>, port: Option<u32>| {
            self.both(|leash| {
                let holds = |class: &Class| class.holds(protocol, port);
                let classes = leash.classes.iter().enumerate().filter(|(_, class)| holds(class));
                classes.fold(0, |classes, (number, _)| classes | 1 << number)
            })
        };
        let all = of_protocol(None, None);
        let mut entries = vec![(0, 0, SET_BITS, all)];
        let classes = || {
            let leashes = [&self.container, &self.network].into_iter().flatten();
            leashes.flat_map(|leash| &leash.classes)
        };
        let protocols: BTreeSet<u8> = classes()
            .filter(|class| !class.is_all())
            .flat_map(|class| class.protocol.numbers())
            .collect();
        for protocol in protocols {
            let whole = of_protocol(Some(protocol), None);
            entries.push((protocol, 0, PROTOCOL_BITS, whole));
            let spoken_of = classes().filter(|class| class.protocol.numbers().contains(&protocol));
            let edges: BTreeSet<u32> = spoken_of
                .flat_map(|class| &class.ports)
                .flat_map(|range| [u32::from(range.first), u32::from(range.last) + 1])
                .collect();
            let ends = edges.iter().skip(1);
            for (first, end) in edges.iter().zip(ends) {
                let classes = of_protocol(Some(protocol), Some(*first));
                if classes != whole {
                    let blocks = blocks(*first, end - 1);
                    entries.extend(blocks.map(|(port, length)| (protocol, port, PROTOCOL_BITS + length, classes)));
                }
            }
        }
        entries
    }
}

impl Class {
    fn is_all(&self) -> bool {
        self.protocol.is_any() && self.ports.is_empty()
    }

    /// Whether it is about a protocol and port; `None`: about all of them.
    fn holds(&self, protocol: Option<u8>, port: Option<u32>) -> bool {
        let is_protocol = protocol.is_some_and(|protocol| self.protocol.numbers().contains(&protocol));
        let is_port = port.is_some_and(|port| {
            let within = |range: &Ports| (u32::from(range.first)..=u32::from(range.last)).contains(&port);
            self.ports.iter().any(within)
        });
        self.is_all() || is_protocol && (self.ports.is_empty() || is_port)
    }
}

#[cfg(test)]
mod tests;
