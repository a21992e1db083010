//! Forward: the one member of the network that has the destination MAC.

use core::cell::Cell;

use netswitch_common::{
    endpoint::{Endpoint, Kind, Port, flags},
    verdict::{Decision, DropReason, Verdict},
};

use super::{admit, gateway, leave, names, policy, source_guard};
use crate::{
    headers::ETHERNET_LENGTH,
    maps,
    packet::{Frame, Headers, Packet, size},
};

/// Whether a frame goes to a container's port as it is and nothing else has to be known. This is the way of most frames.
#[inline(always)]
pub fn straight(frame: Frame, packet: &Packet, endpoint: &Endpoint, port: &Port) -> bool {
    const OTHER: u32 = flags::LIMITED | flags::COUNT_FLOWS;
    !(port.kind == Kind::Host as u8
        || (endpoint.flags | port.flags) & OTHER != 0
        || !endpoint.may_meet(port.kind)
        || policy::concerns(endpoint.id, port.id)
        || frame.length() > u32::from(port.mtu) + ETHERNET_LENGTH
        || endpoint.flags & flags::PUBLISHES != 0 && maps::HAIRPINS.get(endpoint.id).is_none_or(|until| *until != 0)
        || !source_guard::is_plain(frame, packet, endpoint)
        || names::is_answer(frame, packet.headers, endpoint))
}

/// For frames to one MAC.
#[inline(always)]
pub fn decide(frame: Frame, packet: &Cell<Packet>, endpoint: &Endpoint) -> Decision {
    let Some(port) = maps::port(endpoint.network, packet.get().destination) else {
        let refusal = Decision::drop(DropReason::NoSuchNeighbour);
        return refuse(frame, packet.get().headers, endpoint, refusal);
    };
    if !policy::may_let_meet(endpoint, port) {
        return Decision::drop(DropReason::IccDisabled);
    }
    if port.kind != Kind::Host as u8 && endpoint.flags & flags::PUBLISHES != 0 {
        if gateway::hairpin(frame, packet.get().headers, endpoint) {
            return leave::decided();
        }
    }
    let verdict = if port.kind == Kind::Host as u8 {
        gateway::decide(frame, packet.get().headers, endpoint, port)
    } else if names::is_answer(frame, packet.get().headers, endpoint) {
        Verdict::Answer as u32 | Decision::LIMITED
    } else if policy::is_followed(endpoint, port) {
        admit::judge(frame, packet.get().headers, endpoint, port)
    } else if (endpoint.flags | port.flags) & flags::LIMITED != 0 {
        Verdict::Peer as u32 | Decision::LIMITED
    } else {
        Verdict::Peer as u32
    };
    to_port(frame, packet.get().headers, endpoint, port, verdict)
}

/// The same for what an uplink has let in already, and the host's stack has carried here.
#[inline(always)]
pub fn deliver(frame: Frame, packet: &Cell<Packet>, endpoint: &Endpoint) -> Decision {
    match maps::port(endpoint.network, packet.get().destination) {
        Some(port) => {
            // commit finds out whether it has: here the stack has no room, and this way is long
            let verdict = Verdict::Peer as u32 | Decision::LIMITED;
            to_port(frame, packet.get().headers, endpoint, port, verdict)
        }
        None => Decision::drop(DropReason::NoSuchNeighbour),
    }
}

/// Untranslated, if it is not too big. With [`Verdict::Drop`] the decision is in the sheet.
#[inline(always)]
fn to_port(frame: Frame, headers: Headers, endpoint: &Endpoint, port: &Port, verdict: u32) -> Decision {
    if verdict == Verdict::Drop as u32 {
        return leave::decided();
    }
    if frame.length() > u32::from(port.mtu) + ETHERNET_LENGTH {
        if !size::fits_when_cut(frame, headers, port.mtu) {
            let refusal = Decision {
                destination: port.id,
                mtu: port.mtu,
                ..Decision::drop(DropReason::TooBig)
            };
            return refuse(frame, headers, endpoint, refusal);
        }
    }
    Decision {
        verdict,
        ifindex: port.ifindex,
        way: port.way,
        remote: port.remote,
        destination: port.id,
        ..Decision::default()
    }
}

/// The frame is dropped, and its sender is told why. Nobody has the destination MAC if a container has gone and the sender's
/// neighbour table still has its MAC.
#[inline(always)]
fn refuse(frame: Frame, headers: Headers, endpoint: &Endpoint, refusal: Decision) -> Decision {
    if let Some(work) = maps::work() {
        work.start_decision().write(refusal);
    }
    leave::tell(frame, headers, endpoint);
    leave::decided()
}
