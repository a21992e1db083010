//! Policy: who may begin to speak with whom, in names.
//!
//! A rule that denies beats one that allows, which beats the default; their order does not matter. What a rule
//! allows passes between networks, too. `compile` turns it into what the maps hold.

/// In the store and over the wire a type is what a user writes and reads.
macro_rules! stored_as_text {
    ($name:ty) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

pub mod change;
pub mod check;
pub mod compile;
pub mod file;
pub mod leash;
pub mod ports;
pub mod protocol;
pub mod rule;
pub mod selector;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::{
    leash::{Leash, Leashes},
    ports::Ports,
    protocol::Protocol,
    rule::Rule,
    selector::Selector,
};

/// The policy, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// By number.
    pub rules: BTreeMap<u32, Rule>,
    pub defaults: BTreeMap<Subject, Defaults>,
}

impl Policy {
    /// Whether it says nothing: everything is as without a policy.
    pub fn is_silent(&self) -> bool {
        let denies = |defaults: &Defaults| [defaults.incoming, defaults.outgoing].contains(&Some(Action::Deny));
        self.rules.is_empty() && !self.defaults.values().any(denies)
    }

    /// What becomes of what no rule speaks of, into and out of a container: its own default before its
    /// network's.
    pub fn denies(&self, container: &str, network: &str) -> (bool, bool) {
        let of = |subject| self.defaults.get(&subject).copied().unwrap_or_default();
        let own = of(Subject::Container(container.to_owned()));
        let shared = of(Subject::Network(network.to_owned()));
        let denies = |own: Option<Action>, shared: Option<Action>| own.or(shared) == Some(Action::Deny);
        (
            denies(own.incoming, shared.incoming),
            denies(own.outgoing, shared.outgoing),
        )
    }

    /// Sets a default. What a network allows anyway is not kept.
    pub fn set_default(&mut self, of: &Subject, direction: Direction, action: Action) {
        let value = match (of, action) {
            (Subject::Network(_), Action::Allow) => None,
            _ => Some(action),
        };
        let defaults = self.defaults.entry(of.clone()).or_default();
        if direction != Direction::Out {
            defaults.incoming = value;
        }
        if direction != Direction::In {
            defaults.outgoing = value;
        }
        if *defaults == Defaults::default() {
            self.defaults.remove(of);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Allow,
    Deny,
}

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            _ => Err(format!("{text:?} is no action\nhint: allow or deny")),
        }
    }
}

/// Whose default: a container's on all its networks, or a network's for all its containers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    Container(String),
    Network(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.selector().fmt(out)
    }
}

impl Subject {
    fn selector(&self) -> Selector {
        match self {
            Self::Container(name) => Selector::Container(name.clone()),
            Self::Network(name) => Selector::Network(name.clone()),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Selector::Container(name) => Ok(Self::Container(name)),
            Selector::Network(name) => Ok(Self::Network(name)),
            _ => Err(format!(
                "{text:?} has no default\nhint: the name of a container, or network:NAME"
            )),
        }
    }
}

stored_as_text!(Subject);

/// What becomes of what no rule speaks of; `None`: as the network says, and that allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Action>,
    #[serde(rename = "out", skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Action>,
}

impl Defaults {
    /// As few settings as say the same.
    pub fn settings(self) -> Vec<(Direction, Action)> {
        match (self.incoming, self.outgoing) {
            (Some(one), Some(other)) if one == other => vec![(Direction::Both, one)],
            (incoming, outgoing) => {
                let incoming = incoming.map(|action| (Direction::In, action));
                incoming
                    .into_iter()
                    .chain(outgoing.map(|action| (Direction::Out, action)))
                    .collect()
            }
        }
    }
}

/// Into or out of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    In,
    Out,
    #[default]
    Both,
}

impl Direction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        }
    }
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "in" => Ok(Self::In),
            "out" => Ok(Self::Out),
            "both" => Ok(Self::Both),
            _ => Err(format!("{text:?} is no direction\nhint: in, out or both")),
        }
    }
}

#[cfg(test)]
mod tests;
