//! Settled: a plain packet of a flow about which nothing has to be asked or written. Most packets of translated flows
//! are such. What becomes of them is the same as by the other stages, in fewer steps: nothing is looked up twice.

use netswitch_common::{
    address::Mac,
    endpoint::{Endpoint, flags},
    way::Way,
};

use super::{flow, host, stack};
use crate::{
    headers::{ETHERNET_LENGTH, Macs, dhcp, dns, protocol},
    maps,
    packet::{
        Frame,
        plain::{self, Plain},
        size,
    },
    work::Work,
};

const DEVICE: u8 = Way::Device as u8;
const PEER: u8 = Way::Peer as u8;

/// What is known at once of a frame.
pub enum Arrival {
    /// It is settled: the sheet has its translation and its way.
    Settled,
    /// It is for the host alone: to an address of the uplink's and a port that leads nowhere else.
    Host,
    Other,
}

/// What a frame is, from the world or from a container to its gateway's MAC.
#[inline(always)]
pub fn find(frame: Frame, work: &mut Work, endpoint: Option<&Endpoint>) -> Arrival {
    if endpoint.is_none() && !frame.is_for_us() {
        return Arrival::Other;
    }
    let zone = endpoint.map_or(0, |endpoint| endpoint.network);
    let Some(plain) = read(frame, work, zone) else {
        return Arrival::Other;
    };
    let may_be = match endpoint {
        Some(endpoint) => concerns_nothing_else(work, plain, endpoint),
        None if !maps::may_lead_inward(work.tuple.protocol as u8, u16::from_be(work.tuple.to_port)) => {
            return match maps::uplink(frame.ifindex()) {
                Some(uplink) if work.tuple.to == uplink.v4 || work.tuple.to == uplink.v6 => Arrival::Host,
                _ => Arrival::Other,
            };
        }
        None => true,
    };
    match may_be && is_settled(frame, work, plain) {
        true => Arrival::Settled,
        false => Arrival::Other,
    }
}

/// Whether a container's packet is its flow's alone: no guard and no service of the switch has to look at it.
#[inline(always)]
fn concerns_nothing_else(work: &Work, plain: Plain, endpoint: &Endpoint) -> bool {
    let from = work.tuple.from;
    let is_own = match from.as_v4() {
        Some(v4) => v4 == endpoint.v4,
        None => from == endpoint.v6,
    };
    is_own
        && plain.source == endpoint.mac.words()
        && endpoint.flags & (host::CLOSED | flags::LIMITED) == 0
        // a question for a name is the switch's to answer
        && work.tuple.to_port != dns::PORT
        && !matches!(work.tuple.from_port, dhcp::SERVER | dhcp::SERVER_V6)
        && !matches!(work.tuple.to_port, dhcp::CLIENT | dhcp::CLIENT_V6)
}

#[inline(always)]
fn read(frame: Frame, work: &mut Work, zone: u32) -> Option<Plain> {
    match frame.has_tag_aside() {
        true => None,
        false => plain::read(frame.bytes(), frame.length(), zone, &mut work.tuple),
    }
}

#[inline(always)]
fn is_settled(frame: Frame, work: &mut Work, plain: Plain) -> bool {
    if work.tuple.protocol == u32::from(protocol::SCTP) || plain.hop_limit <= 1 || stack::is_on() {
        return false;
    }
    work.note(plain);
    flow::is_unchanged(work) && leaves(frame, work).is_some()
}

/// The way out of a packet whose translation is on the sheet. `None`: not all of it is plain.
#[inline(always)]
fn leaves(frame: Frame, work: &mut Work) -> Option<()> {
    if frame.length() > u32::from(work.end.mtu) + ETHERNET_LENGTH
        && !size::fits_when_cut(frame, work.headers, work.end.mtu)
    {
        return None;
    }
    let (way, ifindex) = match work.end.endpoint {
        0 => (work.end.way_out(false) as u8, work.end.ifindex),
        endpoint => {
            let slot = maps::slot(endpoint)?;
            if slot.flags & flags::LIMITED != 0 {
                return None;
            }
            (slot.way, slot.ifindex)
        }
    };
    if !matches!(way, DEVICE | PEER) || work.end.source == Mac([0; 6]) {
        return None;
    }
    work.macs = Macs {
        destination: work.end.mac.words(),
        source: work.end.source.words(),
    };
    work.decision.ifindex = ifindex;
    work.decision.way = way;
    Some(())
}
