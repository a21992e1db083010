//! Redirect: packets of a published port's flow go from XDP straight into the container. What opens a flow,
//! changes its state or its deadline, is not plain, has no finished checksum or is for a container with limits
//! goes on to tcx untouched.

use aya_ebpf::{helpers::bpf_redirect, programs::XdpContext};
use netswitch_common::{
    checksum,
    endpoint::flags,
    flow::{Tuple, direction, halves},
    progress,
    verdict::Verdict,
    way::Way,
};

use super::frame::{bytes, length};
use crate::{
    commit::{
        count::count_path,
        translate::{FrontV4, FrontV6},
    },
    headers::{ETHERNET_LENGTH, Macs, checksum_at, protocol},
    maps,
    packet::plain::Plain,
    stages::flow,
    work::Work,
};

/// What the hook answers with; `None`: nothing was changed. The packet's tuple is on the sheet.
#[inline(always)]
pub fn redirect(context: &XdpContext, packet: Plain) -> Option<u32> {
    let work = maps::work()?;
    let checksum_at = match work.tuple.protocol as u8 {
        protocol::TCP => checksum_at::TCP,
        protocol::UDP => checksum_at::UDP,
        // SCTP's covers all of the packet by a CRC: tcx changes that
        _ => return None,
    };
    if !is_of_a_settled_flow(work, packet) {
        return None;
    }
    let slot = maps::slot(work.end.endpoint)?;
    if slot.flags & flags::LIMITED != 0 || slot.way != Way::Peer as u8 {
        return None;
    }
    let length = length(context);
    if packet.hop_limit <= 1 || length > u32::from(work.end.mtu) + ETHERNET_LENGTH {
        return None;
    }
    work.macs = Macs {
        destination: work.end.mac.words(),
        source: maps::network(slot.network)?.mac.words(),
    };
    let bytes = bytes(context);
    let checksum = bytes.at::<u16>(packet.transport + checksum_at)?;
    match work.tuple.from.as_v4() {
        Some(_) => {
            let front = bytes.at::<FrontV4>(0)?;
            // SAFETY: inside the packet, as `at` has found
            unsafe {
                *checksum = changed(*checksum, packet, work)?;
                (*front).change(work);
            }
        }
        None => {
            let front = bytes.at::<FrontV6>(0)?;
            // SAFETY: as above
            unsafe {
                *checksum = changed(*checksum, packet, work)?;
                (*front).change(work);
            }
        }
    }
    count_path(Verdict::Translate, length);
    // SAFETY: only takes numbers
    Some(unsafe { bpf_redirect(slot.ifindex, 0) } as u32)
}

/// Whether it goes to a container in a flow that nothing has to be written about; then the flow is in `work`.
#[inline(always)]
fn is_of_a_settled_flow(work: &mut Work, packet: Plain) -> bool {
    work.note(packet);
    // until the client has heard the container it might be a stranger: tcx looks at its packets
    flow::is_unchanged(work)
        && halves(work.life).1 & progress::ASSURED != 0
        && work.direction == direction::ORIGINAL
        && !work.end.is_world()
}

/// The checksum behind the IP header after the translation. `None` where the sender's device left it to be
/// finished (a pair's other end does), which XDP has no mark for: it holds the pseudo header's sum then.
#[inline(always)]
fn changed(before: u16, packet: Plain, work: &Work) -> Option<u16> {
    let Tuple { from, to, protocol, .. } = &work.tuple;
    let is_udp = *protocol == u32::from(protocol::UDP);
    if is_udp && before == 0 {
        return from.as_v4().map(|_| 0); // it has none (RFC 768)
    }
    if before == !checksum::fold(checksum::pseudo_header(from, to, *protocol as u8, packet.length)) {
        return None;
    }
    let halves = |sum: u32| (sum & 0xffff) + (sum >> 16);
    match checksum::fold(u32::from(!before) + halves(work.address_sum) + halves(work.port_sum)) {
        0 if is_udp => Some(0xffff),
        after => Some(after),
    }
}
