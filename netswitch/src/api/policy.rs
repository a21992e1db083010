//! The policy: what is asked about it, and answered.

use serde::{Deserialize, Serialize};

use crate::model::policy::{Action, Direction};

/// A rule as the command line spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    pub action: Action,
    pub from: String,
    /// `TO[:PORT[-PORT],…][/PROTO]`.
    pub to: String,
}

/// What becomes of what no rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDefault {
    /// A container, or `network:NAME`.
    pub of: String,
    pub direction: Direction,
    pub action: Action,
}

/// A policy as a file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// What the user calls it.
    pub name: String,
    pub text: String,
}

/// What a file changes, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Rules and defaults as the command line spells them.
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Flows of the last hour that it does not allow any more. Only where that was asked.
    pub cut: Vec<CutFlow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutFlow {
    pub protocol: String,
    /// `web (10.0.0.2:4000)`.
    pub from: String,
    pub to: String,
    /// The rule that denies it, or what else does.
    pub because: String,
}
