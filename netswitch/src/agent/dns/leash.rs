//! What leashes learn from answers about names: the switch knows where a name leads before its container does.

use std::time::Duration;

use hickory_proto::rr::{RData, Record};

use crate::datapath::Leashes as Map;
use crate::model::policy::Leashes;

/// How long after its time to live an address may still be spoken to for the first time: a connection takes a
/// while to be made, and names of the switch's own may not be kept at all.
const GRACE: Duration = Duration::from_secs(30);

/// Leashes of a view, by generation of their endpoints.
pub type Leashed = [(u32, Leashes)];

/// Without a map where there is no data path.
#[derive(Clone, Default)]
pub struct Teacher(Option<Map>);

impl Teacher {
    pub const fn new(map: Map) -> Self {
        Self(Some(map))
    }

    /// Tells leashes that a name, in lower case and without the dot at its end, leads to the addresses in an answer.
    pub fn teach(&self, leashed: &Leashed, name: &str, answers: &[Record]) {
        let Some(map) = &self.0 else { return };
        for (leash, leashes) in leashed {
            let learnt = leashes.of_name(name);
            if learnt == [0; 2] {
                continue;
            }
            for record in answers {
                let address = match &record.data {
                    RData::A(a) => a.0.into(),
                    RData::AAAA(aaaa) => aaaa.0.into(),
                    _ => continue,
                };
                let lasts = Duration::from_secs(record.ttl.into()) + GRACE;
                if let Err(error) = map.learn(*leash, address, leashes.of_address(address), learnt, lasts) {
                    tracing::warn!(%error, name, %address, "it stays closed to a container that may speak to it");
                }
            }
        }
    }
}
