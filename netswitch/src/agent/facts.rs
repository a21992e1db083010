//! What the rules need to know of the world: time, routes, devices, fresh ids.

use std::io::Read as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::core::{Core, internal};
use crate::api::Error;
use crate::model::{Facts, Id, container::Container, time::Time};

/// More than any one request takes.
const FRESH_IDS: usize = 64;

impl Core {
    /// Time and fresh ids; cheap.
    pub fn facts(&self) -> Result<Facts, Error> {
        Ok(Facts {
            now: now(),
            fresh: fresh_ids(FRESH_IDS).map_err(internal)?,
            ..Facts::default()
        })
    }

    /// The same with what holds the host's ports.
    pub fn facts_for_publishing(&mut self) -> Result<Facts, Error> {
        let mut facts = self.facts()?;
        facts.listeners = self.kernel.listeners().map_err(internal)?;
        facts.addresses = self
            .kernel
            .addresses()
            .map_err(internal)?
            .into_iter()
            .map(|(_, address)| address.ip())
            .collect();
        facts.local_port_range = self.kernel.local_port_range().map_err(internal)?;
        Ok(facts)
    }

    /// The same with ids for every network of a container.
    pub fn facts_for(&mut self, container: &Container) -> Result<Facts, Error> {
        let publishes = container.publish_all || !container.bindings.is_empty();
        let mut facts = if publishes {
            self.facts_for_publishing()?
        } else {
            self.facts()?
        };
        facts
            .fresh
            .extend(fresh_ids(container.attachments.len()).map_err(internal)?);
        Ok(facts)
    }

    /// The same with the host's routes and devices, for requests that choose subnets and device names.
    pub fn facts_of_host(&mut self) -> Result<Facts, Error> {
        let mut facts = self.facts()?;
        for route in self.kernel.routes().map_err(internal)? {
            let routes = if route.by_gateway {
                &mut facts.routes_by_gateway
            } else {
                &mut facts.routes
            };
            routes.push(route.destination);
        }
        facts.devices = self
            .kernel
            .links()
            .map_err(internal)?
            .into_iter()
            .map(|link| link.name)
            .collect();
        Ok(facts)
    }
}

/// RFC 3339 in UTC with nanoseconds, as Docker writes times.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Time {
        seconds,
        nanoseconds: since.subsec_nanos(),
    }
    .to_string()
}

/// When the clock of the programs (`bpf_ktime_get_ns`) stood at 0, if no clock has been set since.
pub fn start_of_clock() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let start = now.saturating_sub(clock.unwrap_or_default());
    Time {
        seconds: i64::try_from(start.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: start.subsec_nanos(),
    }
}

fn fresh_ids(count: usize) -> std::io::Result<Vec<Id>> {
    let mut bytes = vec![0; count * 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let hex = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(String::with_capacity(64), |text, byte| format!("{text}{byte:02x}"))
    };
    Ok(bytes.chunks(32).map(|chunk| Id(hex(chunk))).collect())
}
