//! Sockets: the host's own programs reach published ports without a proxy. What they dial is replaced when
//! they connect or send, and what they ask about their peer is answered with what they dialled.
//!
//! A published port is held here, too: nobody else can bind it.

mod bind;
pub mod claim;

use aya_ebpf::{
    EbpfContext as _,
    bindings::bpf_sock_addr,
    helpers::{bpf_get_netns_cookie, bpf_getsockopt, bpf_set_retval},
    programs::{SkLookupContext, SockAddrContext},
};
use netswitch_common::{
    address::Address,
    host::SOCKET_MARK,
    publish::{ANYWHERE, Publication, flags},
    socket::{Dialled, REMEMBERED, relay},
};

use self::bind::{protocol_of, socket};
use crate::{
    headers::{dns, family, protocol},
    maps,
};

/// What a socket hook answers with.
const ALLOW: i32 = 1;
const REFUSE: i32 = 0;
/// What an sk_lookup program answers with.
const DROP: u32 = 0;
const PASS: u32 = 1;

const EADDRINUSE: i32 = 98;
const ECONNREFUSED: i32 = 111;
const SOL_IPV6: i32 = 41;
const IPV6_V6ONLY: i32 = 26;
/// Where Docker's resolver is: 127.0.0.11.
const RESOLVER: Address = Address([0, 0, 0xffff_u32.to_be(), 0x7f00_000b_u32.to_be()]);

/// When a socket hook runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Connect,
    /// An unconnected socket sends.
    Send,
}

/// A destination, or a peer: an address and a port in network order.
#[derive(Clone, Copy)]
struct Place {
    address: Address,
    port: u16,
}

/// The address that a hook was called with.
#[inline(always)]
fn place(context: &SockAddrContext, is_v4: bool) -> Place {
    // SAFETY: the context of the running program, here and below
    let given = unsafe { &*context.sock_addr };
    let address = if is_v4 {
        Address::v4(given.user_ip4)
    } else {
        words(given)
    };
    Place {
        address,
        port: given.user_port as u16,
    }
}

/// Word by word: the verifier knows no wider access.
#[inline(always)]
fn words(given: &bpf_sock_addr) -> Address {
    let word = |i: usize| {
        // SAFETY: i is one of the four
        unsafe { (&raw const given.user_ip6).cast::<u32>().add(i).read_volatile() }
    };
    Address([word(0), word(1), word(2), word(3)])
}

#[inline(always)]
fn replace(context: &SockAddrContext, is_v4: bool, place: Place) {
    // SAFETY: the context of the running program, whose address may be written
    unsafe {
        let given = context.sock_addr;
        if is_v4 {
            (&raw mut (*given).user_ip4).write_volatile(place.address.0[3]);
        } else {
            let words = (&raw mut (*given).user_ip6).cast::<u32>();
            for (i, word) in place.address.0.iter().enumerate() {
                words.add(i).write_volatile(*word);
            }
        }
        (&raw mut (*given).user_port).write_volatile(place.port.into());
    }
}

/// Whether the socket is the host's and not the agent's own.
#[inline(always)]
fn concerns(context: &SockAddrContext) -> bool {
    // SAFETY: the context of the running program
    let cookie = unsafe { bpf_get_netns_cookie(context.as_ptr()) };
    let is_host = maps::config().is_some_and(|config| config.namespace_cookie == cookie);
    let socket = socket(context);
    // SAFETY: the verifier checks the access
    is_host && !socket.is_null() && unsafe { (*socket).mark } != SOCKET_MARK
}

/// Leads a socket that dials a published port of the host to the container.
#[inline(always)]
pub fn dial(context: &SockAddrContext, is_v4: bool, moment: Moment) -> i32 {
    let dialled = place(context, is_v4);
    if dialled.port == dns::PORT && dialled.address == RESOLVER {
        ask_gateway(context, is_v4, dialled);
        return ALLOW;
    }
    if !concerns(context) || is_bound_to_loopback(context, is_v4) {
        return ALLOW;
    }
    // SAFETY: the verifier checks the access; of a socket that is not bound the port is 0
    let port = unsafe { (&raw const (*socket(context)).src_port).read_volatile() } as u16;
    match (moment, port) {
        (Moment::Connect, 0) => {
            let is_beside = claim::may_meet(dialled.address, dialled.port, protocol_of(context));
            if is_beside && !bind::beside_flows(context, is_v4) {
                claim::flows_look_again();
            }
        }
        (Moment::Connect, port) => claim::take_port(port, protocol_of(context)),
        (Moment::Send, port) => claim::send(port, dialled.address, dialled.port, protocol_of(context)),
    }
    let Some((number, publication)) = find(dialled, protocol_of(context)) else {
        return ALLOW;
    };
    if !maps::lets_in(number, publication, dialled.address) {
        // SAFETY: only takes a number
        unsafe { bpf_set_retval(-ECONNREFUSED) };
        return REFUSE;
    }
    let Some(target) = target(context, publication, dialled.address, moment) else {
        return ALLOW;
    };
    let port = publication.port(u16::from_be(dialled.port)).to_be();
    let target = Place { address: target, port };
    remember(context, dialled, target);
    if moment == Moment::Connect && publication.flags & flags::GATEWAY_SOURCE == 0 {
        bind::keep_source(context, is_v4, dialled.address);
    }
    replace(context, is_v4, target);
    ALLOW
}

/// Leads what a container asks at Docker's address to its gateway.
#[inline(always)]
fn ask_gateway(context: &SockAddrContext, is_v4: bool, dialled: Place) {
    // SAFETY: the context of the running program
    let cookie = unsafe { bpf_get_netns_cookie(context.as_ptr()) };
    let Some(gateway) = maps::resolver(cookie) else { return };
    if is_bound_to_loopback(context, is_v4) {
        return;
    }
    let target = Place {
        address: *gateway,
        port: dns::PORT,
    };
    remember(context, dialled, target);
    replace(context, is_v4, target);
}

/// A socket bound to a loopback address cannot leave it (EINVAL): the agent's relay serves it.
#[inline(always)]
fn is_bound_to_loopback(context: &SockAddrContext, is_v4: bool) -> bool {
    let socket = socket(context);
    if socket.is_null() {
        return true;
    }
    // SAFETY: the verifier checks the accesses
    unsafe {
        // of an IPv6 socket it is 127.0.0.6, whatever its address
        if is_v4 {
            let v4 = (&raw const (*socket).src_ip4).read_volatile();
            return Address::v4(v4).is_loopback();
        }
        let words = (&raw const (*socket).src_ip6).cast::<u32>();
        let word = |i: usize| words.add(i).read_volatile();
        Address([word(0), word(1), word(2), word(3)]).is_loopback()
    }
}

/// The publication of an address and a port of the host.
#[inline(always)]
fn find(place: Place, protocol: u8) -> Option<(u32, &'static Publication)> {
    let number = maps::published_at(place.address, protocol, u16::from_be(place.port))?;
    Some((number, maps::publication(number)?))
}

/// The container's address that the socket can reach: of its family, or an IPv4 one for a socket that speaks
/// both.
#[inline(always)]
fn target(context: &SockAddrContext, publication: &Publication, dialled: Address, moment: Moment) -> Option<Address> {
    if let Some(target) = publication.target(dialled) {
        return Some(target);
    }
    if publication.v4 == 0 || moment == Moment::Send || dialled.as_v4().is_some() {
        return None;
    }
    let mut only_v6 = 1_u32;
    // SAFETY: the context of the running program; the helper fills four bytes
    let answer = unsafe {
        bpf_getsockopt(
            context.as_ptr(),
            SOL_IPV6,
            IPV6_V6ONLY,
            (&raw mut only_v6).cast(),
            size_of::<u32>() as i32,
        )
    };
    (answer == 0 && only_v6 == 0).then_some(Address::v4(publication.v4))
}

#[inline(always)]
fn remember(context: &SockAddrContext, dialled: Place, target: Place) {
    // SAFETY: the socket of the running program; its state is written by its own calls alone
    unsafe {
        let state = maps::DIALLED.get_or_insert_ptr_mut(context, None);
        if state.is_null() {
            return;
        }
        let entry = Dialled {
            address: dialled.address,
            target: target.address,
            port: dialled.port,
            target_port: target.port,
        };
        for known in &mut (*state).dialled {
            if *known == entry {
                return;
            }
        }
        let next = (*state).next as usize % REMEMBERED;
        if let Some(slot) = (*state).dialled.get_mut(next) {
            *slot = entry;
        }
        (*state).next = (*state).next.wrapping_add(1);
    }
}

/// A peer is shown as it was dialled: to `recvmsg` and to `getpeername`.
#[inline(always)]
pub fn show(context: &SockAddrContext, is_v4: bool) -> i32 {
    let peer = place(context, is_v4);
    // SAFETY: as above
    let state = unsafe { maps::DIALLED.get_ptr_mut(context) };
    if state.is_null() {
        return ALLOW;
    }
    // SAFETY: the map's value, checked above
    for known in unsafe { &(*state).dialled } {
        if known.target == peer.address && known.target_port == peer.port && known.port != 0 {
            let dialled = Place {
                address: known.address,
                port: known.port,
            };
            replace(context, is_v4, dialled);
            break;
        }
    }
    ALLOW
}

/// Nobody binds a port that is published on that address.
#[inline(always)]
pub fn bind(context: &SockAddrContext, is_v4: bool) -> i32 {
    let asked = place(context, is_v4);
    if asked.port == 0 || !concerns(context) {
        return ALLOW;
    }
    let port = u16::from_be(asked.port);
    let protocol = protocol_of(context);
    let taken = |address| maps::published(address, protocol, port).is_some();
    let is_taken = if asked.address.is_unspecified() {
        taken(ANYWHERE)
    } else {
        taken(asked.address) || taken(asked.address.any())
    };
    if !is_taken {
        claim::take_port(port, protocol);
        return ALLOW;
    }
    // SAFETY: only takes a number
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

/// What arrives at the host's own stack for a published port could not be led to the container when it was
/// sent: the agent's relay takes it.
#[inline(always)]
pub fn relay(context: &SkLookupContext) -> u32 {
    // SAFETY: the context of the running program
    let lookup = unsafe { &*context.lookup };
    let is_v4 = lookup.family == u32::from(family::INET);
    let word = |words: *const [u32; 4], i: usize| {
        // SAFETY: i is one of the four
        unsafe { words.cast::<u32>().add(i).read_volatile() }
    };
    let six = |words: *const [u32; 4]| Address([word(words, 0), word(words, 1), word(words, 2), word(words, 3)]);
    let (local, remote) = if is_v4 {
        (Address::v4(lookup.local_ip4), Address::v4(lookup.remote_ip4))
    } else {
        (six(&raw const lookup.local_ip6), six(&raw const lookup.remote_ip6))
    };
    let protocol = lookup.protocol as u8;
    let dialled = Place {
        address: local,
        port: (lookup.local_port as u16).to_be(),
    };
    let Some((number, publication)) = find(dialled, protocol) else {
        return PASS;
    };
    if !maps::lets_in(number, publication, remote) {
        return DROP;
    }
    let index = match (protocol, is_v4) {
        (protocol::TCP, true) => relay::TCP_V4,
        (protocol::TCP, false) => relay::TCP_V6,
        (protocol::UDP, true) => relay::UDP_V4,
        (protocol::UDP, false) => relay::UDP_V6,
        _ => return PASS,
    };
    // without an agent there is no such socket, and nobody listens
    let _ = maps::RELAYS.redirect_sk_lookup(context, index, 0);
    PASS
}
