//! Claim: sockets of the host take ports and protocols that flows of containers may have.

use aya_ebpf::{EbpfContext as _, helpers::bpf_get_netns_cookie, programs::SockContext};
use netswitch_common::host::waits;

use crate::{
    atomic,
    headers::{family, protocol},
    maps,
};

const SOCK_RAW: u32 = 3;
/// Sockets of this protocol send only.
const IPPROTO_RAW: u32 = 255;

/// A socket of the host has a port, or dials from it, that a flow may have: the flows find out with their next
/// packets.
#[inline(always)]
pub fn take_port(port: u16) {
    if maps::config().is_some_and(|config| port.wrapping_sub(config.first_port) < config.port_count) {
        flows_look_again();
    }
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
fn flows_look_again() {
    if let Some(config) = maps::CONFIG.get_ptr_mut(0) {
        // SAFETY: an array's entry; the addition is atomic
        unsafe { atomic::fetch_add(&raw mut (*config).generation, 1) };
    }
}
