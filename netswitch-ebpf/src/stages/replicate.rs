//! Replicate: a broadcast or multicast frame goes to every other member of the network.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use netswitch_common::{
    endpoint::{Endpoint, Kind, flags},
    limit::Ration,
    verdict::{Decision, DropReason, Verdict},
};

use super::{gateway, policy};
use crate::{
    maps,
    packet::{Family, Frame},
};

/// The slot of a network's own host port.
const HOST_SLOT: u32 = 0;

/// For frames to a group of MACs. The host hears a copy and takes any address of its own, so a packet
/// in it is judged as one to the gateway's MAC; but a neighbour on this network may be its destination.
#[inline(always)]
pub fn decide(frame: Frame, family: Family, endpoint: &Endpoint) -> Decision {
    if endpoint.kind != Kind::Host as u8 {
        match gateway::check(frame, family, endpoint) {
            Ok(()) | Err(DropReason::NotRouted) => {}
            Err(reason) => return Decision::drop(reason),
        }
    }
    if family != Family::Arp
        && let Some(reason) = policy::denial_from(endpoint.id)
    {
        return Decision::drop(reason);
    }
    to_members(endpoint, family)
}

/// Only looks whether the sender has any copies left; `commit` takes one.
#[inline(never)]
fn to_members(endpoint: &Endpoint, family: Family) -> Decision {
    if !may_copy(endpoint) {
        return Decision::drop(DropReason::ReplicationRate);
    }
    let everyone = Decision {
        verdict: Verdict::Replicate as u32,
        ..Decision::default()
    };
    if endpoint.flags & flags::NO_ICC == 0 || endpoint.kind == Kind::Host as u8 {
        return everyone;
    }
    if !endpoint.host_is_open(family) {
        return Decision::drop(DropReason::HostAccess);
    }
    match maps::member(endpoint.network, HOST_SLOT) {
        Some(host) => Decision {
            ifindex: host.ifindex,
            destination: host.id,
            ..everyone
        },
        None => Decision::drop(DropReason::NoSuchNeighbour),
    }
}

/// Whether the host hears a frame to all members.
#[inline(always)]
pub fn is_for_host(frame: Frame) -> bool {
    maps::endpoint(frame.ifindex()).is_none_or(|endpoint| endpoint.host_is_open(frame.family()))
}

/// Whether an endpoint may have one more frame copied.
#[inline(always)]
fn may_copy(endpoint: &Endpoint) -> bool {
    // SAFETY: no argument
    let now = unsafe { bpf_ktime_get_ns() };
    let ration = Ration::copies(endpoint.copies);
    // SAFETY: one aligned word of the map; other CPUs move it on meanwhile
    maps::RATIONS
        .get_ptr(endpoint.id)
        .is_some_and(|rations| ration.lets_pass(unsafe { (&raw const (*rations).copies).read_volatile() }, now))
}
