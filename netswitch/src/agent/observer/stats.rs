//! The counters of the switch by the names of containers and networks.

use std::collections::BTreeMap;

use netswitch_common::verdict::DropReason;

use super::{Worker, internal, roster::Port};
use crate::api::{EndpointStats, Error, Interface, Stats, Traffic};
use crate::datapath;
use crate::kernel::netlink::Netlink;

impl Worker {
    /// Traffic, drops and flows by endpoint, packets by path.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        let ports = self.roster.ports();
        let mut endpoints: BTreeMap<u32, EndpointStats> = ports
            .map(|port| (port.number, endpoint(port, &mut self.kernel)))
            .collect();
        for (key, count) in self.counters.drops().map_err(internal)? {
            let reason = DropReason::from_number(key.reason).map_or("unknown", DropReason::name);
            let endpoint = endpoints.entry(key.endpoint).or_default();
            endpoint.drops.insert(reason.to_owned(), count.packets);
        }
        let counted = self.flows.each(datapath::now(), |_, flow| {
            for end in &flow.ends {
                if let Some(endpoint) = endpoints.get_mut(&end.endpoint) {
                    endpoint.flows += 1;
                }
            }
        });
        counted.map_err(internal)?;
        let paths = self.counters.paths().map_err(internal)?;
        Ok(Stats {
            endpoints: endpoints.into_values().collect(),
            paths: paths
                .into_iter()
                .map(|(verdict, count)| (verdict.name().to_owned(), count.packets))
                .collect(),
            missed_events: self.monitor.missed()?,
            taken: 0,
        })
    }
}

/// Its names, and what its interface has counted.
fn endpoint(port: &Port, kernel: &mut Netlink) -> EndpointStats {
    let network = port.network.clone();
    let Some(member) = &port.member else {
        return EndpointStats {
            network,
            ..EndpointStats::default()
        };
    };
    // one that is just ending has no interface any more
    let traffic = kernel.traffic(&member.host_device).ok();
    EndpointStats {
        container: member.container.clone(),
        network,
        limits: member.limits,
        traffic: traffic.map(|traffic| Traffic {
            received_packets: traffic.received_packets,
            received_bytes: traffic.received_bytes,
            sent_packets: traffic.sent_packets,
            sent_bytes: traffic.sent_bytes,
        }),
        interface: traffic.map(|traffic| Interface {
            container_id: member.container_id.to_string(),
            name: member.interface.clone(),
            received_errors: traffic.received_errors,
            received_dropped: traffic.received_dropped,
            sent_errors: traffic.sent_errors,
            sent_dropped: traffic.sent_dropped,
        }),
        ..EndpointStats::default()
    }
}
