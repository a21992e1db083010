//! Why a packet would pass, or would not: asked of the programs that explain, on the maps as they are.

use std::net::{IpAddr, SocketAddr};

use netswitch_common::verdict::{DropReason, Explanation, Verdict};

use super::core::{Core, internal};
use crate::api::{Error, Response, WhyQuestion, WhyRow, WhyRule};
use crate::datapath::Hook;
use crate::model::{
    endpoint::Endpoint,
    uplink::Uplink,
    why::{
        frame::Packet,
        probe::{Ground, Probe, Side},
    },
};

const HOST: &str = "(host)";
const WORLD: &str = "(world)";

impl Core {
    /// Changes nothing: the programs only leave their answer.
    pub fn why(&mut self, question: &WhyQuestion) -> Result<Response, Error> {
        let addresses = self.kernel.addresses().map_err(internal)?;
        let uplinks = self.uplinks(&addresses).map_err(internal)?;
        let local: Vec<IpAddr> = addresses.iter().map(|(_, address)| address.ip()).collect();
        let ground = Ground {
            state: &self.state,
            uplinks: &uplinks,
            local: &local,
        };
        let mut rows = Vec::new();
        for probe in ground.probes(&question.from, &question.to)? {
            let hook = match probe.side {
                Side::Endpoint => Hook::Endpoint,
                Side::Uplink => Hook::Uplink,
            };
            let explained = self.datapath.explain(hook, probe.index, &probe.packet.frame());
            rows.push(self.in_words(&probe, &explained.map_err(internal)?, &uplinks));
        }
        Ok(Response::Why(rows))
    }

    fn in_words(&self, probe: &Probe, explanation: &Explanation, uplinks: &[Uplink]) -> WhyRow {
        let Explanation { decision, rule } = explanation;
        let verdict = Verdict::from_number(decision.verdict).unwrap_or(Verdict::Drop);
        // a packet that is answered with an ICMP error has a reason, too
        let allowed = verdict != Verdict::Drop && decision.reason == 0;
        let endpoints = || self.state.endpoints.values();
        let receiver = endpoints().find(|endpoint| allowed && endpoint.number == decision.destination);
        let leaves = allowed && decision.destination == 0 && matches!(verdict, Verdict::Open | Verdict::Translate);
        let device = match probe.side {
            Side::Uplink => probe.index,
            Side::Endpoint if leaves => decision.ifindex,
            Side::Endpoint => 0,
        };
        let uplink = uplinks.iter().find(|uplink| uplink.link.index == device);
        let sender = probe.network.as_ref().and_then(|id| self.state.networks.get(id));
        WhyRow {
            allowed,
            reason: DropReason::from_number(decision.reason)
                .map(DropReason::name)
                .unwrap_or_default()
                .to_owned(),
            path: verdict.name().to_owned(),
            protocol: probe.packet.protocol.name().to_owned(),
            source: probe.packet.from.to_string(),
            destination: destination(&probe.packet),
            network: sender.map(|network| network.name.clone()).unwrap_or_default(),
            uplink: uplink.map(|uplink| uplink.link.name.clone()).unwrap_or_default(),
            receiver: match receiver {
                _ if !allowed => String::new(),
                Some(endpoint) => self.name_of(endpoint),
                None if leaves => WORLD.to_owned(),
                None => HOST.to_owned(),
            },
            translated: match verdict {
                Verdict::Open | Verdict::Translate => match receiver {
                    Some(receiver) => receiver.addresses().all(|own| own.ip() != probe.packet.to),
                    None => sender
                        .and_then(|network| network.bridge.as_ref())
                        .is_some_and(|bridge| bridge.gateway.masquerades(probe.packet.to.is_ipv6())),
                },
                Verdict::Question | Verdict::Answer => true,
                _ => false,
            },
            rule: self.state.policy.rules.get(rule).map(|text| WhyRule {
                number: *rule,
                text: text.to_string(),
            }),
        }
    }

    fn name_of(&self, endpoint: &Endpoint) -> String {
        let container = self.state.containers.get(&endpoint.container);
        container.map(|container| container.name.clone()).unwrap_or_default()
    }
}

fn destination(packet: &Packet) -> String {
    match packet.port {
        0 => packet.to.to_string(),
        port => SocketAddr::new(packet.to, port).to_string(),
    }
}
