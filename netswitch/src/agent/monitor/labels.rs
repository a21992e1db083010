//! Labels: what numbers of endpoints and networks stand for, to people.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use netswitch_common::{
    address::{Address, Mac},
    event::Event,
    verdict::{DropReason, Verdict},
};

use crate::agent::flows;
use crate::api::MonitorRow;
use crate::model::{state::State, time::Time};

const HOST: &str = "(host)";
const WORLD: &str = "(world)";
const UNKNOWN: &str = "(unknown)";

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// TCP, UDP, SCTP, UDP-Lite.
const WITH_PORTS: [u32; 4] = [6, 17, 132, 136];

/// Whether a name is one of ours for what is no container.
pub fn is_place(name: &str) -> bool {
    [HOST, WORLD, UNKNOWN].contains(&name)
}

#[derive(Default)]
pub struct Labels {
    /// Container and network, by endpoint.
    endpoints: HashMap<u32, (String, String)>,
    /// By number.
    networks: HashMap<u32, String>,
    /// Endpoints that have an address, of whatever network.
    addresses: HashMap<IpAddr, Vec<u32>>,
}

impl Labels {
    pub fn of(state: &State) -> Self {
        let mut labels = Self::default();
        for network in state.networks.values() {
            if let Some(bridge) = &network.bridge {
                let host = (HOST.to_owned(), network.name.clone());
                labels.endpoints.insert(bridge.host_port, host);
                labels.networks.insert(bridge.number, network.name.clone());
                for pool in &network.pools {
                    labels.add(pool.gateway, bridge.host_port);
                }
            }
        }
        for endpoint in state.endpoints.values() {
            let container = state.containers.get(&endpoint.container);
            let network = state.networks.get(&endpoint.network);
            let label = (
                container.map_or_else(String::new, |container| container.name.clone()),
                network.map_or_else(String::new, |network| network.name.clone()),
            );
            labels.endpoints.insert(endpoint.number, label);
            for address in endpoint.addresses() {
                labels.add(address.ip(), endpoint.number);
            }
        }
        labels
    }

    fn add(&mut self, address: IpAddr, endpoint: u32) {
        self.addresses.entry(address).or_default().push(endpoint);
    }

    /// An event in words.
    pub fn row(&self, event: &Event, started: Time) -> MonitorRow {
        let verdict = Verdict::from_number(event.verdict).map_or("unknown", Verdict::name);
        let reason = DropReason::from_number(event.reason).map_or("", DropReason::name);
        let network = self.network(event);
        let place = |address: Address, port: u16| {
            let address = IpAddr::from(address);
            match u16::from_be(port) {
                0 => address.to_string(),
                _ if !WITH_PORTS.contains(&event.tuple.protocol) => address.to_string(),
                port => SocketAddr::new(address, port).to_string(),
            }
        };
        let is_addressed = !(event.tuple.from.is_none() && event.tuple.to.is_none());
        let or_mac = |address, port, mac: Mac| {
            if is_addressed {
                place(address, port)
            } else {
                mac.to_string()
            }
        };
        MonitorRow {
            time: started.later(event.time).to_string(),
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            from: self.name(event.source, event.tuple.from, network, event.network == 0),
            to: self.name(event.destination, event.tuple.to, network, true),
            network: network.to_owned(),
            protocol: protocol(event),
            source: or_mac(event.tuple.from, event.tuple.from_port, event.source_mac),
            destination: or_mac(event.tuple.to, event.tuple.to_port, event.destination_mac),
            source_mac: event.source_mac.to_string(),
            destination_mac: event.destination_mac.to_string(),
            length: event.length,
        }
    }

    /// The sender's, or else that of whom the packet was for.
    fn network(&self, event: &Event) -> &str {
        let of_endpoint = |number: u32| self.endpoints.get(&number).map(|(_, network)| network);
        let network = of_endpoint(event.source).or_else(|| self.networks.get(&event.network));
        network
            .or_else(|| of_endpoint(event.destination))
            .map_or("", String::as_str)
    }

    /// By number, or where the switch did not get so far, by address. `may_be_world`: an address that nobody
    /// here has is the world's.
    fn name(&self, endpoint: u32, address: Address, network: &str, may_be_world: bool) -> String {
        if let Some((name, _)) = self.endpoints.get(&endpoint) {
            return name.clone();
        }
        let address_text = IpAddr::from(address);
        let holders = self.addresses.get(&address_text).map_or(&[][..], Vec::as_slice);
        let named = || holders.iter().filter_map(|number| self.endpoints.get(number));
        let neighbour = named().find(|(_, its)| its == network);
        match neighbour.or_else(|| named().next()) {
            Some((name, _)) if endpoint == 0 => name.clone(),
            None if may_be_world && !address.is_none() && !address.is_group() => WORLD.to_owned(),
            _ => UNKNOWN.to_owned(),
        }
    }
}

fn protocol(event: &Event) -> String {
    match u16::from_be(event.ethertype) {
        ARP => "arp".to_owned(),
        IPV4 | IPV6 if event.tuple.protocol != 0 => flows::protocol(event.tuple.protocol),
        IPV4 => "ipv4".to_owned(),
        IPV6 => "ipv6".to_owned(),
        other => format!("{other:#06x}"),
    }
}
