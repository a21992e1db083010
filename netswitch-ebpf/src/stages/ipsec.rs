//! IPsec: what a security policy of the host covers does not pass, for the switch does not encrypt. The policies are asked
//! as the stack asks them about what it forwards: by the packet as it has arrived (`__xfrm_policy_check`), as it is
//! before its source is translated (`xfrm_route_forward`), and as it leaves (`nf_xfrm_me_harder`).

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_loop};
use netswitch_common::{
    host::Config,
    ipsec::{Traffic, scope, side, unknown},
};

use crate::{
    headers::protocol,
    maps,
    packet::Frame,
    place::{copy, part},
    work::{Read, Work},
};

/// Whether the host has policies.
#[inline(always)]
pub fn is_on() -> bool {
    maps::config().is_some_and(Config::has_ipsec)
}

/// Whether a policy stops a packet whose translation is known. `begins`: it is that of a new flow.
#[inline(always)]
pub fn stops(frame: Frame, begins: bool) -> bool {
    is_on() && stops_packet(frame.0, u32::from(begins)) != 0
}

#[unsafe(no_mangle)]
extern "C" fn stops_packet(skb: *mut __sk_buff, begins: u32) -> u32 {
    match maps::work().and_then(|work| Some((work, work.read()?))) {
        Some((work, read)) => u32::from(judge(Frame::new(skb), work, read, begins != 0)),
        None => 1,
    }
}

#[inline(always)]
fn judge(frame: Frame, work: &Work, read: &Read, begins: bool) -> bool {
    let traffic = work.start_traffic();
    copy(part!(read.tuple, from), part!(traffic, from));
    copy(part!(read.tuple, to), part!(traffic, to));
    part!(traffic, from_port).set(read.tuple.get().from_port);
    part!(traffic, to_port).set(read.tuple.get().to_port);
    part!(traffic, mark).set(frame.mark());
    part!(traffic, protocol).set(read.tuple.get().protocol);
    part!(traffic, unknown).set(unknown_of(read));
    let traffic = traffic.done();
    if stops_traffic(side::FORWARD) != 0 || !set_target(work, traffic, begins) || stops_traffic(side::OUT) != 0 {
        return true;
    }
    !set_source(work, traffic, begins) || stops_traffic(side::OUT) != 0
}

/// The packet goes to what its translation says. `false`: there is none.
#[inline(always)]
fn set_target(work: &Work, traffic: &Cell<Traffic>, begins: bool) -> bool {
    match (begins, work.new_flow(), work.translation()) {
        (true, Some(new), _) => {
            copy(part!(new.flow, tuples[1].from), part!(traffic, to));
            part!(traffic, to_port).set(part!(new.flow, tuples[1].from_port).get());
            true
        }
        (false, _, Some(translation)) => {
            copy(part!(translation.tuple, to), part!(traffic, to));
            part!(traffic, to_port).set(translation.tuple.get().to_port);
            true
        }
        _ => false,
    }
}

/// The packet comes from what its translation says.
#[inline(always)]
fn set_source(work: &Work, traffic: &Cell<Traffic>, begins: bool) -> bool {
    match (begins, work.new_flow(), work.translation()) {
        (true, Some(new), _) => {
            copy(part!(new.flow, tuples[1].to), part!(traffic, from));
            part!(traffic, from_port).set(part!(new.flow, tuples[1].to_port).get());
            if new.wants_port.get() {
                let known = part!(traffic, unknown);
                known.set(known.get() | unknown::FROM_PORT);
            }
            true
        }
        (false, _, Some(translation)) => {
            copy(part!(translation.tuple, from), part!(traffic, from));
            part!(traffic, from_port).set(translation.tuple.get().from_port);
            true
        }
        _ => false,
    }
}

/// The stack takes type and code of an ICMP message for its ports, which a tuple does not have. An error's tuple is that
/// of the packets which it is about.
#[inline(always)]
fn unknown_of(read: &Read) -> u32 {
    match read.protocol() {
        _ if read.is_quoting() => unknown::PROTOCOL | unknown::PORTS,
        protocol::ICMP | protocol::ICMPV6 => unknown::PORTS,
        _ => 0,
    }
}

/// Whether the first policy of a side that decides about the traffic on the sheet stops it.
#[unsafe(no_mangle)]
extern "C" fn stops_traffic(asked: u32) -> u32 {
    let Some(work) = maps::work() else { return 1 };
    let (Some(traffic), Some(config)) = (work.traffic(), maps::config()) else {
        return 1;
    };
    let far = match asked {
        side::OUT => traffic.get().to,
        _ => traffic.get().from,
    };
    let Some(list) = maps::policy_list(scope(config.ipsec_half(), asked), far) else {
        return 0;
    };
    let mut walk = Walk { first: list.first };
    work.start_result().write(0);
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(list.count, ask as *mut c_void, (&raw mut walk).cast(), 0) };
    work.result().map_or(1, Cell::get)
}

/// What `bpf_loop` passes from policy to policy.
#[repr(C)]
struct Walk {
    first: u32,
}

/// Goes on until a policy decides; the result is whether it stops the packet.
extern "C" fn ask(round: u64, walk: &mut Walk) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let Some(traffic) = work.traffic() else { return 1 };
    let policy = maps::security_policy(walk.first.wrapping_add(round as u32));
    // SAFETY: `decides` reads it and writes nothing
    if policy.is_some_and(|policy| !policy.decides(unsafe { &*traffic.as_ptr() })) {
        return 0;
    }
    work.start_result()
        .write(u32::from(policy.is_none_or(|policy| policy.passes == 0)));
    1
}
