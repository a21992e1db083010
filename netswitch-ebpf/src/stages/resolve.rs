//! Resolve: a container's question for a name that NAMES has the answer to. Everything else the agent's server
//! answers, and alike.

use aya_ebpf::{bindings::__sk_buff, check_bounds_signed, helpers::bpf_skb_load_bytes};
use netswitch_common::{
    endpoint::Endpoint,
    name::{LONGEST, Name, View, lower},
    verdict::{Decision, Verdict},
};

use super::{gateway, names};
use crate::{
    headers::{ETHERNET_LENGTH, Ipv4, Ipv6, protocol},
    maps,
    packet::{Family, Frame, Headers},
    work::Work,
};

/// Type and class behind a question's name.
const KIND: u32 = 4;

/// Types of records (RFC 1035, 3.2.2; RFC 3596, 2.1), network order, and the Internet's class.
pub mod kind {
    pub const A: u16 = 1_u16.to_be();
    pub const PTR: u16 = 12_u16.to_be();
    pub const AAAA: u16 = 28_u16.to_be();
    pub const INTERNET: u16 = 1_u16.to_be();
}

/// Ports and lengths of a UDP datagram and the header of a DNS message (RFC 1035, 4.1.1).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Message {
    pub from_port: u16,
    pub to_port: u16,
    pub length: u16,
    pub checksum: u16,
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additions: u16,
}

/// Flags of a plain question: RD, AD and CD say what the sender knows (RFC 1035, 4.1.1; RFC 4035, 3.2).
const PLAIN: u16 = 0x0130_u16.to_be();

/// Whether a frame to the gateway's MAC is a question that the map answers; then the decision is in `work`.
#[inline(always)]
pub fn find(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    headers.protocol == protocol::UDP
        && headers.transport == plain_transport(headers.family)
        && headers.more_fragments == 0
        && frame
            .read::<[u16; 2]>(u32::from(headers.transport & crate::packet::LONGEST))
            .is_some_and(|ports| ports[1] == names::PORT)
        && find_name(frame.0, headers.bits(), endpoint) != 0
}

/// Where the transport header starts behind an IP header without options.
#[inline(always)]
pub fn plain_transport(family: Family) -> u16 {
    match family {
        Family::V4 => ETHERNET_LENGTH as u16 + size_of::<Ipv4>() as u16,
        _ => ETHERNET_LENGTH as u16 + size_of::<Ipv6>() as u16,
    }
}

#[unsafe(no_mangle)]
extern "C" fn find_name(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `find`; the verifier checks that the endpoint is one
    let (headers, endpoint) = unsafe { (Headers::from_bits(headers), endpoint.as_ref()) };
    let found = endpoint.and_then(|endpoint| look(Frame::new(skb), headers, endpoint));
    u32::from(found.is_some())
}

#[inline(always)]
fn look(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Option<()> {
    let view = maps::view(endpoint.sandbox).filter(|view| view.networks[0] != 0)?;
    let network = maps::network(endpoint.network)?;
    let to = frame.addresses(headers.family).ok()?.to;
    if !gateway::is_gateway(network, to) {
        return None;
    }
    let work = maps::work()?;
    let (kind, length) = read(frame, headers, work)?;
    let name = first(view, work)?;
    let has_answer = match kind {
        kind::A => name.v4 != 0,
        kind::AAAA => !name.v6.is_none(),
        kind::PTR => name.pointer_length != 0,
        _ => false,
    };
    if !has_answer || name.length != length {
        return None;
    }
    work.headers = headers;
    work.asked = kind;
    work.decision = Decision {
        verdict: Verdict::AnswerName as u32,
        ifindex: frame.ifindex(),
        network: endpoint.network,
        mac: network.mac,
        ..Decision::default()
    };
    Some(())
}

/// The name that the message asks for, in lower case, into `work`: its type, and how many bytes it has.
#[inline(always)]
fn read(frame: Frame, headers: Headers, work: &mut Work) -> Option<(u16, u32)> {
    let at = u32::from(plain_transport(headers.family));
    let message: Message = frame.read(at)?;
    if message.flags & !PLAIN != 0
        || message.questions != 1_u16.to_be()
        || message.answers | message.authorities | message.additions != 0
    {
        return None;
    }
    let length = i64::from(u16::from_be(message.length)) - size_of::<Message>() as i64 - i64::from(KIND);
    if !check_bounds_signed(length, 1, LONGEST as i64) {
        return None;
    }
    work.question.name = [0; LONGEST];
    let question = at + size_of::<Message>() as u32;
    // SAFETY: the length was checked against the place's
    let loaded = unsafe {
        bpf_skb_load_bytes(
            frame.0.cast(),
            question,
            (&raw mut work.question.name).cast(),
            length as u32,
        )
    };
    let mut kind = [0_u16; 2];
    frame.load(question + length as u32, &mut kind).ok()?;
    if loaded != 0 || kind[1] != kind::INTERNET {
        return None;
    }
    let words = (&raw mut work.question.name).cast::<u64>();
    for word in 0..LONGEST / size_of::<u64>() {
        // SAFETY: inside the name, which is aligned to eight bytes in its key
        unsafe { *words.add(word) = lower(*words.add(word)) };
    }
    Some((kind[0], length as u32))
}

/// What the first network of the view that has the name says; `work.question` is the key then.
#[inline(always)]
fn first(view: &View, work: &mut Work) -> Option<&'static Name> {
    work.question._pad = 0;
    for network in view.networks {
        if network == 0 {
            break;
        }
        work.question.network = network;
        if let Some(name) = maps::name(&work.question) {
            return Some(name);
        }
    }
    None
}
