//! Why a packet would pass, or would not.

use serde::{Deserialize, Serialize};

use crate::model::why::{Place, Target};

/// What would become of the first packet from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyQuestion {
    pub from: Place,
    pub to: Target,
}

/// That packet, of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyRow {
    pub allowed: bool,
    /// Why it is dropped; empty if it is not.
    pub reason: String,
    /// What the switch does with it, as `stats` counts it.
    pub path: String,
    pub protocol: String,
    /// Address and port, as the sender writes them.
    pub source: String,
    pub destination: String,
    /// Where it begins; empty where it comes from the world.
    pub network: String,
    /// By which it comes or goes; empty where it does neither.
    pub uplink: String,
    /// Container that gets it, `(host)` or `(world)`; empty for nobody.
    pub receiver: String,
    /// Whether the receiver sees other addresses or ports.
    pub translated: bool,
    /// Of the policy, if one has decided.
    pub rule: Option<WhyRule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyRule {
    pub number: u32,
    /// As `policy ls` tells it.
    pub text: String,
}
