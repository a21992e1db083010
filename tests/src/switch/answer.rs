//! The frames that the model answers with.

use std::net::IpAddr;

use netswitch_common::{
    address::{Address, Mac},
    verdict::{Decision, DropReason, Verdict},
};

use super::{
    Effect, Outcome, Passage,
    headers::{Ip, Payload},
};
use crate::packet::{Arp, PROTOCOL_ICMP, PROTOCOL_ICMPV6, ip};

/// Bytes of the original that an error quotes: the largest IPv4 header and eight bytes; for IPv6
/// the header, some extension headers and eight bytes.
const QUOTE_V4: usize = 68;
const QUOTE_V6: usize = 96;
/// RFC 1812, 4.3.2.5.
pub const INTERNETWORK_CONTROL: u8 = 0xc0;
/// Solicited and override (RFC 4861, 4.4).
const SOLICITED_OVERRIDE: u8 = 0x60;

/// The answer to an ARP request or a neighbour solicitation: `target` is at `mac`.
pub(super) fn neighbour(passage: &Passage, target: IpAddr, mac: Mac, start: Decision) -> Outcome {
    let asker = passage.headers.source;
    let (verdict, frame) = match (&passage.headers.payload, target) {
        (Payload::Arp(Some(arp)), IpAddr::V4(target)) => {
            let mut frame = Arp::reply((mac, target), arp.sender).frame(mac, asker);
            // padding stays: a short frame was filled up to Ethernet's minimum
            frame.extend(&passage.frame[frame.len()..]);
            (Verdict::AnswerArp, frame)
        }
        (Payload::Ip(question), IpAddr::V6(target)) => (
            Verdict::AnswerNeighbour,
            ip((mac, asker), target, question.source).advertise(SOLICITED_OVERRIDE, target, Some(mac)),
        ),
        _ => panic!("asked for {target} in another family's protocol"),
    };
    let decision = Decision {
        verdict: verdict as u32,
        mac,
        ..start
    };
    (decision, Effect::Answered(frame))
}

/// The answer to a packet that its destination's interface cannot take.
pub(super) fn too_big(passage: &Passage, mtu: u16, start: Decision) -> Result<Outcome, DropReason> {
    let start = Decision { mtu, ..start };
    let [high, low] = mtu.to_be_bytes();
    let says = [(3, 4), (2, 0)];
    let outcome = error(
        passage,
        says,
        [0, 0, high, low],
        (Verdict::AnswerTooBig, DropReason::TooBig),
        start,
    );
    outcome.ok_or(DropReason::TooBig)
}

/// The answer to a packet that nothing leads on, if there is one for this reason.
pub(super) fn unreachable(passage: &Passage, reason: DropReason, start: Decision) -> Result<Outcome, DropReason> {
    let says = match reason {
        DropReason::NoUplink => [(3, 13), (1, 1)],
        DropReason::NoSuchNeighbour => [(3, 1), (1, 3)],
        _ => return Err(reason),
    };
    error(passage, says, [0; 4], (Verdict::AnswerUnreachable, reason), start).ok_or(reason)
}

/// An ICMP error with its type and code by family, where routers send one.
fn error(
    passage: &Passage,
    says: [(u8, u8); 2],
    word: [u8; 4],
    (verdict, reason): (Verdict, DropReason),
    start: Decision,
) -> Option<Outcome> {
    let question = passage.ip().filter(|ip| may_be_answered(ip))?;
    let network = passage.network;
    // a container hears it from its gateway; the host would believe nothing that comes from itself
    let router = if passage.is_from_host() {
        question.destination // as it stands there: it may be an IPv4 address in IPv6 clothes
    } else {
        let router = match question.source {
            IpAddr::V4(_) => network.gateway_v4,
            IpAddr::V6(asker) if asker.is_unicast_link_local() || network.gateway_v6.is_none() => network.link_local,
            IpAddr::V6(_) => network.gateway_v6,
        };
        host(Some(router).filter(|router| !router.is_none())?)
    };
    let is_v4 = question.source.is_ipv4();
    let (kind, code) = if is_v4 { says[0] } else { says[1] };
    let quote = if is_v4 { QUOTE_V4 } else { QUOTE_V6 };
    let mut rest = [&word[..], &passage.frame[14..passage.frame.len().min(14 + quote)]].concat();
    rest.resize(word.len() + quote, 0); // a short packet is filled up (RFC 4884, 5.5)
    let answer = ip((network.mac, passage.headers.source), router, question.source)
        .service(if is_v4 { INTERNETWORK_CONTROL } else { 0 })
        .dont_fragment()
        .icmp(kind, code, &rest);
    let decision = Decision {
        verdict: verdict as u32,
        reason: reason as u32,
        ..start
    };
    Some((decision, Effect::Answered(answer)))
}

/// No errors about errors, about later fragments, about groups or to nobody (RFC 1122, 3.2.2; RFC
/// 4443, 2.4).
fn may_be_answered(ip: &Ip) -> bool {
    let error = match (ip.source, ip.protocol, ip.transport) {
        (IpAddr::V4(_), PROTOCOL_ICMP, [kind, ..]) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        // nor about what is for the link alone
        (IpAddr::V6(_), PROTOCOL_ICMPV6, [kind, ..]) => *kind < 128 || matches!(kind, 133..=137),
        _ => false,
    };
    let group = |address: IpAddr| address.is_multicast() || address == IpAddr::from([255; 4]);
    let answerable = !ip.source.is_unspecified() && !group(ip.source) && !group(ip.destination);
    !error && !ip.is_later_fragment() && answerable
}

fn host(address: Address) -> IpAddr {
    let octets = |word: usize| address.0[word].to_ne_bytes();
    match address.as_v4() {
        Some(_) => octets(3).into(),
        None => IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| octets(i / 4)[i % 4])),
    }
}
