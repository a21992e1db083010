//! One rule, and how the command line spells it: `allow web db:5432/tcp`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, Ports, Protocol, Selector};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    pub action: Action,
    /// Who begins to speak.
    pub from: Selector,
    pub to: Selector,
    #[serde(default, skip_serializing_if = "Protocol::is_any")]
    pub protocol: Protocol,
    /// In order and apart; none: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Ports>,
}

impl Rule {
    /// With what goes without saying.
    pub fn new(
        action: Action,
        from: Selector,
        to: Selector,
        protocol: Option<Protocol>,
        ports: Vec<Ports>,
    ) -> Result<Self, String> {
        Ok(Self {
            action,
            from,
            to,
            protocol: protocol_of_ports(protocol, &ports)?,
            ports: Ports::normal(ports),
        })
    }

    /// Reads the arguments of `policy allow` and `policy deny`.
    pub fn parse(action: Action, from: &str, to: &str) -> Result<Self, String> {
        let (to, protocol, ports) = destination(to)?;
        Self::new(action, from.parse()?, to.parse()?, protocol, ports)
    }

    /// `80,443`; empty for all.
    pub fn ports_text(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(Ports::to_string).collect();
        ports.join(",")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} ", self.action, self.from)?;
        match &self.to {
            Selector::Cidr(network) if network.is_ipv6() => write!(out, "[{network}]")?,
            to => to.fmt(out)?,
        }
        if !self.ports.is_empty() {
            write!(out, ":{}", self.ports_text())?;
        }
        match self.protocol {
            Protocol::Any if self.ports.is_empty() => Ok(()),
            protocol => write!(out, "/{protocol}"),
        }
    }
}

/// The protocol of ports: TCP's, as for `-p`, unless another is named.
pub(super) fn protocol_of_ports(protocol: Option<Protocol>, ports: &[Ports]) -> Result<Protocol, String> {
    let implied = if ports.is_empty() { Protocol::Any } else { Protocol::TCP };
    let protocol = protocol.unwrap_or(implied);
    if !ports.is_empty() && !protocol.has_ports() {
        return Err(format!(
            "protocol {protocol} has no ports\nhint: leave them out, or tcp, udp or sctp"
        ));
    }
    Ok(protocol)
}

/// Takes `TO[:PORT[-PORT],…][/PROTO]` apart.
pub(super) fn destination(text: &str) -> Result<(&str, Option<Protocol>, Vec<Ports>), String> {
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (ports, protocol) = match rest.split_once('/') {
            Some((ports, protocol)) => (ports, Some(protocol.parse()?)),
            None => (rest, None),
        };
        let ports = match ports.strip_prefix(':') {
            Some(ports) => Ports::list(ports)?,
            None if ports.is_empty() => Vec::new(),
            None => return Err(format!("{text:?} is no destination\nhint: [2001:db8::/32]:443/tcp")),
        };
        return Ok((inside, protocol, ports));
    }
    let (rest, protocol) = protocol(text)?;
    // the colons of an address are no ports'
    let is_address = matches!(rest.parse(), Ok(Selector::Cidr(_)));
    let split = rest.rsplit_once(':').filter(|(to, ports)| {
        let is_kind = ["container", "network", "label"].contains(to);
        !is_address && !is_kind && ports.starts_with(|first: char| first.is_ascii_digit())
    });
    match split {
        Some((to, ports)) => Ok((to, protocol, Ports::list(ports)?)),
        None => Ok((rest, protocol, Vec::new())),
    }
}

/// Takes off `/PROTO`; a number behind an address is its prefix.
fn protocol(text: &str) -> Result<(&str, Option<Protocol>), String> {
    let Some((before, after)) = text.rsplit_once('/') else {
        return Ok((text, None));
    };
    if let Some(protocol) = Protocol::named(after) {
        return Ok((before, Some(protocol)));
    }
    let is_whole = matches!(text.parse(), Ok(Selector::Cidr(_) | Selector::Label { .. }));
    let names_an_address = before.parse::<std::net::IpAddr>().is_ok() || after.contains(':');
    if is_whole || names_an_address {
        return Ok((text, None));
    }
    after.parse().map(|protocol| (before, Some(protocol)))
}
