//! Bind: a socket of the host's gets an address, or a port, before it connects.

use aya_ebpf::{
    Global,
    bindings::bpf_sock,
    helpers::{bpf_bind, bpf_get_prandom_u32},
    programs::SockAddrContext,
};
use netswitch_common::{address::Address, publish::ANYWHERE};

use super::claim;
use crate::{headers::family, maps};

/// Set at load: the first and, in the upper half, the last port that the kernel chooses for sockets
/// (`net.ipv4.ip_local_port_range`).
#[unsafe(no_mangle)]
static EPHEMERAL: Global<u32> = Global::new(0);

#[inline(always)]
pub fn socket(context: &SockAddrContext) -> *mut bpf_sock {
    // SAFETY: the context of the running program
    unsafe { (*context.sock_addr).__bindgen_anon_1.sk }
}

#[inline(always)]
pub fn protocol_of(context: &SockAddrContext) -> u8 {
    // SAFETY: the context of the running program
    unsafe { (*context.sock_addr).protocol as u8 }
}

/// The server sees the address that was dialled, where packets with it come back: else the gateway's, which
/// the kernel chooses.
#[inline(always)]
pub fn keep_source(context: &SockAddrContext, is_v4: bool, dialled: Address) {
    let socket = socket(context);
    if dialled.is_loopback() || socket.is_null() {
        return;
    }
    // SAFETY: the verifier checks the access
    let port = unsafe { (*socket).src_port };
    if port == 0 && dialled.as_v4().is_some() == is_v4 {
        bind_to(context, is_v4, dialled, 0);
    }
}

/// Binds the socket to an address, and to a port in network order; 0: the kernel chooses one. Whether that is done.
#[inline(always)]
fn bind_to(context: &SockAddrContext, is_v4: bool, address: Address, port: u16) -> bool {
    #[repr(C)]
    struct SocketAddressV4(u16, u16, u32, [u32; 2]);
    #[repr(C)]
    struct SocketAddressV6(u16, u16, u32, Address, u32);
    // SAFETY: the helper reads as much as it is told
    unsafe {
        if is_v4 {
            let mut bound = SocketAddressV4(family::INET.into(), port, address.0[3], [0; 2]);
            bpf_bind(context.sock_addr, (&raw mut bound).cast(), 16) == 0
        } else {
            let mut bound = SocketAddressV6(family::INET6.into(), port, 0, address, 0);
            bpf_bind(context.sock_addr, (&raw mut bound).cast(), 28) == 0
        }
    }
}

/// The kernel will choose a port for the socket, which does not know those that flows have: it gets one that no flow has
/// kept. Whether there was one.
#[inline(always)]
pub fn beside_flows(context: &SockAddrContext, is_v4: bool) -> bool {
    let (first, last) = (EPHEMERAL.load() & 0xffff, EPHEMERAL.load() >> 16);
    let socket = socket(context);
    if first == 0 || last < first || socket.is_null() {
        return false;
    }
    let protocol = protocol_of(context);
    for _ in 0..PORTS_TRIED {
        // SAFETY: no argument
        let random = u64::from(unsafe { bpf_get_prandom_u32() });
        let port = first + ((random * u64::from(last - first + 1)) >> 32) as u32;
        let port = port as u16;
        let is_free = !claim::is_kept(port, protocol) && maps::published(ANYWHERE, protocol, port).is_none();
        if is_free && bind_to(context, is_v4, own_address(socket, is_v4), port.to_be()) {
            return true;
        }
    }
    false
}

/// Ports that a socket tries which dials a peer of flows that have kept their ports.
const PORTS_TRIED: u32 = 4;

/// The address that a socket is bound to already, or the unspecified one.
#[inline(always)]
fn own_address(socket: *mut bpf_sock, is_v4: bool) -> Address {
    // SAFETY: the verifier checks the access, word by word
    unsafe {
        if is_v4 {
            return Address::v4((&raw const (*socket).src_ip4).read_volatile());
        }
        let words = (&raw const (*socket).src_ip6).cast::<u32>();
        Address([
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ])
    }
}
