//! XDP on an uplink (`--uplink-mode xdp`), before the kernel has made a packet of a frame: what needs no state and
//! can be dropped, and flows of published ports that need no look at their state. Whatever is not plain —
//! options, fragments, extension headers — goes on to tcx, which judges all of it; nothing is dropped
//! here that it would let pass.

mod frame;
mod redirect;

use core::{cell::Cell, mem::MaybeUninit};

use aya_ebpf::{bindings::xdp_action, helpers::bpf_fib_lookup, programs::XdpContext};
use netswitch_common::{address::Address, flow::Tuple, verdict::DropReason};

use self::frame::{bytes, length};
use crate::{
    commit::{count::count_drop, event},
    headers::Macs,
    maps,
    packet::plain::{self, Plain},
    stages::{fib, open},
};

/// What a hook of this kind answers with.
pub fn guard(context: &XdpContext) -> u32 {
    let Some(work) = maps::new_work() else {
        return xdp_action::XDP_PASS;
    };
    let aside = work.aside();
    let tuple = &aside.read.tuple;
    let Some(packet) = read_plain(context, tuple) else {
        return xdp_action::XDP_PASS;
    };
    match judge(context, tuple) {
        Judgement::Other => xdp_action::XDP_PASS,
        Judgement::Published => redirect::redirect(context, &aside, packet).unwrap_or(xdp_action::XDP_PASS),
        Judgement::Drop(endpoint, reason) => {
            count_drop(endpoint, reason as u32, 1, length(context));
            if event::wants_drops() {
                event::dropped_early(work, tuple, endpoint, reason, length(context));
            }
            xdp_action::XDP_DROP
        }
    }
}

/// A plain packet for this host.
#[inline(always)]
fn read_plain(context: &XdpContext, tuple: &Cell<Tuple>) -> Option<Plain> {
    let bytes = bytes(context);
    let macs: Macs = bytes.copy(0)?;
    // SAFETY: the context of the running program
    let uplink = maps::uplink(unsafe { (*context.ctx).ingress_ifindex })?;
    match macs.destination == uplink.mac.words() {
        true => plain::read(bytes, length(context), 0, tuple),
        false => None,
    }
}

enum Judgement {
    /// None of ours, or for tcx to judge.
    Other,
    /// For a port that lets its sender in.
    Published,
    /// Charged to that endpoint.
    Drop(u32, DropReason),
}

#[inline(always)]
fn judge(context: &XdpContext, tuple: &Cell<Tuple>) -> Judgement {
    let Tuple {
        from,
        to,
        to_port,
        protocol,
        ..
    } = tuple.get();
    if let Some(number) = maps::published_at(to, protocol as u8, u16::from_be(to_port)) {
        return match maps::publication(number) {
            None => Judgement::Other,
            Some(publication) if maps::lets_in(number, publication, from) => Judgement::Published,
            Some(publication) => Judgement::Drop(publication.endpoint, DropReason::SourceDenied),
        };
    }
    match refused(context, tuple) {
        Some(endpoint) => Judgement::Drop(endpoint, DropReason::NotPublished),
        None => Judgement::Other,
    }
}

/// The endpoint whose own address, or whose gateway's, was sent to from outside.
#[inline(always)]
fn refused(context: &XdpContext, tuple: &Cell<Tuple>) -> Option<u32> {
    let to = tuple.get().to;
    let subnet = maps::subnet(to)?;
    if maps::flow_index(tuple).is_some() {
        return None;
    }
    let network = maps::network(subnet.network)?;
    // SAFETY: the context of the running program
    let ifindex = unsafe { (*context.ctx).ingress_ifindex };
    // a network may be open there; tcx knows
    if network.flags & open::OPEN != 0 || maps::trusts(subnet.network, ifindex) {
        return None;
    }
    let is_there = network.is_gateway(to) || leads_to(context, network.host_end, to);
    is_there.then(|| maps::neighbour(subnet.network, to).map_or(0, |neighbour| neighbour.port.id))
}

/// Whether the host's own routes lead to that host end: another device may have a more specific one.
#[inline(always)]
fn leads_to(context: &XdpContext, host_end: u32, to: Address) -> bool {
    let mut memory = MaybeUninit::uninit();
    // SAFETY: this function's own memory; the context of the running program; the query is all filled
    unsafe {
        let query = fib::query(&raw mut memory, host_end, to);
        bpf_fib_lookup(context.ctx.cast(), query, size_of_val(&*query) as i32, 0);
        (*query).ifindex == host_end
    }
}
