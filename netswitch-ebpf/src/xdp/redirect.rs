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
    work::{Aside, Found, Read, Translation},
};

/// What the hook answers with; `None`: nothing was changed. The packet's tuple is there already.
#[inline(always)]
pub fn redirect(context: &XdpContext, aside: &Aside, packet: Plain) -> Option<u32> {
    let Aside { read, translation, .. } = *aside;
    let checksum_at = match read.protocol() {
        protocol::TCP => checksum_at::TCP,
        protocol::UDP => checksum_at::UDP,
        // SCTP's covers all of the packet by a CRC: tcx changes that
        _ => return None,
    };
    read.note(packet);
    let end = &translation.end;
    if !flow::is_settled(aside) || !may_redirect(aside.found.get()) || end.get().is_world() {
        return None;
    }
    let slot = maps::slot(end.get().endpoint)?;
    if slot.flags & flags::LIMITED != 0 || slot.way != Way::Peer as u8 {
        return None;
    }
    let length = length(context);
    if packet.hop_limit <= 1 || length > u32::from(end.get().mtu) + ETHERNET_LENGTH {
        return None;
    }
    let network = maps::network(slot.network)?;
    let macs = || Macs {
        destination: end.get().mac.words(),
        source: network.mac.words(),
    };
    let bytes = bytes(context);
    let checksum = bytes.at::<u16>(packet.transport + checksum_at)?;
    match read.tuple.get().from.as_v4() {
        Some(_) => {
            let front = bytes.at::<FrontV4>(0)?;
            // SAFETY: inside the packet, as `at` has found
            unsafe {
                *checksum = changed(*checksum, packet, read, translation)?;
                (*front).change(translation, 1);
                (*front).macs = macs();
            }
        }
        None => {
            let front = bytes.at::<FrontV6>(0)?;
            // SAFETY: as above
            unsafe {
                *checksum = changed(*checksum, packet, read, translation)?;
                (*front).change(translation, 1);
                (*front).macs = macs();
            }
        }
    }
    count_path(Verdict::Translate, length);
    // SAFETY: only takes numbers
    Some(unsafe { bpf_redirect(slot.ifindex, 0) } as u32)
}

/// Whether it goes to a container that the client has heard. Until then the client might be a stranger: tcx looks at its
/// packets.
#[inline(always)]
fn may_redirect(found: Found) -> bool {
    halves(found.life).1 & progress::ASSURED != 0 && found.direction == direction::ORIGINAL
}

/// The checksum behind the IP header after the translation. `None` where the sender's device left it to be
/// finished (a pair's other end does), which XDP has no mark for: it holds the pseudo header's sum then.
#[inline(always)]
fn changed(before: u16, packet: Plain, read: &Read, translation: &Translation) -> Option<u16> {
    let Tuple { from, to, protocol, .. } = read.tuple.get();
    let is_udp = protocol == u32::from(protocol::UDP);
    if is_udp && before == 0 {
        return from.as_v4().map(|_| 0); // it has none (RFC 768)
    }
    if before == !checksum::fold(checksum::pseudo_header(&from, &to, protocol as u8, packet.length)) {
        return None;
    }
    let halves = |sum: u32| (sum & 0xffff) + (sum >> 16);
    match checksum::fold(
        u32::from(!before) + halves(translation.address_sum.get()) + halves(translation.port_sum.get()),
    ) {
        0 if is_udp => Some(0xffff),
        after => Some(after),
    }
}
