//! Frames that reach the host, by the gateway's MAC or as copies, judged by destination address: the
//! host itself, another network, or the world.

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_NOT_FWDED, bpf_fib_lookup as FibLookup},
    helpers::bpf_fib_lookup,
};
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, flags},
    network::Network,
    verdict::DropReason,
};

use super::source_guard;
use crate::{
    maps,
    packet::{Addresses, Family, Frame},
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Whether the host's own stack is where the packet belongs.
#[inline(never)]
pub fn check(frame: Frame, family: Family, endpoint: &Endpoint) -> Result<(), DropReason> {
    if !matches!(family, Family::V4 | Family::V6) {
        return Ok(());
    }
    let Addresses { to, .. } = frame.addresses(family)?;
    if source_guard::is_mapped(family, to) {
        return Err(DropReason::NoUplink);
    }
    if to.is_group() {
        return Ok(());
    }
    let Some(network) = maps::network(endpoint.network) else {
        return Err(DropReason::NoUplink);
    };
    if is_gateway(network, to) {
        return Ok(());
    }
    if to.as_v4().is_none() && to.is_v6_link_local() {
        return Err(DropReason::NotRouted);
    }
    let subnet = maps::subnet(to);
    if subnet.is_some_and(|subnet| subnet.network != endpoint.network) {
        return Err(DropReason::OtherNetwork);
    }
    // inside the own subnet this finds its broadcast address and what else the host end carries
    if is_local(frame, network, &to) {
        return Ok(());
    }
    Err(match subnet {
        Some(_) => DropReason::NotRouted,
        None if endpoint.flags & flags::INTERNAL != 0 => DropReason::InternalNetwork,
        None => DropReason::NoUplink,
    })
}

/// Whether the host end carries the address.
#[inline(always)]
pub fn is_gateway(network: &Network, address: Address) -> bool {
    !address.is_none()
        && (address == network.gateway_v4 || address == network.gateway_v6 || address == network.link_local)
}

/// Whether the host has the address, on whatever device; also whether it is a broadcast address there.
///
/// The look-up says NOT_FWDED for a local address, but where there is no route at all it says the
/// same. So an address near it has to have a route, through the local address's own subnet or the
/// default route; one of several, for a near one may be local itself. Only on a host without a
/// default route an address of its own goes unnoticed that has no subnet around it (a /32).
#[inline(never)]
pub fn is_local(frame: Frame, network: &Network, address: &Address) -> bool {
    /// Bits to change: none, then some of the lowest.
    const PROBES: [u32; 4] = [0, 1, 2, 4];
    let mut memory = core::mem::MaybeUninit::<FibLookup>::uninit();
    for bit in PROBES {
        let query = memory.as_mut_ptr();
        for word in 0..size_of::<FibLookup>() / size_of::<u64>() {
            // SAFETY: inside the query. By hand, for a call of `memset` would cost a stack frame
            unsafe { query.cast::<u64>().add(word).write_volatile(0) };
        }
        let Address([first, second, third, fourth]) = *address;
        // SAFETY: plain integers, and the loop has filled all of them
        unsafe {
            (*query).ifindex = network.host_end;
            if let Some(v4) = address.as_v4() {
                (*query).family = AF_INET;
                (*query).__bindgen_anon_4.ipv4_dst = v4 ^ bit.to_be();
            } else {
                (*query).family = AF_INET6;
                (*query).__bindgen_anon_4.ipv6_dst = [first, second, third, fourth ^ bit.to_be()];
            }
        }
        // SAFETY: the context of the running program; the size is the query's own
        let answer = unsafe { bpf_fib_lookup(frame.0.cast(), query, size_of::<FibLookup>() as i32, 0) };
        // FWD_DISABLED counts as a route: without forwarding on the host end nothing is known
        let has_route = answer as u32 != BPF_FIB_LKUP_RET_NOT_FWDED;
        if has_route {
            return bit != 0;
        }
    }
    false
}
