//! Flow: the one that a packet belongs to, or that begins with it.

use core::cell::Cell;

use netswitch_common::{
    flow::{Flow, Tuple, asked_at, direction, halves},
    host::Config,
    progress::{self, FlowState, acknowledges, timeout},
    publish::DIRECT,
};

use super::{claim, open, policy, route};
use crate::{
    atomic,
    headers::{protocol, tcp},
    maps,
    packet::Frame,
    place::{copy, part},
    work::{Aside, Found, Read, Work, due},
};

/// A deadline is written when it moves by this much, not for each packet.
const STEP: u64 = 1_000_000_000;

/// Looks for the flow of the packet's tuple; its translation is on the sheet if there is one.
#[inline(always)]
pub fn find(frame: Frame) -> bool {
    match find_flow() {
        NONE => false,
        FOUND => true,
        _ => reconsider(frame),
    }
}

/// For one that was found under another policy, or whose route has to be looked up again.
#[inline(always)]
fn reconsider(frame: Frame) -> bool {
    let Some(work) = maps::work() else {
        return false;
    };
    let Some(found) = work.found() else {
        return false;
    };
    if found.get().due & due::POLICY != 0 {
        policy::again(found);
    }
    if found.get().due & due::ROUTE != 0 && !route::again(frame) || is_claimed(frame, work, found) {
        // the packet begins another flow
        work.forget_flow();
        return false;
    }
    true
}

/// Whether the host waits for this answer from the world or, if the container sends, for the answers to its packet. Then
/// the container must not get them.
#[inline(always)]
fn is_claimed(frame: Frame, work: &Work, found: &Cell<Found>) -> bool {
    if found.get().due & due::HOST == 0 {
        return false;
    }
    let (Some(read), Some(translation)) = (work.read(), work.translation()) else {
        return true;
    };
    let owner = found.get().key.owner;
    if found.get().direction != direction::ORIGINAL {
        return claim::holds(frame.0, &read.tuple, owner, translation.tuple.get().to_port);
    }
    let reply = work.sought.put(translation.tuple.get().reversed(0));
    let is_claimed = claim::holds(frame.0, reply, owner, read.tuple.get().from_port);
    if is_claimed {
        work.replace(found.get().key, halves(found.get().life).0);
    }
    is_claimed
}

/// The same where there is no routing table to ask: whether it is found and nothing has changed.
#[inline(always)]
pub fn is_known() -> bool {
    find_flow() == FOUND
}

/// Whether the flow is found and says alone what becomes of the packet: nothing has to be asked or written, and neither
/// the stack nor IPsec has a say. The packet is `aside`, and so is what is found.
#[inline(always)]
pub fn is_settled(aside: &Aside) -> bool {
    maps::config().is_some_and(Config::lets_settle) && look(aside) && aside.found.get().due == 0
}

const NONE: u32 = 0;
const FOUND: u32 = 1;
/// Found, but its route has to be looked up again, or the policy or the host asked.
const STALE: u32 = 2;

#[unsafe(no_mangle)]
extern "C" fn find_flow() -> u32 {
    let Some(work) = maps::work() else { return NONE };
    work.forget_look_up();
    if work.read().is_none() || !look(&work.aside()) {
        return NONE;
    }
    work.start_translation().done();
    match work.start_found().done().get().due & (due::ROUTE | due::HOST | due::POLICY) {
        0 => FOUND,
        _ => STALE,
    }
}

/// Writes the translation and what was found, if there is a flow.
#[inline(always)]
fn look(aside: &Aside) -> bool {
    let Aside {
        work,
        read,
        translation,
        found,
    } = *aside;
    let Some(index) = maps::flow_index(&read.tuple) else {
        return false;
    };
    let Some(flow) = maps::record(index.key) else {
        return false;
    };
    let life = flow.life();
    let (serial, progress) = halves(life);
    atomic::barrier();
    if serial != index.serial || progress & progress::WRITING != 0 || !lives(flow, read.now.get()) {
        return false;
    }
    // a connection that has ended does not hold up the next one (RFC 9293, 3.6.1)
    if read.tcp_flags.get() & (tcp::SYN | tcp::ACK) == tcp::SYN
        && FlowState::of(progress) as u8 == FlowState::Closed as u8
    {
        work.replace(index.key, serial);
        return false;
    }
    let is_stale = route::is_stale(flow, read.now.get());
    let due = part!(found, due);
    due.set(either(
        flow.publication != 0 && flow.generation != route::generation(),
        due::PUBLICATION,
    ));
    if due.get() != 0 && !is_published(flow) {
        work.replace(index.key, serial);
        return false;
    }
    let direction = index.direction;
    let (this, other) = match direction {
        direction::ORIGINAL => (0, 1),
        _ => (1, 0),
    };
    // the memory of an index entry that is removed may hold another one at once, of another flow
    // SAFETY: a comparison, which writes nothing
    if !flow.tuples[this].is(unsafe { &*read.tuple.as_ptr() }) {
        return false;
    }
    set_reversed(&translation.tuple, &flow.tuples[other], 0);
    copy(&flow.ends[other], &translation.end);
    translation.address_sum.set(flow.address_sums[this]);
    translation.port_sum.set(flow.port_sums[this]);
    part!(found, key).set(index.key);
    part!(found, life).set(life);
    part!(found, direction).set(direction);
    part!(found, publication).set(flow.publication);
    part!(found, is_denied).set(false);
    let (advances, is_moved) = match read.is_quoting() {
        true => (0, false),
        false => advance(flow, progress, direction, read),
    };
    part!(found, advances).set(advances);
    let is_rerouted = translation.end.get().is_world() && is_stale;
    // a published port's flow has a port that no socket of the host may bind
    let from_world = read.tuple.get().zone == 0 && flow.publication == 0;
    let is_contested = match from_world {
        true => flow.asked != asked_at(read.now.get(), route::generation()),
        false => is_rerouted && flow.publication == 0,
    };
    due.set(
        due.get()
            | either(is_moved, due::PROGRESS)
            | either(is_rerouted, due::ROUTE)
            | either(is_contested, due::HOST)
            | either(flow.policy_epoch != policy::epoch(), due::POLICY),
    );
    atomic::barrier();
    // another CPU may have given the slot to another flow meanwhile
    halves(flow.life()).0 == serial
}

/// A tuple the other way round, word by word: a whole one would lie on the stack.
#[inline(always)]
pub fn set_reversed(to: &Cell<Tuple>, tuple: &Tuple, zone: u32) {
    part!(to, from).set(tuple.to);
    part!(to, to).set(tuple.from);
    part!(to, from_port).set(tuple.to_port);
    part!(to, to_port).set(tuple.from_port);
    part!(to, zone).set(zone);
    part!(to, protocol).set(tuple.protocol);
}

#[inline(always)]
fn either(condition: bool, bit: u32) -> u32 {
    if condition { bit } else { 0 }
}

/// Whether its time is not over, and both endpoints are still those that it was made for.
#[inline(always)]
pub fn lives(flow: &Flow, now: u64) -> bool {
    flow.is_alive(now)
        && is_live(flow.ends[0].endpoint, flow.ends[0].generation)
        && is_live(flow.ends[1].endpoint, flow.ends[1].generation)
}

#[inline(always)]
fn is_live(endpoint: u32, generation: u32) -> bool {
    endpoint == 0 || maps::slot(endpoint).is_some_and(|slot| slot.generation == generation && slot.ifindex != 0)
}

/// Whether the publication that it came by still leads where it went.
#[inline(always)]
fn is_published(flow: &Flow) -> bool {
    if flow.publication == DIRECT {
        return open::stays_open(flow);
    }
    let [original, reply] = &flow.tuples;
    maps::publication(flow.publication).is_some_and(|publication| {
        publication.endpoint == flow.ends[1].endpoint
            && publication.generation == flow.ends[1].generation
            && publication.port(u16::from_be(original.to_port)) == u16::from_be(reply.from_port)
    })
}

/// What this packet adds to the flow's progress, and whether the record has to be written for it.
#[inline(always)]
fn advance(flow: &Flow, progress: u32, direction: u32, read: &Read) -> (u32, bool) {
    use progress::{ANSWERED, ASSURED, RESET, fin};
    let is_reply = direction != direction::ORIGINAL;
    let protocol = read.tuple.get().protocol;
    let is_tcp = protocol == u32::from(protocol::TCP);
    let flags = read.tcp_flags.get();
    let mut advances = 0;
    if is_tcp && flags & tcp::FIN != 0 {
        advances |= fin(direction);
    }
    if is_tcp && flags & tcp::RST != 0 {
        advances |= RESET;
    } else if is_reply {
        advances |= ANSWERED;
    } else if progress & (ANSWERED | ASSURED) == ANSWERED && (!is_tcp || has_heard(flow, read)) {
        advances |= ASSURED;
    }
    let next = progress & !RESET | advances;
    let deadline = read.now.get() + timeout(protocol, next);
    (advances, next != progress || deadline > flow.deadline + STEP)
}

/// Whether the originator of a TCP flow shows that it has received the responder's answer.
#[inline(always)]
fn has_heard(flow: &Flow, read: &Read) -> bool {
    read.tcp_flags.get() & (tcp::SYN | tcp::ACK) == tcp::ACK && acknowledges(read.acknowledgement.get(), flow.sequence)
}
