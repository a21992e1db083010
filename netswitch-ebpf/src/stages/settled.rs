//! Settled: a plain packet of a flow about which nothing has to be asked or written. Most packets of translated flows
//! are such. What becomes of them is the same as by the other stages, in fewer steps: nothing is looked up twice.

use core::cell::Cell;

use netswitch_common::{
    address::Mac,
    endpoint::{Endpoint, flags},
    flow::{FlowEnd, Tuple},
    way::Way,
};

use super::{flow, host};
use crate::{
    headers::{ETHERNET_LENGTH, dhcp, dns, protocol},
    maps,
    packet::{
        Frame,
        plain::{self, Plain},
        size,
    },
    work::{Aside, Read},
};

const DEVICE: u8 = Way::Device as u8;
const PEER: u8 = Way::Peer as u8;

/// What is known at once of a frame.
pub enum Arrival {
    /// It is settled: its translation is aside, and this is its way.
    Settled {
        ifindex: u32,
        is_peer: bool,
    },
    /// It is for the host alone: to an address of the uplink's and a port that leads nowhere else.
    Host,
    Other,
}

/// What a frame is, from the world or from a container to its gateway's MAC.
#[inline(always)]
pub fn find(frame: Frame, aside: &Aside, endpoint: Option<&Endpoint>) -> Arrival {
    if endpoint.is_none() && !frame.is_for_us() {
        return Arrival::Other;
    }
    let zone = endpoint.map_or(0, |endpoint| endpoint.network);
    let read = aside.read;
    let Some(plain) = read_plain(frame, &read.tuple, zone) else {
        return Arrival::Other;
    };
    let may_be = match endpoint {
        Some(endpoint) => concerns_nothing_else(read, plain, endpoint),
        None if !maps::may_lead_inward(read.protocol(), u16::from_be(read.tuple.get().to_port)) => {
            let to = read.tuple.get().to;
            return match maps::uplink(frame.ifindex()) {
                Some(uplink) if to == uplink.v4 || to == uplink.v6 => Arrival::Host,
                _ => Arrival::Other,
            };
        }
        None => true,
    };
    match may_be && is_settled(aside, plain) {
        true => way(frame, read, &aside.translation.end),
        false => Arrival::Other,
    }
}

/// Whether a container's packet is its flow's alone: no guard and no service of the switch has to look at it.
#[inline(always)]
fn concerns_nothing_else(read: &Read, plain: Plain, endpoint: &Endpoint) -> bool {
    let Tuple {
        from,
        from_port,
        to_port,
        ..
    } = read.tuple.get();
    let is_own = match from.as_v4() {
        Some(v4) => v4 == endpoint.v4,
        None => from == endpoint.v6,
    };
    is_own
        && plain.source == endpoint.mac.words()
        && endpoint.flags & (host::CLOSED | flags::LIMITED) == 0
        // a question for a name is the switch's to answer
        && to_port != dns::PORT
        && !matches!(from_port, dhcp::SERVER | dhcp::SERVER_V6)
        && !matches!(to_port, dhcp::CLIENT | dhcp::CLIENT_V6)
}

#[inline(always)]
fn read_plain(frame: Frame, tuple: &Cell<Tuple>, zone: u32) -> Option<Plain> {
    match frame.has_tag_aside() {
        true => None,
        false => plain::read(frame.bytes(), frame.length(), zone, tuple),
    }
}

#[inline(always)]
fn is_settled(aside: &Aside, plain: Plain) -> bool {
    if aside.read.protocol() == protocol::SCTP || plain.hop_limit <= 1 {
        return false;
    }
    aside.read.note(plain);
    flow::is_settled(aside)
}

/// The way out of a packet whose flow is settled, if all of it is plain.
#[inline(always)]
fn way(frame: Frame, read: &Read, end: &Cell<FlowEnd>) -> Arrival {
    if frame.length() > u32::from(end.get().mtu) + ETHERNET_LENGTH
        && !size::fits_when_cut(frame, read.headers.get(), end.get().mtu)
    {
        return Arrival::Other;
    }
    let (ifindex, way) = match end.get().endpoint {
        0 => (end.get().ifindex, end.get().way_out(false) as u8),
        endpoint => match maps::slot(endpoint) {
            Some(slot) if slot.flags & flags::LIMITED == 0 => (slot.ifindex, slot.way),
            _ => return Arrival::Other,
        },
    };
    if !matches!(way, DEVICE | PEER) || end.get().source == Mac([0; 6]) {
        return Arrival::Other;
    }
    Arrival::Settled {
        ifindex,
        is_peer: way == PEER,
    }
}
