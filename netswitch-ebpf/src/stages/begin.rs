//! Begin: the flow that begins with a packet, for commit to open.

use core::cell::Cell;

use netswitch_common::{
    address::Address,
    endpoint::Endpoint,
    flow::{FlowKey, asked_at},
};

use super::route;
use crate::{
    place::{Draft, copy, part},
    work::{NewFlow, Read, end},
};

/// The originator of a new flow is the endpoint that has sent the packet.
#[inline(always)]
pub fn set_sender(new: &NewFlow, endpoint: &Endpoint) {
    end::set_endpoint(
        part!(new.flow, ends[0]),
        endpoint.id,
        endpoint.generation,
        endpoint.mtu,
        endpoint.mac,
        endpoint.gateway,
    );
}

/// What a packet's new flow is, beside its ends, and the addresses that its packets leave with ([`target`], [`source`]).
pub struct Template {
    /// Endpoint that it is charged to.
    pub owner: u32,
    /// Where its packets go to.
    pub port: u16,
    /// Whether they leave from a port of the masquerade range.
    pub wants_port: bool,
    /// Where its answers come from.
    pub zone: u32,
    /// Number of the publication that it comes by, or 0.
    pub publication: u32,
}

/// Where a new flow's packets go to.
#[inline(always)]
pub fn target(new: &NewFlow) -> &Cell<Address> {
    part!(new.flow, tuples[1].from)
}

/// Where they come from then.
#[inline(always)]
pub fn source(new: &NewFlow) -> &Cell<Address> {
    part!(new.flow, tuples[1].to)
}

/// Writes the rest of a new flow.
#[inline(always)]
pub fn begin(new: Draft<'_, NewFlow>, read: &Read, template: Template) {
    let generation = route::generation();
    let flow = &new.flow;
    copy(&read.tuple, part!(flow, tuples[0]));
    part!(flow, tuples[1].from_port).set(template.port);
    part!(flow, tuples[1].to_port).set(read.tuple.get().from_port);
    part!(flow, tuples[1].zone).set(template.zone);
    part!(flow, tuples[1].protocol).set(read.tuple.get().protocol);
    part!(flow, deadline).set(0);
    part!(flow, routed).set(read.now.get());
    part!(flow, serial).set(0);
    part!(flow, progress).set(0);
    part!(flow, generation).set(generation);
    part!(flow, policy_epoch).set(0);
    part!(flow, address_sums).set([0; 2]);
    part!(flow, port_sums).set([0; 2]);
    part!(flow, publication).set(template.publication);
    part!(flow, rule).set(0);
    part!(flow, sequence).set(0);
    part!(flow, asked).set(asked_at(read.now.get(), generation));
    new.key.set(FlowKey {
        owner: template.owner,
        slot: 0,
    });
    new.wants_port.set(template.wants_port);
    new.done();
}
