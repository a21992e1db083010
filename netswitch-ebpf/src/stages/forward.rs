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
    packet::{Family, Frame, Headers, Packet, size},
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
        return Decision::drop(DropReason::NoSuchNeighbour);
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
            return too_big(frame, headers, endpoint, port);
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

/// The device through which an answer reaches the sender: `bpf_redirect_peer` refuses the host's.
#[inline(always)]
pub fn device_back(frame: Frame, endpoint: &Endpoint) -> Option<u32> {
    if endpoint.kind == Kind::Host as u8 {
        maps::network(endpoint.network).map(|network| network.host_end)
    } else {
        Some(frame.ifindex())
    }
}

/// Tells the sender, unless the protocols forbid it.
#[inline(never)]
fn too_big(frame: Frame, headers: Headers, endpoint: &Endpoint, port: &Port) -> Decision {
    if leave::may_not_be_answered(frame, headers) {
        return Decision::drop(DropReason::TooBig);
    }
    let (Some(network), Some(way_back)) = (maps::network(endpoint.network), device_back(frame, endpoint)) else {
        return Decision::drop(DropReason::TooBig);
    };
    let router = match headers.family {
        Family::V4 => !network.gateway_v4.is_none(),
        _ => !network.gateway_v6.is_none() || !network.link_local.is_none(),
    };
    if !router && endpoint.kind != Kind::Host as u8 {
        return Decision::drop(DropReason::TooBig);
    }
    Decision {
        verdict: Verdict::AnswerTooBig as u32,
        reason: DropReason::TooBig as u32,
        ifindex: way_back,
        way: endpoint.way,
        destination: port.id,
        mac: network.mac,
        mtu: port.mtu,
        ..Decision::default()
    }
}
