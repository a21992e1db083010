//! Port: commit's way to choose the port that a container's socket has outside. One socket keeps one port, whoever it
//! speaks with (RFC 4787, 4.1): its own if that is free.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY},
    helpers::{bpf_get_prandom_u32, bpf_loop},
};
use netswitch_common::{
    address::Address,
    flow::{
        Flow, FlowKey, Tuple, direction, halves,
        mapping::{ClaimableKey, Mapping, MappingKey, class, keeps},
    },
};

use super::index::{self, KEEPS_CLOSED, PUT, REPLACES_CLOSED, TAKEN, is_taken, put};
use crate::{
    maps,
    packet::Frame,
    place::part,
    stages::{claim, flow, masquerade},
    work::{NewFlow, Read, Work, due},
};

/// Where its socket's own port is not to be had, a new flow tries so many three times: at first ports that stand for no
/// other socket, then also such ports, and at last ports of connections that have ended, but whose servers may remember
/// them. With nine tenths of the ports taken towards its peer, one flow in 10^11 finds none.
const TRIED: u32 = 128;
/// Ranges up to this size are walked port by port.
const WALKED: u32 = 256;

/// The entry by which replies find the flow, with a port of its own if it wants one, or if another flow's replies would
/// look the same. What [`put`] says; with [`PROBES`] only whether there is one.
#[inline(always)]
pub fn find_reply(frame: Frame, read: &Read, new: &NewFlow, probes: u32) -> u32 {
    if !new.wants_port.get() {
        match try_tuple(read, new, probes | how::REPLACES_CLOSED) {
            TAKEN if masquerade::has_ports(read) => {}
            code => return code,
        }
    } else if part!(new.flow, ends[1]).get().is_world() {
        for preference in [Preference::Mapped, Preference::Published, Preference::Own] {
            match try_preferred(frame.0, preference as u32, probes) {
                TAKEN => {}
                code => return code,
            }
        }
    }
    search(frame, read, new, probes)
}

/// The packet and the flow that begins with it.
#[inline(always)]
fn sheet() -> Option<(&'static Read, &'static NewFlow)> {
    let work = maps::work()?;
    let read = work.read()?;
    let new = work.new_flow()?;
    Some((read, new))
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
extern "C" fn try_preferred(skb: *mut __sk_buff, preference: u32, probes: u32) -> u32 {
    let Some((read, new)) = sheet() else { return TAKEN };
    let protocol = read.protocol();
    let own = u16::from_be(read.tuple.get().from_port);
    let (port, how) = if preference == Preference::Mapped as u32 {
        mapped(read, new)
    } else if !keeps(protocol) {
        return TAKEN;
    } else if preference == Preference::Published as u32 {
        (maps::published_as(new.key.get().owner, protocol, own), how::ALONE)
    } else {
        (own, how::ALONE)
    };
    match port {
        0 => TAKEN,
        port => try_port(skb, port.into(), how | probes),
    }
}

/// The port of the socket's mapping, and how it is tried. While the mapping is in use the socket has the port, even
/// where it shares it with others.
#[inline(always)]
fn mapped(read: &Read, new: &NewFlow) -> (u16, u32) {
    let outside = part!(new.flow, tuples[1].to).get();
    let key = MappingKey::of_socket(&read.tuple.get(), outside);
    let Some((flow, is_alive)) = maps::mapping(&key).and_then(|mapping| user(mapping, read.now.get())) else {
        return (0, 0);
    };
    let [original, reply] = &flow.tuples;
    // the memory of a removed record may hold another flow at once
    if !is_socket_of(original, &read.tuple) {
        return (0, 0);
    }
    let how = match is_alive {
        true => how::REPLACES_CLOSED,
        false => how::ALONE,
    };
    (u16::from_be(reply.to_port), how)
}

/// The flow that a mapping names, while its slot is no other's; and whether it lives.
#[inline(always)]
fn user(mapping: &Mapping, now: u64) -> Option<(&'static Flow, bool)> {
    let flow = maps::record(mapping.key)?;
    let (serial, _) = halves(flow.life());
    (serial == mapping.serial).then(|| (flow, flow::lives(flow, now)))
}

/// A port is only looked for: no flow gets it.
pub const PROBES: u32 = how::PROBES;

/// Bits that say how a port is tried.
mod how {
    /// Not if it stands for another socket.
    pub const ALONE: u32 = 1 << 0;
    /// Also if a connection has it that has ended, but whose server may remember it.
    pub const REPLACES_CLOSED: u32 = 1 << 1;
    /// Nothing is written.
    pub const PROBES: u32 = 1 << 2;
}

/// Tries a port, in host order, for the flow on the sheet.
#[unsafe(no_mangle)]
extern "C" fn try_port(skb: *mut __sk_buff, port: u32, how: u32) -> u32 {
    let Some((read, new)) = sheet() else { return TAKEN };
    part!(new.flow, tuples[1].to_port).set((port as u16).to_be());
    let (owner, own) = (new.key.get().owner, read.tuple.get().from_port);
    if claim::takes(skb, part!(new.flow, tuples[1]), owner, own) {
        return TAKEN;
    }
    if how & how::ALONE != 0 && stands_for_another(read, new) {
        return TAKEN;
    }
    try_tuple(read, new, how)
}

/// Whether the port that is tried is another socket's outside.
#[inline(always)]
fn stands_for_another(read: &Read, new: &NewFlow) -> bool {
    let key = MappingKey::of_port(&part!(new.flow, tuples[1]).get());
    let Some((flow, true)) = maps::mapping(&key).and_then(|mapping| user(mapping, read.now.get())) else {
        return false;
    };
    !is_socket_of(&flow.tuples[0], &read.tuple)
}

/// Whether a flow's packets come from the socket that has sent this packet.
#[inline(always)]
fn is_socket_of(flow: &Tuple, packet: &Cell<Tuple>) -> bool {
    let packet = packet.get();
    flow.from.is(packet.from) && flow.from_port == packet.from_port && flow.zone == packet.zone
}

/// The new flow's reply tuple as it is: put, or only looked at.
#[inline(always)]
fn try_tuple(read: &Read, new: &NewFlow, how: u32) -> u32 {
    let (tuple, now) = (part!(new.flow, tuples[1]), read.now.get());
    let closed = match how & how::REPLACES_CLOSED {
        0 => KEEPS_CLOSED,
        _ => REPLACES_CLOSED,
    };
    match how & how::PROBES {
        0 => put(tuple, &index::of(new, direction::REPLY), now, closed),
        _ => match maps::flow_index(tuple) {
            Some(old) if is_taken(old, now, closed) => TAKEN,
            _ => PUT,
        },
    }
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
    /// 0 or [`PROBES`].
    probes: u32,
    _pad: u32,
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
fn search(frame: Frame, read: &Read, new: &NewFlow, probes: u32) -> u32 {
    let Some(config) = maps::config() else {
        return TAKEN;
    };
    let (first, count) = match class(read.protocol(), u16::from_be(read.tuple.get().from_port)) {
        Some((first, count)) if part!(new.flow, ends[1]).get().is_world() => (first, u32::from(count)),
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
        probes,
        _pad: 0,
    };
    if let Some(work) = maps::work() {
        work.start_result().write(TAKEN);
    }
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe {
        bpf_loop(
            3 * TRIED.min(count),
            try_next as *mut c_void,
            (&raw mut search).cast(),
            0,
        );
    }
    maps::work().and_then(Work::result).map_or(TAKEN, Cell::get)
}

/// Whether an endpoint leaves a port to the others: one of eight, so that nobody alone takes all ports to a
/// destination. A small range has none to spare.
#[inline(always)]
fn leaves(owner: u32, port: u32) -> bool {
    let mixed = (port ^ owner.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    mixed >> 29 == 0
}

extern "C" fn try_next(round: u64, search: &mut Search) -> i64 {
    let Some((_, new)) = sheet() else { return 1 };
    let Some(result) = maps::work().and_then(Work::result) else {
        return 1;
    };
    let port = search.first + search.next();
    if search.count > WALKED && leaves(new.key.get().owner, port) {
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
    let code = try_port(search.frame.0, port, how | search.probes);
    result.set(code);
    i64::from(code != TAKEN)
}

/// Writes down that the flow uses its socket's mapping, where no other living flow says so.
#[inline(always)]
pub fn keep(key: FlowKey) {
    let _ = keep_mapping(key.owner, key.slot);
}

/// The same for the flow that was found, where its record has just been renewed.
#[inline(always)]
pub fn keep_renewed() {
    let Some(found) = maps::work().and_then(Work::found) else {
        return;
    };
    if found.get().due & due::PROGRESS != 0 {
        keep(found.get().key);
    }
}

#[unsafe(no_mangle)]
extern "C" fn keep_mapping(owner: u32, slot: u32) -> u32 {
    let (Some(flow), Some(work)) = (maps::record(FlowKey { owner, slot }), maps::work()) else {
        return 0;
    };
    let Some(read) = work.read() else { return 0 };
    if !flow.is_masqueraded() {
        return 0;
    }
    let [original, reply] = &flow.tuples;
    let mapping = Mapping {
        key: FlowKey { owner, slot },
        serial: flow.serial,
    };
    let now = read.now.get();
    note(
        work.mapping.put(MappingKey::of_socket(original, reply.to)),
        &mapping,
        now,
    );
    note(work.mapping.put(MappingKey::of_port(reply)), &mapping, now);
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

/// Writes an entry of MAPPINGS.
#[inline(never)]
fn note(key: &Cell<MappingKey>, new: &Mapping, now: u64) {
    let old = maps::mapping(key).and_then(|old| user(old, now));
    if !old.is_some_and(|(_, is_alive)| is_alive) {
        // where the table is full the socket's next flow may have another port
        let _ = maps::insert_mapping(key, new, BPF_ANY);
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
    if maps::mapping(key).is_some_and(|mapping| mapping.key == owner && mapping.serial == serial) {
        maps::remove_mapping(key);
    }
}
