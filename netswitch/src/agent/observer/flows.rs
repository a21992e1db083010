//! The flows of the switch by the names of their containers.

use std::net::{IpAddr, SocketAddr};

use netswitch_common::{
    address::Address,
    flow::{Flow, Tuple},
};

use super::roster::Roster;
use crate::agent::flows::protocol;
use crate::api::{FlowFilter, FlowRow};
use crate::datapath::{self, Flows};

const SECOND: u64 = 1_000_000_000;

/// The flows that a filter means; its container is named by its name.
pub fn rows(flows: &Flows, roster: &Roster, filter: &FlowFilter) -> datapath::Result<Vec<FlowRow>> {
    let now = datapath::now();
    let mut rows = Vec::new();
    flows.each(now, |_, flow| {
        if filter.limit > 0 && rows.len() == filter.limit || !concerns(filter, flow) {
            return;
        }
        let ends = flow.ends.iter().filter_map(|end| roster.port(end)?.member.as_ref());
        let containers: Vec<String> = ends.map(|member| member.container.clone()).collect();
        let is_meant = |wanted: &String| containers.contains(wanted);
        if !containers.is_empty() && filter.container.as_ref().is_none_or(is_meant) {
            rows.push(row(flow, containers, now));
        }
    })?;
    Ok(rows)
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
