//! Route: the host's own routing tables say where the world is, and which address to show it.

use core::cell::Cell;

use aya_ebpf::{
    Global,
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_NO_SRC_ADDR, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_SUCCESS,
        BPF_FIB_LKUP_RET_UNREACHABLE, BPF_FIB_LOOKUP_SRC, bpf_fib_lookup as FibLookup,
    },
};
use netswitch_common::{
    address::{Address, Mac},
    flow::{Flow, SILENCE, direction, halves},
    host::{Config, Uplink},
    network::Network,
    verdict::DropReason,
    way::Way,
};

use super::{
    near::{is_local, leads_out},
    routing,
};
use crate::{
    code::{number, outcome},
    headers::{ETHERNET_LENGTH, family},
    maps,
    packet::Frame,
    place::{Draft, Readable, copy, part},
    work::{Found, Question, Read, Route, Translation, Work, end},
};

/// A flow asks for its route again after this long, and at once when the agent has seen a change:
/// so it follows the routing tables also while there is no agent.
const TRUST: u64 = 1_000_000_000;

/// Set at load: the flags of the look-up that the kernel knows. Since 6.7 it tells the source address
/// (`BPF_FIB_LOOKUP_SRC`), since 6.10 it goes by the packet's mark ([`super::fib::BY_MARK`]).
#[unsafe(no_mangle)]
static ROUTE_FLAGS: Global<u32> = Global::new(0);

/// The way to the world of the packet that was read, which comes from a network's host end with its container's own
/// address: rules of the routing tables go by that, by protocol, ports, service (TOS) and mark. `goal` is where it goes.
#[inline(always)]
pub fn to_world(
    frame: Frame,
    work: &'static Work,
    read: &Read,
    host_end: u32,
    goal: &impl Readable<Address>,
) -> Result<&'static Route, DropReason> {
    let question = ask_about(work, read, goal, part!(read.tuple, from));
    part!(question, from_port).set(read.tuple.get().from_port);
    part!(question, to_port).set(read.tuple.get().to_port);
    part!(question, service).set(service(frame, read.is_v4()));
    question.done();
    find(frame, work, host_end, ROUTE_FLAGS.load())
}

/// The way for answers to the packet that was read, which came from `goal`, from `start`, an address of the host's.
#[inline(always)]
pub fn back(
    frame: Frame,
    work: &'static Work,
    read: &Read,
    host_end: u32,
    goal: &impl Readable<Address>,
    start: &impl Readable<Address>,
) -> Result<&'static Route, DropReason> {
    let question = ask_about(work, read, goal, start);
    part!(question, from_port).set(read.tuple.get().to_port);
    part!(question, to_port).set(read.tuple.get().from_port);
    part!(question, service).set(0);
    question.done();
    find(frame, work, host_end, 0)
}

#[inline(always)]
fn ask_about<'a>(
    work: &'a Work,
    read: &Read,
    goal: &impl Readable<Address>,
    start: &impl Readable<Address>,
) -> Draft<'a, Cell<Question>> {
    let question = work.start_question();
    copy(goal, part!(question, goal));
    copy(start, part!(question, start));
    part!(question, protocol).set(read.tuple.get().protocol);
    question
}

/// Type of service of an IPv4 packet; traffic class of an IPv6 one as it stands in the flow information.
#[inline(always)]
fn service(frame: Frame, is_v4: bool) -> u32 {
    let word: u32 = frame.read(ETHERNET_LENGTH).unwrap_or(0);
    match is_v4 {
        true => u32::from_be(word) >> 16 & 0xff,
        false => word & 0x0ff0_0000_u32.to_be(),
    }
}

#[inline(always)]
fn find(frame: Frame, work: &'static Work, ifindex: u32, flags: u32) -> Result<&'static Route, DropReason> {
    outcome(look_up_route(frame.0, ifindex, flags))?;
    work.route().ok_or(DropReason::Internal)
}

#[unsafe(no_mangle)]
extern "C" fn look_up_route(skb: *mut __sk_buff, ifindex: u32, flags: u32) -> u32 {
    match maps::work().and_then(|work| Some((work, work.question()?))) {
        Some((work, question)) => number(look_up(Frame::new(skb), ifindex, flags, work, question)),
        None => DropReason::Internal as u32,
    }
}

#[inline(always)]
fn look_up(frame: Frame, ifindex: u32, flags: u32, work: &Work, question: &Cell<Question>) -> Result<(), DropReason> {
    // a packet of one byte is too long for no route
    let answer = routing::look_up(frame, ifindex, flags, work, question, 1);
    match answer {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => {}
        BPF_FIB_LKUP_RET_NOT_FWDED | BPF_FIB_LKUP_RET_NO_SRC_ADDR => return Err(DropReason::NoRoute),
        BPF_FIB_LKUP_RET_UNREACHABLE => return Err(DropReason::Unreachable),
        BPF_FIB_LKUP_RET_PROHIBIT => return Err(DropReason::Prohibited),
        BPF_FIB_LKUP_RET_BLACKHOLE => return Err(DropReason::Blackhole),
        _ => return Err(DropReason::NoUplink),
    }
    // SAFETY: the query is all filled; the helper has answered in some of it
    let query = unsafe { &*work.query.empty().cast::<FibLookup>() };
    let Some(uplink) = maps::uplink(query.ifindex) else {
        return Err(DropReason::NoUplink);
    };
    let is_v4 = question.get().goal.as_v4().is_some();
    let route = work.start_route();
    let next_hop = part!(route.end, next_hop);
    // SAFETY: both members of each union are integers. An IPv4 route may lead through an IPv6 router (RFC
    // 5549)
    unsafe {
        let mac = match answer {
            _ if !uplink.has_ethernet() => uplink.mac,
            BPF_FIB_LKUP_RET_SUCCESS => Mac(query.dmac),
            _ => Mac([0; 6]),
        };
        let mtu = mtu(uplink).min(query.__bindgen_anon_1.mtu_result);
        let way = match uplink.has_ethernet() {
            true => Way::NextHop,
            false => Way::Device,
        };
        end::set_world(&route.end, way as u8, query.ifindex, mtu, mac, uplink.mac);
        next_hop.set(match query.family {
            family::INET => Address::v4(query.__bindgen_anon_4.ipv4_dst),
            _ => Address(query.__bindgen_anon_4.ipv6_dst),
        });
        route.source.set(match (flags & BPF_FIB_LOOKUP_SRC != 0, is_v4) {
            (true, true) => Address::v4(query.__bindgen_anon_3.ipv4_src),
            (true, false) => Address(query.__bindgen_anon_3.ipv6_src),
            (false, true) => uplink.v4,
            (false, false) => uplink.v6,
        });
    }
    if answer == BPF_FIB_LKUP_RET_NO_NEIGH {
        let most = mtu(uplink).min(ask_mtu(frame, ifindex, flags, work, question));
        part!(route.end, mtu).set(most);
    }
    route.done();
    Ok(())
}

/// The MTU of a route whose next hop the neighbour table does not know yet, for which the look-up tells it only to a
/// packet that is too long.
#[inline(always)]
fn ask_mtu(frame: Frame, ifindex: u32, flags: u32, work: &Work, question: &Cell<Question>) -> u16 {
    routing::look_up(frame, ifindex, flags, work, question, u16::MAX);
    // SAFETY: as above
    unsafe { (*work.query.empty().cast::<FibLookup>()).__bindgen_anon_1.mtu_result }
}

/// The way out of an uplink that the host's stack has chosen, as far as flows know ways, and its address.
#[inline(always)]
pub fn by(device: u32, work: &Work, is_v4: bool) -> Result<&Route, DropReason> {
    let Some(uplink) = maps::uplink(device) else {
        return Err(DropReason::NoUplink);
    };
    let route = work.start_route();
    end::set_world(
        &route.end,
        Way::Stack as u8,
        device,
        mtu(uplink),
        Mac([0; 6]),
        uplink.mac,
    );
    route.source.set(match is_v4 {
        true => uplink.v4,
        false => uplink.v6,
    });
    Ok(route.done())
}

/// No packet is longer than an MTU of 65,535.
#[inline(always)]
pub fn mtu(uplink: &Uplink) -> u16 {
    if uplink.mtu < u32::from(u16::MAX) {
        uplink.mtu as u16
    } else {
        u16::MAX
    }
}

/// Of what flows were made with.
#[inline(always)]
pub fn generation() -> u32 {
    maps::config().map_or(0, |config| config.generation)
}

#[inline(always)]
pub fn is_stale(flow: &Flow, now: u64) -> bool {
    now > flow.routed + TRUST || maps::config().is_some_and(|config| config.generation != flow.generation)
}

/// Looks up the way of the flow to the world that was found once more. `false`: the flow cannot go on as it is, because
/// its address is the host's no longer, or there is no way; a new one takes its place.
#[inline(always)]
pub fn again(frame: Frame) -> bool {
    route_again(frame.0) != 0
}

#[unsafe(no_mangle)]
extern "C" fn route_again(skb: *mut __sk_buff) -> u32 {
    u32::from(look_again(Frame::new(skb)))
}

#[inline(always)]
fn look_again(frame: Frame) -> bool {
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(read) = work.read() else { return false };
    let (Some(translation), Some(found)) = (work.translation(), work.found()) else {
        return false;
    };
    let Some(network) = maps::network(read.tuple.get().zone) else {
        return false;
    };
    let is_reply = found.get().direction == direction::REPLY;
    let (goal, ours) = (part!(translation.tuple, to), part!(translation.tuple, from));
    let stays = if maps::config().is_some_and(Config::uses_stack) {
        // the way is the stack's affair then; but the flow's address has to be the host's still
        (is_reply || ours.get() == read.tuple.get().from || is_local(frame, network, ours.get()))
            && leads_out(frame, network, goal.get())
    } else if is_reply {
        match back(frame, work, read, network.host_end, goal, ours) {
            Ok(route) if route.end.get().ifindex == translation.end.get().ifindex => {
                copy(&route.end, &translation.end);
            }
            _ => {
                if let Some(uplink) = maps::uplink(translation.end.get().ifindex) {
                    part!(translation.end, source).set(uplink.mac);
                }
            }
        }
        true
    } else {
        match to_world(frame, work, read, network.host_end, goal) {
            Ok(route) if keeps(frame, network, read, translation, route) => {
                set_silence(work, found, translation, route);
                copy(&route.end, &translation.end);
                true
            }
            _ => false,
        }
    };
    if !stays {
        work.replace(found.get().key, halves(found.get().life).0);
    }
    stays
}

/// Adds the time since the last look-up to how long the next hop has been silent, if it was and is.
#[inline(always)]
fn set_silence(work: &Work, found: &Cell<Found>, translation: &Translation, route: &Route) {
    let (before, now) = (translation.end.get(), route.end.get());
    if !(now.is_unresolved() && before.is_unresolved() && before.ifindex == now.ifindex) {
        return;
    }
    let (Some(read), Some(flow)) = (work.read(), maps::record(found.get().key)) else {
        return;
    };
    // seconds, rounded
    let passed = (read.now.get().wrapping_sub(flow.routed) + TRUST / 2) >> 30;
    let silent = u64::from(before.silent) + passed;
    part!(route.end, silent).set(if silent < u64::from(SILENCE) {
        silent as u8
    } else {
        SILENCE
    });
}

/// Whether a flow to the world keeps its address: it is the container's own or the one that the way asks for, or the way
/// leads out of the same uplink as before and the host still has the address. By another uplink, nobody would find back
/// (`nf_nat_oif_changed`).
#[inline(always)]
fn keeps(frame: Frame, network: &Network, read: &Read, translation: &Translation, route: &Route) -> bool {
    let ours = part!(translation.tuple, from);
    let fixed = fixed_source(network, ours.get().as_v4().is_some());
    if ours.get() == read.tuple.get().from {
        return true;
    }
    match fixed.is_none() {
        true => {
            ours.get() == route.source.get()
                || route.end.get().ifindex == translation.end.get().ifindex && is_local(frame, network, ours.get())
        }
        false => ours.get() == fixed || is_local(frame, network, ours.get()),
    }
}

/// The address that a network was told to show the world, or none.
#[inline(always)]
pub fn fixed_source(network: &Network, is_v4: bool) -> Address {
    match is_v4 {
        true => network.source_v4,
        false => network.source_v6,
    }
}

/// The address that a network's packets show the world: the route's, unless the network was told one.
#[inline(always)]
pub fn choose_source(network: &Network, route: &Route, is_v4: bool, to: &Cell<Address>) {
    copy(&route.source, to);
    if is_v4 {
        if !network.source_v4.is_none() {
            copy(&network.source_v4, to);
        }
    } else if !network.source_v6.is_none() {
        copy(&network.source_v6, to);
    }
}
