//! What the switch says of itself: flows, counters, health, version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{container::limits::Limits, publish::Protocol};

/// Which flows to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowFilter {
    /// Of this container, at either end.
    pub container: Option<String>,
    pub protocol: Option<Protocol>,
    /// With this port at either end, before or after translation.
    pub port: Option<u16>,
    /// At most this many; 0 for all.
    pub limit: usize,
}

/// One line of `flows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FlowRow {
    /// Of the end that is a container's; both, if both are.
    pub containers: Vec<String>,
    pub protocol: String,
    /// As its first packet came: `10.0.0.2:4000`.
    pub from: String,
    pub to: String,
    /// As it left.
    pub translated_from: String,
    pub translated_to: String,
    pub state: String,
    /// Seconds until it ends if no packet passes.
    pub expires: u64,
}

/// What to hear of; the parts must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitorFilter {
    pub drops: bool,
    /// Sent by this container.
    pub from: Option<String>,
    /// Sent to it.
    pub to: Option<String>,
}

impl MonitorFilter {
    pub fn lets_through(&self, row: &MonitorRow) -> bool {
        let is = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
        (!self.drops || !row.reason.is_empty()) && is(&self.from, &row.from) && is(&self.to, &row.to)
    }
}

/// One line of `monitor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Monitored {
    Event(Box<MonitorRow>),
    /// So many events were left out here: they came faster than they were read.
    Missed {
        missed: u64,
    },
}

/// A packet and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorRow {
    /// RFC 3339.
    pub time: String,
    pub verdict: String,
    /// Why it was dropped; empty if it was not.
    pub reason: String,
    pub network: String,
    /// Container, `(host)`, `(world)` or `(unknown)`.
    pub from: String,
    pub to: String,
    pub protocol: String,
    /// Address and port, or the MAC of a frame that has none.
    pub source: String,
    pub destination: String,
    pub source_mac: String,
    pub destination_mac: String,
    /// Of the frame, in bytes.
    pub length: u32,
}

/// What the counters say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub endpoints: Vec<EndpointStats>,
    /// Packets by what the switch did with them, all endpoints together.
    pub paths: BTreeMap<String, u64>,
    /// Events that `monitor` could not tell of, since the agent's start.
    #[serde(default)]
    pub missed_events: u64,
    /// When the counters were read, in nanoseconds of `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub taken: u64,
}

impl Stats {
    /// A second later, for whoever looks again and again.
    pub const fn next(&self) -> u64 {
        self.taken + 1_000_000_000
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Empty for the host's own port, and for devices that are no endpoint.
    pub container: String,
    pub network: String,
    pub drops: BTreeMap<String, u64>,
    /// As its interface counts; `None` for the host's own port. A kernel before 6.8 without its fix counts nothing as
    /// received that came from another container.
    #[serde(flatten)]
    pub traffic: Option<Traffic>,
    /// That have a record: translated, or followed for the policy.
    pub flows: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pub limits: Limits,
    /// `None` for the host's own port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
}

fn is_none(limits: &Limits) -> bool {
    *limits == Limits::default()
}

/// A container's interface on one network, and what it counts besides its traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub container_id: String,
    /// `eth0`, `eth1`, ….
    pub name: String,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}

/// What a container received and sent on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
}

/// One thing `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub subject: String,
    pub ok: bool,
    /// What was found, and what to do about it.
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub abi_version: u32,
    pub kernel: String,
    pub pid: u32,
    pub containers: usize,
    pub running: usize,
    pub networks: usize,
}
