//! Claim: what the host itself could be waiting for. A flow shows the world an address of the host's, so its
//! answers go to a container only where no socket, tunnel or policy of the host could be meant.

use core::cell::Cell;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock_tuple},
    helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use netswitch_common::{flow::Tuple, host::waits};

use crate::{headers::protocol, maps};

/// `BPF_F_CURRENT_NETNS`: that of the host-side device.
const CURRENT_NAMESPACE: u64 = u64::MAX;
/// The kernel's `TCP_LISTEN`.
const LISTEN: u32 = 10;

/// What [`socket`] says: no socket of the host gets the packet; one that waits for anybody; one that speaks with
/// this peer.
pub const NOBODY: u32 = 0;
pub const LISTENS: u32 = 1;
pub const SPEAKS: u32 = 2;

/// The host's socket that a TCP or UDP packet with this tuple would reach.
#[inline(never)]
pub fn socket(skb: *mut __sk_buff, packet: &Cell<Tuple>) -> u32 {
    let mut memory = core::mem::MaybeUninit::<bpf_sock_tuple>::uninit();
    let tuple = memory.as_mut_ptr();
    let packet = packet.get();
    // SAFETY: integers inside the tuple, as many of them as its size says
    let size = unsafe {
        if packet.from.as_v4().is_some() {
            let v4 = &raw mut (*tuple).__bindgen_anon_1.ipv4;
            (*v4).saddr = packet.from.0[3];
            (*v4).daddr = packet.to.0[3];
            (*v4).sport = packet.from_port;
            (*v4).dport = packet.to_port;
            size_of_val(&*v4)
        } else {
            let v6 = &raw mut (*tuple).__bindgen_anon_1.ipv6;
            (*v6).saddr = packet.from.0;
            (*v6).daddr = packet.to.0;
            (*v6).sport = packet.from_port;
            (*v6).dport = packet.to_port;
            size_of_val(&*v6)
        }
    };
    let is_tcp = packet.protocol == u32::from(protocol::TCP);
    // SAFETY: the context of the running program and a tuple of that size; what is found is given back
    unsafe {
        let socket = match is_tcp {
            true => bpf_skc_lookup_tcp(skb.cast(), tuple, size as u32, CURRENT_NAMESPACE, 0),
            false => bpf_sk_lookup_udp(skb.cast(), tuple, size as u32, CURRENT_NAMESPACE, 0),
        };
        if socket.is_null() {
            return NOBODY;
        }
        let speaks = match is_tcp {
            true => (&raw const (*socket).state).read_volatile() != LISTEN,
            false => (&raw const (*socket).dst_port).read_volatile() != 0,
        };
        bpf_sk_release(socket.cast());
        LISTENS + u32::from(speaks)
    }
}

/// Whether the host uses a protocol without ports itself.
#[inline(always)]
pub fn uses(protocol: u32, is_v4: bool) -> bool {
    let family = match is_v4 {
        true => waits::V4,
        false => waits::V6,
    };
    maps::HOST_PROTOCOLS
        .get(protocol)
        .is_some_and(|families| families & family != 0)
}

/// Whether a flow must not begin whose answers have this tuple: a socket is there, or a published port that leads
/// elsewhere than to `port`, in network order, of the endpoint `owner`.
#[inline(always)]
pub fn takes(skb: *mut __sk_buff, reply: &Cell<Tuple>, owner: u32, port: u16) -> bool {
    match reply.get().protocol as u8 {
        protocol::TCP | protocol::UDP => match leads_to(reply, owner, port) {
            Some(is_own) => !is_own,
            None => socket(skb, reply) != NOBODY,
        },
        _ => false,
    }
}

/// Whether the published port that answers with this tuple are for leads to `port` of the endpoint `owner`. `None`: it is
/// not published. No socket of the host has a published port, but the look-up of sockets finds the agent's relay there.
#[inline(always)]
fn leads_to(reply: &Cell<Tuple>, owner: u32, port: u16) -> Option<bool> {
    let Tuple {
        to, to_port, protocol, ..
    } = reply.get();
    let outside = u16::from_be(to_port);
    let number = maps::published_at(to, protocol as u8, outside)?;
    let publication = maps::publication(number)?;
    Some(publication.endpoint == owner && publication.port(outside) == u16::from_be(port))
}

/// Whether a flow must not go on whose answers have this tuple: since it began, the host has begun to wait for
/// them, or leads them elsewhere than to `port`, in network order, of the endpoint `owner`. A socket that listens does not
/// wait for answers.
#[inline(never)]
pub fn holds(skb: *mut __sk_buff, reply: &Cell<Tuple>, owner: u32, port: u16) -> bool {
    let protocol = reply.get().protocol as u8;
    match protocol {
        protocol::TCP | protocol::UDP => match leads_to(reply, owner, port) {
            Some(is_own) => !is_own,
            None if protocol == protocol::TCP => socket(skb, reply) == SPEAKS,
            None => socket(skb, reply) != NOBODY,
        },
        protocol::ICMP | protocol::ICMPV6 | protocol::UDP_LITE => false,
        other => uses(other.into(), reply.get().from.as_v4().is_some()),
    }
}
