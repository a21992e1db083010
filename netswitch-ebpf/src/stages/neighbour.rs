//! Neighbour: who has an address? Answered from ADDRESSES; nobody on the network has to be asked.

use netswitch_common::{
    address::Address,
    endpoint::Endpoint,
    neighbour::Neighbour,
    verdict::{Decision, DropReason, Verdict},
};

use super::{leave, policy, source_guard};
use crate::{
    headers::Arp,
    maps,
    packet::{Addresses, Family, Frame, Headers},
};

/// For ARP packets and neighbour solicitations: the neighbour whose MAC they ask for, or why they
/// get no answer. What is no such question takes the way of every other frame: replies,
/// announcements, tests for duplicates of the own address.
#[inline(always)]
pub fn find(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Result<Option<&'static Neighbour>, DropReason> {
    let mut refusal = 0;
    match ask(frame, headers, endpoint, &mut refusal) {
        None => match DropReason::from_number(refusal) {
            Some(reason) => Err(reason),
            None => Ok(None),
        },
        some => Ok(some),
    }
}

/// A pointer or none is all that a function which is not inlined can return here: so the reason
/// comes by reference.
#[inline(never)]
fn ask(frame: Frame, headers: Headers, endpoint: &Endpoint, refusal: &mut u32) -> Option<&'static Neighbour> {
    let question = match headers.family {
        Family::Arp => ask_arp(frame, endpoint),
        _ => ask_discovery(frame, headers, endpoint),
    };
    match question {
        Ok(neighbour) => neighbour,
        Err(reason) => {
            *refusal = reason as u32;
            None
        }
    }
}

#[inline(always)]
fn ask_arp(frame: Frame, endpoint: &Endpoint) -> Result<Option<&'static Neighbour>, DropReason> {
    let arp = frame.arp()?;
    if arp.sender().is_unspecified() && is_others(endpoint, arp.target()) {
        return Err(DropReason::SpoofedArp);
    }
    if arp.operation != Arp::REQUEST || !arp.is_ethernet_and_ipv4() || arp.target == arp.sender {
        return Ok(None);
    }
    of_other(endpoint, arp.target())
}

#[inline(always)]
fn ask_discovery(
    frame: Frame,
    headers: Headers,
    endpoint: &Endpoint,
) -> Result<Option<&'static Neighbour>, DropReason> {
    let mut target = Address::NONE;
    frame.load(u32::from(headers.transport) + 8, &mut target)?;
    if headers.hop_limit != 255 || headers.port.to_ne_bytes()[1] != 0 {
        return Err(DropReason::Malformed);
    }
    if headers.family.is_mapped(target) {
        return Err(DropReason::SpoofedNeighbour);
    }
    let Addresses { from, .. } = frame.addresses(headers.family)?;
    if from.is_none() {
        // a test for duplicates: it claims the target, and may be heard only if nobody has it
        return match of_other(endpoint, target) {
            Ok(Some(_)) => Err(DropReason::SpoofedNeighbour),
            _ if is_others(endpoint, target) => Err(DropReason::SpoofedNeighbour),
            _ => Ok(None),
        };
    }
    of_other(endpoint, target)
}

/// Whether several may have the address, and the endpoint is not one of them.
#[inline(always)]
fn is_others(endpoint: &Endpoint, address: Address) -> bool {
    maps::neighbour(endpoint.network, address).is_some_and(Neighbour::is_shared)
        && !source_guard::is_own(endpoint, address)
}

/// The neighbour with that address; `None` if it is the endpoint itself, or if the containers have to be asked.
#[inline(always)]
fn of_other(endpoint: &Endpoint, address: Address) -> Result<Option<&'static Neighbour>, DropReason> {
    if source_guard::is_own(endpoint, address) {
        return Ok(None);
    }
    match maps::neighbour(endpoint.network, address) {
        None => Err(DropReason::NoSuchNeighbour),
        Some(neighbour) if neighbour.port.id == endpoint.id || neighbour.is_shared() => Ok(None),
        Some(neighbour) => Ok(Some(neighbour)),
    }
}

/// The neighbour's MAC goes back to the sender.
#[inline(always)]
pub fn answer(frame: Frame, headers: Headers, endpoint: &Endpoint, neighbour: &Neighbour) -> Decision {
    if !policy::may_let_meet(endpoint, &neighbour.port) {
        return Decision::drop(DropReason::IccDisabled);
    }
    let Some(way_back) = leave::device_back(frame, endpoint) else {
        return Decision::drop(DropReason::NoSuchNeighbour);
    };
    let verdict = match headers.family {
        Family::Arp => Verdict::AnswerArp,
        _ => Verdict::AnswerNeighbour,
    };
    Decision {
        verdict: verdict as u32,
        reason: 0,
        ifindex: way_back,
        way: endpoint.way,
        destination: neighbour.port.id,
        mac: neighbour.mac,
        ..Decision::default()
    }
}
