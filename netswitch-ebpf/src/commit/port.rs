//! Port: commit's way to choose the port that a container's socket has outside. One socket keeps one port, whoever it
//! speaks with (RFC 4787, 4.1): its own if that is free.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY},
    helpers::{bpf_get_prandom_u32, bpf_loop},
};
use netswitch_common::{
    address::Address,
    flow::{
        Flow, FlowIndex, FlowKey, direction, halves,
        mapping::{ClaimableKey, Mapping, MappingKey, class, keeps},
    },
};

use super::index::{KEEPS_CLOSED, PUT, REPLACES_CLOSED, TAKEN, is_taken, put};
use crate::{
    maps,
    packet::Frame,
    stages::{claim, flow, masquerade},
    work::Work,
};

/// Where its socket's own port is not to be had, a new flow tries so many three times: at first ports that stand for no
/// other socket, then also such ports, and at last ports of connections that have ended, but whose servers may remember
/// them. With nine tenths of the ports taken towards its peer, one flow in 10^11 finds none.
const TRIED: u32 = 128;
/// Ranges up to this size are walked port by port.
const WALKED: u32 = 256;

/// The entry by which replies find the flow, with a port of its own if it wants one, or if another flow's replies would
/// look the same. What [`put`] says; while `work.probes` is set only whether there is one.
#[inline(always)]
pub fn find_reply(frame: Frame, work: &mut Work) -> u32 {
    if work.wants_port == 0 {
        match try_tuple(work, REPLACES_CLOSED) {
            TAKEN if masquerade::has_ports(work) => {}
            code => return code,
        }
    } else if work.end.is_world() {
        for preference in [Preference::Mapped, Preference::Published, Preference::Own] {
            match try_preferred(frame.0, preference as u32) {
                TAKEN => {}
                code => return code,
            }
        }
    }
    search(frame)
}

/// Ports that a socket should have, the best one first.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Preference {
    /// The one that it has.
    Mapped,
    /// The one that leads to it.
    Published,
    /// The same as inside.
    Own,
}

#[unsafe(no_mangle)]
extern "C" fn try_preferred(skb: *mut __sk_buff, preference: u32) -> u32 {
    let Some(work) = maps::work() else { return TAKEN };
    let protocol = work.tuple.protocol as u8;
    let own = u16::from_be(work.tuple.from_port);
    let (port, how) = if preference == Preference::Mapped as u32 {
        mapped(work)
    } else if !keeps(protocol) {
        return TAKEN;
    } else if preference == Preference::Published as u32 {
        (maps::published_as(work.key.owner, protocol, own), how::ALONE)
    } else {
        (own, how::ALONE)
    };
    match port {
        0 => TAKEN,
        port => try_port(skb, port.into(), how),
    }
}

/// The port of the socket's mapping, and how it is tried. While the mapping is in use the socket has the port, even
/// where it shares it with others.
#[inline(always)]
fn mapped(work: &Work) -> (u16, u32) {
    let key = MappingKey::of_socket(&work.tuple, work.flow.tuples[1].to);
    let Some((flow, is_alive)) = mapping(&key).and_then(|mapping| user(mapping, work.now)) else {
        return (0, 0);
    };
    let [original, reply] = &flow.tuples;
    // the memory of a removed record may hold another flow at once
    if original.from_port != work.tuple.from_port || original.from.0[3] != work.tuple.from.0[3] {
        return (0, 0);
    }
    let how = match is_alive {
        true => how::REPLACES_CLOSED,
        false => how::ALONE,
    };
    (u16::from_be(reply.to_port), how)
}

#[inline(always)]
fn mapping(key: &MappingKey) -> Option<&'static Mapping> {
    // SAFETY: a deleted entry's memory stays until the program has ended (RCU), and may hold another one at once: what
    // it says is compared with the flow
    unsafe { maps::MAPPINGS.get(key) }
}

/// The flow that a mapping names, while its slot is no other's; and whether it lives.
#[inline(always)]
fn user(mapping: &Mapping, now: u64) -> Option<(&'static Flow, bool)> {
    let flow = maps::record(mapping.key)?;
    let (serial, _) = halves(flow.life());
    (serial == mapping.serial).then(|| (flow, flow::lives(flow, now)))
}

/// Bits that say how a port is tried.
mod how {
    /// Not if it stands for another socket.
    pub const ALONE: u32 = 1 << 0;
    /// Also if a connection has it that has ended, but whose server may remember it.
    pub const REPLACES_CLOSED: u32 = 1 << 1;
}

/// Tries a port, in host order, for the flow on the sheet.
#[unsafe(no_mangle)]
extern "C" fn try_port(skb: *mut __sk_buff, port: u32, how: u32) -> u32 {
    let Some(work) = maps::work() else { return TAKEN };
    work.flow.tuples[1].to_port = (port as u16).to_be();
    if claim::takes(skb, &work.flow.tuples[1], work.key.owner, work.tuple.from_port) {
        return TAKEN;
    }
    if how & how::ALONE != 0 && stands_for_another(work) {
        return TAKEN;
    }
    try_tuple(
        work,
        match how & how::REPLACES_CLOSED {
            0 => KEEPS_CLOSED,
            _ => REPLACES_CLOSED,
        },
    )
}

/// Whether the port that is tried is another socket's outside.
#[inline(always)]
fn stands_for_another(work: &Work) -> bool {
    let Some((flow, true)) =
        mapping(&MappingKey::of_port(&work.flow.tuples[1])).and_then(|mapping| user(mapping, work.now))
    else {
        return false;
    };
    let (other, own) = (&flow.tuples[0], &work.tuple);
    let [a, b, c, d] = other.from.0;
    let [e, f, g, h] = own.from.0;
    (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) | u32::from(other.from_port ^ own.from_port) | (other.zone ^ own.zone) != 0
}

/// The new flow's reply tuple as it is: put, or only looked at.
#[inline(always)]
fn try_tuple(work: &Work, closed: u32) -> u32 {
    let tuple = &work.flow.tuples[1];
    if work.probes != 0 {
        return match maps::flow_index(tuple) {
            Some(old) if is_taken(old, work.now, closed) => TAKEN,
            _ => PUT,
        };
    }
    let index = FlowIndex {
        key: work.key,
        serial: work.flow.serial,
        direction: direction::REPLY,
    };
    put(tuple, &index, work.now, closed)
}

/// What `bpf_loop` passes from port to port.
#[repr(C)]
struct Search {
    frame: Frame,
    /// The last random number or, in a small range, where the next port stands.
    at: u32,
    count: u32,
    first: u32,
    /// How many are tried at a time.
    tries: u32,
}

impl Search {
    /// Where the next port stands. Ports that are kept lie in rows, so no step from one to the next would do for all.
    #[inline(always)]
    fn next(&mut self) -> u32 {
        if self.count > WALKED {
            // Numerical Recipes' generator, whose upper bits are the random ones
            self.at = self.at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            return ((u64::from(self.at) * u64::from(self.count)) >> 32) as u32;
        }
        let at = self.at;
        self.at = if at + 1 < self.count { at + 1 } else { 0 };
        at
    }
}

/// Tries ports of the socket's class at random.
#[inline(always)]
fn search(frame: Frame) -> u32 {
    let (Some(work), Some(config)) = (maps::work(), maps::config()) else {
        return TAKEN;
    };
    let (first, count) = match class(work.tuple.protocol as u8, u16::from_be(work.tuple.from_port)) {
        Some((first, count)) if work.end.is_world() => (first, u32::from(count)),
        _ => (config.first_port, u32::from(config.port_count)),
    };
    // SAFETY: no argument
    let random = unsafe { bpf_get_prandom_u32() };
    let mut search = Search {
        frame,
        at: match count <= WALKED {
            true => random.checked_rem(count).unwrap_or(0),
            false => random,
        },
        count,
        first: first.into(),
        tries: TRIED.min(count),
    };
    work.found = TAKEN;
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(
            3 * TRIED.min(count),
            try_next as *mut c_void,
            (&raw mut search).cast(),
            0,
        );
    }
    maps::work().map_or(TAKEN, |work| work.found)
}

/// Whether an endpoint leaves a port to the others: one of eight, so that nobody alone takes all ports to a
/// destination. A small range has none to spare.
#[inline(always)]
fn leaves(owner: u32, port: u32) -> bool {
    let mixed = (port ^ owner.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    mixed >> 29 == 0
}

extern "C" fn try_next(round: u64, search: &mut Search) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let port = search.first + search.next();
    if search.count > WALKED && leaves(work.key.owner, port) {
        return 0;
    }
    let round = round as u32;
    let how = if round < search.tries {
        how::ALONE
    } else if round < 2 * search.tries {
        0
    } else {
        how::REPLACES_CLOSED
    };
    let code = try_port(search.frame.0, port, how);
    // not on the stack: 6.1's verifier follows a callback once, and would take what it saw there for all there is
    work.found = code;
    i64::from(code != TAKEN)
}

/// Writes down that the flow uses its socket's mapping, where no other living flow says so.
#[inline(always)]
pub fn keep(key: FlowKey) {
    let _ = keep_mapping(key.owner, key.slot);
}

/// The same for the flow on the sheet, where its record has just been renewed.
#[inline(always)]
pub fn keep_renewed() {
    if let Some(work) = maps::work().filter(|work| work.renew != 0) {
        keep(work.key);
    }
}

#[unsafe(no_mangle)]
extern "C" fn keep_mapping(owner: u32, slot: u32) -> u32 {
    let (Some(flow), Some(work)) = (maps::record(FlowKey { owner, slot }), maps::work()) else {
        return 0;
    };
    if !flow.is_masqueraded() {
        return 0;
    }
    let [original, reply] = &flow.tuples;
    let mapping = Mapping {
        key: FlowKey { owner, slot },
        serial: flow.serial,
    };
    work.mapping = MappingKey::of_socket(original, reply.to);
    note(&mapping);
    work.mapping = MappingKey::of_port(reply);
    note(&mapping);
    let protocol = original.protocol as u8;
    let port = u16::from_be(reply.to_port);
    let is_masquerades = maps::config().is_some_and(|config| port.wrapping_sub(config.first_port) < config.port_count);
    if keeps(protocol) && !is_masquerades {
        maps::keep_port(protocol, port);
        claimable(Address::NONE, reply.to_port, protocol, flow.deadline);
        claimable(reply.from, reply.from_port, protocol, flow.deadline);
    }
    0
}

/// Writes the entry whose key is on the sheet.
#[inline(never)]
fn note(new: &Mapping) {
    let Some(work) = maps::work() else { return };
    let old = mapping(&work.mapping).and_then(|old| user(old, work.now));
    if !old.is_some_and(|(_, is_alive)| is_alive) {
        // where the table is full the socket's next flow may have another port
        let _ = maps::MAPPINGS.insert(&work.mapping, new, BPF_ANY.into());
    }
}

#[inline(never)]
fn claimable(peer: Address, port: u16, protocol: u8, until: u64) {
    let key = ClaimableKey::new(peer, port, protocol);
    let _ = maps::CLAIMABLE.insert(&key, &until, BPF_ANY.into());
}

/// Removes the mapping entries of the flow that had a slot, unless they are another's by now.
#[inline(always)]
pub fn forget(flow: &Flow, key: FlowKey, serial: u32) {
    let [original, reply] = &flow.tuples;
    if flow.is_masqueraded() {
        forget_entry(&MappingKey::of_socket(original, reply.to), key, serial);
        forget_entry(&MappingKey::of_port(reply), key, serial);
    }
}

#[inline(never)]
fn forget_entry(key: &MappingKey, owner: FlowKey, serial: u32) {
    if mapping(key).is_some_and(|mapping| mapping.key == owner && mapping.serial == serial) {
        let _ = maps::MAPPINGS.remove(key);
    }
}
