//! Claim: sockets of the host take ports and protocols that flows of containers may have.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_netns_cookie, bpf_ktime_get_coarse_ns},
    programs::SockContext,
};
use netswitch_common::{address::Address, flow::mapping::ClaimableKey, host::waits};

use crate::{
    atomic,
    headers::{family, protocol},
    maps,
};

const SOCK_RAW: u32 = 3;
/// Sockets of this protocol send only.
const IPPROTO_RAW: u32 = 255;

/// A socket of the host has a port, in host order, or dials from it, that a flow may have: the flows find out with their
/// next packets.
#[inline(always)]
pub fn take_port(port: u16, protocol: u8) {
    let is_masquerades = maps::config().is_some_and(|config| port.wrapping_sub(config.first_port) < config.port_count);
    if is_masquerades || is_kept(port, protocol) {
        flows_look_again();
    }
}

/// Whether a socket that dials this peer, at a port in network order, may get a port from the kernel that a flow to the
/// peer has kept.
#[inline(always)]
pub fn may_meet(peer: Address, port: u16, protocol: u8) -> bool {
    is_claimable(ClaimableKey::new(peer, port, protocol))
}

/// Whether a flow has kept this port, in host order.
#[inline(always)]
pub fn is_kept(port: u16, protocol: u8) -> bool {
    is_claimable(ClaimableKey::new(Address::NONE, port.to_be(), protocol))
}

/// A socket that is not connected sends from a port, in host order, to a peer.
#[inline(always)]
pub fn send(port: u16, peer: Address, peer_port: u16, protocol: u8) {
    if is_kept(port, protocol) && may_meet(peer, peer_port, protocol) {
        flows_look_again();
    }
}

#[inline(always)]
fn is_claimable(key: ClaimableKey) -> bool {
    // SAFETY: a number; a deleted entry's memory stays until the program has ended (RCU)
    let until = unsafe { maps::CLAIMABLE.get(&key) };
    // SAFETY: no argument
    until.is_some_and(|until| *until > unsafe { bpf_ktime_get_coarse_ns() })
}

/// A socket is made. One that hears a whole protocol without ports keeps that protocol for the host.
#[inline(always)]
pub fn create(context: &SockContext) {
    // SAFETY: the context of the running program, here and below
    let (family, kind, protocol) = unsafe {
        let socket = context.sock;
        (
            (&raw const (*socket).family).read_volatile(),
            (&raw const (*socket).type_).read_volatile(),
            (&raw const (*socket).protocol).read_volatile(),
        )
    };
    let is_raw = kind == SOCK_RAW && protocol != IPPROTO_RAW;
    if !is_raw && protocol != u32::from(protocol::SCTP) {
        return;
    }
    let bit = match family as u8 {
        family::INET => waits::V4,
        family::INET6 => waits::V6,
        _ => return,
    };
    // SAFETY: as above
    let cookie = unsafe { bpf_get_netns_cookie(context.as_ptr()) };
    if maps::config().is_none_or(|config| config.namespace_cookie != cookie) {
        return;
    }
    if let Some(families) = maps::HOST_PROTOCOLS.get_ptr_mut(protocol) {
        // SAFETY: an array's entry, one word: the agent and other CPUs set bits as well, and the agent looks again
        unsafe {
            let known = families.read_volatile();
            if known & bit == 0 {
                families.write_volatile(known | bit);
                flows_look_again();
            }
        }
    }
}

/// Makes every flow look up again what it was made with.
#[inline(always)]
pub fn flows_look_again() {
    if let Some(config) = maps::CONFIG.get_ptr_mut(0) {
        // SAFETY: an array's entry; the addition is atomic
        unsafe { atomic::fetch_add(&raw mut (*config).generation, 1) };
    }
}
