//! Share: what the LAN broadcasts to a published UDP port reaches the container beside the host (DHCP, TFTP, discovery).
//! Linux hands a broadcast to every socket that it fits; a destination that is translated goes to one of them alone.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    publish::Publication,
    verdict::{Decision, Verdict},
};

use super::{near, policy, stack};
use crate::{
    headers::{ETHERNET_LENGTH, Ipv4, protocol},
    maps,
    packet::{Family, Frame, LONGEST, Packet},
    work::Work,
};

const BROADCAST: [u16; 3] = [u16::MAX; 3];

/// Whether a frame is a broadcast that a container gets, too; the decision is in `work`.
#[inline(always)]
pub fn decide(frame: Frame, packet: &Packet) -> bool {
    let headers = packet.headers;
    packet.destination == BROADCAST
        && headers.family == Family::V4
        && headers.protocol == protocol::UDP
        && !headers.is_fragment()
        && decide_broadcast(frame.0, headers.transport.into()) != 0
}

#[unsafe(no_mangle)]
extern "C" fn decide_broadcast(skb: *mut __sk_buff, transport: u32) -> u32 {
    match maps::new_work() {
        Some(work) => u32::from(judge(Frame::new(skb), transport, work).is_some()),
        None => 0,
    }
}

#[inline(always)]
fn judge(frame: Frame, transport: u32, work: &Work) -> Option<()> {
    let header: Ipv4 = frame.read(ETHERNET_LENGTH)?;
    let (from, to) = (Address::v4(header.source), Address::v4(header.destination));
    let published = find(frame, transport)?;
    let publication = published.1;
    let network = maps::network(publication.network)?;
    let is_limited = header.destination == u32::MAX;
    if maps::uplink(frame.ifindex())?.v4.is_none() || !is_limited && !near::is_local(frame, network, to) {
        return None;
    }
    // who has no address yet begins no flow, which policies would be asked about
    let is_open = maps::lets_in(published.0, publication, from) && !policy::concerns(0, publication.endpoint);
    if from.is_unspecified() && !(is_limited && is_open) {
        return None;
    }
    work.start_decision().write(Decision {
        verdict: Verdict::Share as u32,
        destination: publication.endpoint,
        network: publication.network,
        ..Decision::default()
    });
    Some(())
}

/// The publication of a datagram's port on all addresses, and its number.
#[inline(always)]
pub fn find(frame: Frame, transport: u32) -> Option<(u32, &'static Publication)> {
    let mut port = 0_u16;
    frame.load((transport & u32::from(LONGEST)) + 2, &mut port).ok()?;
    let number = maps::published(Address::v4(0), protocol::UDP, u16::from_be(port))?;
    let publication = maps::publication(number)?;
    (publication.v4 != 0 && stack::may_forward(publication)).then_some((number, publication))
}
