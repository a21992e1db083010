//! Neighbour: who has an address? Answered from ADDRESSES; nobody on the network has to be asked.

use netswitch_common::{
    address::Address,
    endpoint::Endpoint,
    neighbour::Neighbour,
    verdict::{Decision, DropReason, Verdict},
};

use super::{forward, replicate, source_guard};
use crate::{
    maps,
    packet::{Addresses, Arp, Family, Frame, Packet},
};

/// For ARP packets and neighbour solicitations. What is no question for a neighbour's MAC takes the
/// way of every other frame: replies, announcements, tests for duplicates of the own address.
#[inline(never)]
pub fn decide(frame: Frame, packet: &Packet, endpoint: &Endpoint) -> Decision {
    let question = match packet.family {
        Family::Arp => ask_arp(frame, endpoint),
        _ => ask_discovery(frame, packet, endpoint),
    };
    match question {
        Err(reason) => Decision::drop(reason),
        Ok(Some(neighbour)) => answer(frame, packet, endpoint, neighbour),
        Ok(None) if packet.to_group() => replicate::decide(endpoint),
        Ok(None) => forward::decide(frame, packet, endpoint),
    }
}

#[inline(always)]
fn ask_arp(frame: Frame, endpoint: &Endpoint) -> Result<Option<&'static Neighbour>, DropReason> {
    let arp = frame.arp()?;
    if arp.operation != Arp::REQUEST || !arp.is_ethernet_and_ipv4() || arp.target == arp.sender {
        return Ok(None);
    }
    find(endpoint, arp.target())
}

#[inline(always)]
fn ask_discovery(frame: Frame, packet: &Packet, endpoint: &Endpoint) -> Result<Option<&'static Neighbour>, DropReason> {
    let mut target = Address::NONE;
    frame.load(u32::from(packet.transport) + 8, &mut target)?;
    if packet.hop_limit != 255 || packet.port.to_ne_bytes()[1] != 0 {
        return Err(DropReason::Malformed);
    }
    let Addresses { from, .. } = packet.addresses(frame)?;
    if from.is_none() {
        // a test for duplicates: it claims the target, and may be heard only if nobody has it
        return match find(endpoint, target) {
            Ok(Some(_)) => Err(DropReason::SpoofedNeighbour),
            _ => Ok(None),
        };
    }
    find(endpoint, target)
}

/// The neighbour with that address; `None` if it is the endpoint itself.
#[inline(always)]
fn find(endpoint: &Endpoint, address: Address) -> Result<Option<&'static Neighbour>, DropReason> {
    if source_guard::is_own(endpoint, address) {
        return Ok(None);
    }
    match maps::neighbour(endpoint.network, address) {
        None => Err(DropReason::NoSuchNeighbour),
        Some(neighbour) if neighbour.port.id == endpoint.id => Ok(None),
        Some(neighbour) => Ok(Some(neighbour)),
    }
}

#[inline(always)]
fn answer(frame: Frame, packet: &Packet, endpoint: &Endpoint, neighbour: &Neighbour) -> Decision {
    if !forward::may_meet(endpoint, neighbour.port.kind) {
        return Decision::drop(DropReason::IccDisabled);
    }
    let Some(way_back) = forward::way_back(frame, endpoint) else {
        return Decision::drop(DropReason::NoSuchNeighbour);
    };
    let verdict = match packet.family {
        Family::Arp => Verdict::AnswerArp,
        _ => Verdict::AnswerNeighbour,
    };
    Decision {
        verdict: verdict as u32,
        reason: 0,
        ifindex: way_back,
        destination: neighbour.port.id,
        mac: neighbour.mac,
        ..Decision::default()
    }
}
