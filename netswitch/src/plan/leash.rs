//! What the maps must hold for a leash.

use netswitch_common::leash::LeashPortsKey;

use crate::{action::Entry, model::endpoint::Endpoint};

/// Whom its leashes let it speak with, as far as that is known beforehand.
pub fn of_endpoint(endpoint: &Endpoint) -> Vec<Entry> {
    if !endpoint.is_leashed() {
        return Vec::new();
    }
    let leash = endpoint.generation;
    let prefixes = endpoint.leashes.prefixes().into_iter();
    let prefixes = prefixes.map(|(network, classes)| Entry::Leashed {
        leash,
        network,
        classes,
    });
    let ports = endpoint.leashes.ports().into_iter();
    let ports = ports.map(|(protocol, port, length, classes)| Entry::LeashPorts {
        key: LeashPortsKey {
            leash,
            protocol,
            _pad: 0,
            port: port.to_be(),
        },
        length,
        classes,
    });
    prefixes.chain(ports).collect()
}
