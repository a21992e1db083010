//! The counters of the switch by the names of containers and networks.

use std::collections::BTreeMap;

use netswitch_common::verdict::DropReason;

use super::core::{Core, internal};
use crate::api::{EndpointStats, Error, Interface, Response, Stats, Traffic};

impl Core {
    /// Traffic, drops and flows by endpoint, packets by path.
    pub fn stats(&mut self) -> Result<Response, Error> {
        let mut endpoints = self.counted_endpoints();
        for (key, count) in self.datapath.tables().drops().map_err(internal)? {
            let reason = DropReason::from_number(key.reason).map_or("unknown", DropReason::name);
            let endpoint = endpoints.entry(key.endpoint).or_default();
            endpoint.drops.insert(reason.to_owned(), count.packets);
        }
        let (flows, _) = self.datapath.tables().flows().map_err(internal)?;
        for end in flows.iter().flat_map(|(_, flow)| &flow.ends) {
            if let Some(endpoint) = endpoints.get_mut(&end.endpoint) {
                endpoint.flows += 1;
            }
        }
        let paths = self.datapath.tables().paths().map_err(internal)?;
        Ok(Response::Stats(Stats {
            endpoints: endpoints.into_values().collect(),
            paths: paths
                .into_iter()
                .map(|(verdict, count)| (verdict.name().to_owned(), count.packets))
                .collect(),
            missed_events: self.monitor.missed()?,
        }))
    }

    /// Every endpoint by its number, with its names and what its interface has counted.
    fn counted_endpoints(&mut self) -> BTreeMap<u32, EndpointStats> {
        let mut endpoints = BTreeMap::new();
        for network in self.state.networks.values() {
            if let Some(bridge) = &network.bridge {
                let host = EndpointStats {
                    network: network.name.clone(),
                    ..EndpointStats::default()
                };
                endpoints.insert(bridge.host_port, host);
            }
        }
        for endpoint in self.state.endpoints.values() {
            let container = self.state.containers.get(&endpoint.container);
            let network = self.state.networks.get(&endpoint.network);
            // one that is just ending has no interface any more
            let traffic = self.kernel.traffic(&endpoint.host_device).ok();
            let stats = EndpointStats {
                container: container.map_or_else(String::new, |container| container.name.clone()),
                network: network.map_or_else(String::new, |network| network.name.clone()),
                limits: container.map(|container| container.limits).unwrap_or_default(),
                traffic: traffic.map(|traffic| Traffic {
                    received_packets: traffic.received_packets,
                    received_bytes: traffic.received_bytes,
                    sent_packets: traffic.sent_packets,
                    sent_bytes: traffic.sent_bytes,
                }),
                interface: traffic.map(|traffic| Interface {
                    container_id: endpoint.container.to_string(),
                    name: endpoint.interface.clone(),
                    received_errors: traffic.received_errors,
                    received_dropped: traffic.received_dropped,
                    sent_errors: traffic.sent_errors,
                    sent_dropped: traffic.sent_dropped,
                }),
                ..EndpointStats::default()
            };
            endpoints.insert(endpoint.number, stats);
        }
        endpoints
    }
}
