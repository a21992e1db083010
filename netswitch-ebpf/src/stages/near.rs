//! Near: what the host's routing tables know about an address itself, whether it is the host's or beside one of its own.

use aya_ebpf::bindings::{
    __sk_buff, BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT,
    BPF_FIB_LKUP_RET_UNREACHABLE,
};
use netswitch_common::{
    address::Address,
    network::{Network, Subnet, SubnetKind},
};

use super::fib::{ask, query};
use crate::{maps, packet::Frame};

/// What the FIB knows about an address or, where it is the host's own, about those beside it.
#[derive(Clone, Copy)]
pub struct Near {
    /// Device of the route; 0: there is none.
    pub ifindex: u32,
    /// Whether the address is the host's, on whatever device; also a broadcast address there.
    pub is_local: bool,
}

/// Asks about an address as seen from a network's host end.
///
/// The look-up says NOT_FWDED for a local address, but where there is no route at all it says the
/// same. So an address near it has to have a route, through the local address's own subnet or the
/// default route; one of several, for a near one may be local itself. Where none has a route (a /32 on a host without
/// a default route), the address is the host's if the agent says so.
#[inline(always)]
pub fn near(frame: Frame, host_end: u32, address: Address) -> Near {
    let Address([first, second, third, fourth]) = address;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let found = probe_route(frame.0, host_end, pair(first, second), pair(third, fourth));
    Near {
        ifindex: found as u32,
        is_local: found >> 32 != 0,
    }
}

/// Whether an address of a network's subnet is there, by the device that the host's routes lead to; they know
/// nothing of a network that the host is not on.
#[inline(always)]
pub fn leads_to(subnet: &Subnet, network: &Network, ifindex: u32) -> bool {
    ifindex == network.host_end || subnet.kind == SubnetKind::Isolated as u32
}

/// Whether the host has the address, on whatever device; also whether it is a broadcast address there.
#[inline(always)]
pub fn is_local(frame: Frame, network: &Network, address: Address) -> bool {
    near(frame, network.host_end, address).is_local
}

/// Whether an address of a network's subnet is really there: the host may have a more specific route.
#[inline(always)]
pub fn is_inside(frame: Frame, subnet: &Subnet, network: &Network, address: Address) -> bool {
    leads_to(subnet, network, near(frame, network.host_end, address).ifindex)
}

/// [`Near`] in one word.
#[unsafe(no_mangle)]
extern "C" fn probe_route(skb: *mut __sk_buff, host_end: u32, first: u64, second: u64) -> u64 {
    let Some(work) = maps::work() else { return 0 };
    // bits to change: none, then each of the lowest three
    for probe in 0..4_u32 {
        let bit = 1_u32 << probe >> 1;
        let last = (second >> 32) as u32 ^ bit.to_be();
        let near = Address([first as u32, (first >> 32) as u32, second as u32, last]);
        // SAFETY: the room is this look-up's alone
        let query = unsafe { query(work.query.empty(), host_end, near) };
        // FWD_DISABLED counts as a route: without forwarding on the host end nothing is known
        let answer = ask(Frame::new(skb), query, 0);
        if answer != BPF_FIB_LKUP_RET_NOT_FWDED {
            let ifindex = match is_refusal(answer) {
                true => 0,
                // SAFETY: the helper leaves the device of the question or the route's
                false => unsafe { (*query).ifindex },
            };
            return u64::from(ifindex) | u64::from(bit != 0) << 32;
        }
    }
    let address = Address([first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32]);
    u64::from(maps::is_local(address)) << 32
}

/// Whether a route or rule says that nothing goes there.
#[inline(always)]
fn is_refusal(answer: u32) -> bool {
    matches!(
        answer,
        BPF_FIB_LKUP_RET_UNREACHABLE | BPF_FIB_LKUP_RET_PROHIBIT | BPF_FIB_LKUP_RET_BLACKHOLE
    )
}

/// For packets that the host's stack will route: whether that leads to an uplink, or nowhere, which the
/// stack tells the sender.
#[inline(always)]
pub fn leads_out(frame: Frame, network: &Network, to: Address) -> bool {
    let Near { ifindex, .. } = near(frame, network.host_end, to);
    ifindex == 0 || maps::uplink(ifindex).is_some()
}
