//! The flows of the switch by the names of their containers, and the end of those that are over.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use netswitch_common::{
    address::Address,
    capacity,
    flow::{EXTENT, Flow, FlowEnd, Tuple},
    host::Config,
};

use super::core::{Core, internal};
use crate::api::{Error, FlowFilter, FlowRow, Response};
use crate::model::endpoint::Endpoint;
use crate::model::state::State;

const SECOND: u64 = 1_000_000_000;

impl Core {
    pub fn flows(&mut self, filter: &FlowFilter) -> Result<Response, Error> {
        let wanted = match &filter.container {
            Some(key) => Some(self.state.container(key)?.name.clone()),
            None => None,
        };
        let (flows, now) = self.datapath.tables().flows().map_err(internal)?;
        let endpoints: HashMap<u32, &Endpoint> = self
            .state
            .endpoints
            .values()
            .map(|endpoint| (endpoint.number, endpoint))
            .collect();
        let name = |end: &FlowEnd| {
            let endpoint = endpoints.get(&end.endpoint)?;
            let container = self.state.containers.get(&endpoint.container)?;
            (endpoint.generation == end.generation).then(|| container.name.clone())
        };
        let mut rows = Vec::new();
        for (_, flow) in &flows {
            if rows.len() == filter.limit && filter.limit > 0 {
                break;
            }
            if !concerns(filter, flow) {
                continue;
            }
            let containers: Vec<String> = flow.ends.iter().filter_map(name).collect();
            if containers.is_empty() || wanted.as_ref().is_some_and(|wanted| !containers.contains(wanted)) {
                continue;
            }
            rows.push(row(flow, containers, now));
        }
        Ok(Response::Flows(rows))
    }

    /// Frees what ended flows still hold. Nobody waits for it: an ended flow counts as absent.
    pub fn sweep_flows(&mut self) {
        let alive = ports(&self.state);
        let is_gone = |flow: &Flow| {
            flow.ends
                .iter()
                .any(|end| end.endpoint != 0 && alive.get(&end.endpoint) != Some(&end.generation))
        };
        if let Err(error) = self.try_sweep_flows(&alive, is_gone) {
            tracing::warn!(%error, "flows that are over were not removed");
        }
    }

    fn try_sweep_flows(
        &mut self,
        alive: &HashMap<u32, u32>,
        is_gone: impl Fn(&Flow) -> bool,
    ) -> crate::datapath::Result<()> {
        let tables = self.datapath.tables();
        let used = tables.sweep_flows(is_gone)?;
        let share = tables.config()?.flow_share;
        let mut beyond = 0_u32;
        for owner in alive.keys() {
            let used = used.get(owner).copied().unwrap_or(0);
            beyond = beyond.saturating_add(tables.trim_extent(*owner, used, share)?);
        }
        tables.set_common_extent(beyond)
    }

    /// How many flows each endpoint may have whatever the others do: they share half of the table equally.
    pub fn share_flows(&mut self) {
        let flow_share = flow_share(self.state.endpoints.len());
        let tables = self.datapath.tables();
        let shared = tables.config().and_then(|config| {
            if config.flow_share == flow_share {
                return Ok(());
            }
            tables.set_config(&Config { flow_share, ..config })
        });
        if let Err(error) = shared {
            tracing::warn!(%error, "endpoints keep the shares of flows that they had");
        }
    }

    /// Frees what names have led leashes to, once that is over.
    pub fn sweep_leashes(&mut self) {
        let leashed = self.state.endpoints.values().filter(|endpoint| endpoint.is_leashed());
        let living = leashed.map(|endpoint| endpoint.generation).collect();
        if let Err(error) = self.datapath.tables().leashes().forget(&living) {
            tracing::warn!(%error, "what leashes have learnt was not forgotten");
        }
    }
}

/// The generation of every id that flows may have at an end: those of endpoints, and of the networks' own ports.
fn ports(state: &State) -> HashMap<u32, u32> {
    let endpoints = state.endpoints.values();
    let endpoints = endpoints.map(|endpoint| (endpoint.number, endpoint.generation));
    let bridges = state.networks.values().filter_map(|network| network.bridge.as_ref());
    let hosts = bridges.map(|bridge| (bridge.host_port, bridge.host_port_generation));
    endpoints.chain(hosts).collect()
}

/// The share of each of so many endpoints. In steps, so that one endpoint more seldom changes it.
pub fn flow_share(endpoints: usize) -> u32 {
    let sharers =
        u32::try_from(endpoints.max(1)).map_or(u32::MAX, |count| count.checked_next_power_of_two().unwrap_or(u32::MAX));
    ((capacity::RECORDS - capacity::COMMON_RECORDS) / sharers).max(EXTENT)
}

fn concerns(filter: &FlowFilter, flow: &Flow) -> bool {
    let protocol = filter
        .protocol
        .is_none_or(|protocol| u32::from(protocol.number()) == flow.tuples[0].protocol);
    let port = filter.port.is_none_or(|port| {
        let is = |tuple: &Tuple| [tuple.from_port, tuple.to_port].contains(&port.to_be());
        flow.tuples.iter().any(is)
    });
    protocol && port
}

fn row(flow: &Flow, containers: Vec<String>, now: u64) -> FlowRow {
    let [original, reply] = &flow.tuples;
    let place = |address: Address, port: u16| match u16::from_be(port) {
        0 => IpAddr::from(address).to_string(),
        port => SocketAddr::new(address.into(), port).to_string(),
    };
    FlowRow {
        containers,
        protocol: protocol(original.protocol),
        from: place(original.from, original.from_port),
        to: place(original.to, original.to_port),
        translated_from: place(reply.to, reply.to_port),
        translated_to: place(reply.from, reply.from_port),
        state: flow.state().name().to_owned(),
        expires: flow.deadline.saturating_sub(now) / SECOND,
    }
}

/// As users know it, or its number.
pub fn protocol(number: u32) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::World;

    #[test]
    fn a_flow_may_end_at_a_container_or_at_the_host() {
        let mut world = World::new();
        let network = world.network("mynet", &[]);
        world.run("web", &["mynet"]);
        let endpoint = world.endpoint("web", "mynet");
        let bridge = world.state.networks[&network].bridge.as_ref().unwrap();
        let ports = ports(&world.state);
        assert_eq!(ports.get(&endpoint.number), Some(&endpoint.generation));
        assert_eq!(ports.get(&bridge.host_port), Some(&bridge.host_port_generation));
    }

    #[test]
    fn the_shares_of_all_endpoints_fit_into_their_half() {
        for (endpoints, share) in [
            (0, 524_288),
            (1, 524_288),
            (3, 131_072),
            (40, 8_192),
            (8_192, 64),
            (60_000, 64),
        ] {
            assert_eq!(flow_share(endpoints), share, "{endpoints}");
        }
    }
}
