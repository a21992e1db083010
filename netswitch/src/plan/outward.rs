//! What the maps must hold for the ports outside of an endpoint that publishes some.

use std::collections::BTreeMap;

use netswitch_common::publish::{OutwardKey, OutwardPorts};

use crate::{action::Entry, model::endpoint::Endpoint};

/// Which ports of the host's lead to its own: what it sends from these leaves by those. The first publication counts.
pub fn of_endpoint(endpoint: &Endpoint) -> Vec<Entry> {
    let mut chunks: BTreeMap<(u8, u8), OutwardPorts> = BTreeMap::new();
    let publications = endpoint.publications.iter();
    for publication in publications.filter(|publication| !publication.host.is_loopback()) {
        for (inside, outside) in (publication.container_first..=u16::MAX).zip(publication.first..=publication.last) {
            let [high, low] = inside.to_be_bytes();
            let chunk = chunks.entry((publication.protocol.number(), high));
            let port = &mut chunk.or_insert(OutwardPorts::NONE).0[usize::from(low)];
            if *port == 0 {
                *port = outside;
            }
        }
    }
    let entries = chunks.into_iter().map(|((protocol, port_high), value)| Entry::Outward {
        key: OutwardKey {
            endpoint: endpoint.number,
            protocol,
            port_high,
            _pad: [0; 2],
        },
        value: Box::new(value),
    });
    entries.collect()
}
