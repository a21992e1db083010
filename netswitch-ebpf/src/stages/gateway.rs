//! Frames to the gateway's MAC, judged by destination address: the host itself, another network,
//! or the world.

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LOOKUP_DIRECT, bpf_fib_lookup as FibLookup},
    helpers::bpf_fib_lookup,
};
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, flags},
    network::Network,
    verdict::DropReason,
};

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
    if is_local(frame, network, to) {
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

/// Whether the host has the address, on whatever device.
///
/// The look-up says NOT_FWDED for a local address, but also where there is no route at all. So ask
/// the main table as well, which knows the subnets of local addresses but never their hosts: a
/// local address has a route there, if only the default one.
#[inline(always)]
pub fn is_local(frame: Frame, network: &Network, address: Address) -> bool {
    find_route(frame, network, address, 0) == BPF_FIB_LKUP_RET_NOT_FWDED
        && find_route(frame, network, address, BPF_FIB_LOOKUP_DIRECT) != BPF_FIB_LKUP_RET_NOT_FWDED
}

/// The FIB's answer for a packet that arrives at the host end. Forwarding must be on there, or the
/// answer is FWD_DISABLED for every address.
#[inline(never)]
fn find_route(frame: Frame, network: &Network, address: Address, flags: u32) -> u32 {
    let mut query = core::mem::MaybeUninit::<FibLookup>::uninit();
    const WORDS: usize = size_of::<FibLookup>() / size_of::<u64>();
    for word in 0..WORDS {
        // SAFETY: inside the query. By hand, for a call of `memset` would cost a stack frame
        unsafe { query.as_mut_ptr().cast::<u64>().add(word).write_volatile(0) };
    }
    // SAFETY: plain integers, and the loop has filled all of it
    let mut query = unsafe { query.assume_init() };
    query.ifindex = network.host_end;
    match address.as_v4() {
        Some(v4) => {
            query.family = AF_INET;
            query.__bindgen_anon_4.ipv4_dst = v4;
        }
        None => {
            query.family = AF_INET6;
            query.__bindgen_anon_4.ipv6_dst = address.0;
        }
    }
    // SAFETY: the context of the running program; the size is the query's own
    unsafe { bpf_fib_lookup(frame.0.cast(), &raw mut query, size_of::<FibLookup>() as i32, flags) as u32 }
}
