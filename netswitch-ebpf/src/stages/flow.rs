//! Flow: the one that a packet belongs to, or that begins with it.

use netswitch_common::flow::{Flow, asked_at, direction, halves};
use netswitch_common::progress::{self, FlowState, acknowledges, timeout};

use super::{claim, policy, route};
use crate::{
    atomic,
    headers::{protocol, tcp},
    maps,
    packet::Frame,
    work::Work,
};

/// A deadline is written when it moves by this much, not for each packet.
const STEP: u64 = 1_000_000_000;

/// Looks for the flow of the packet's tuple; fills in the translation if there is one.
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
    let is_rerouted = work.rerouted != 0;
    if work.unjudged != 0 {
        policy::again(work);
    }
    if is_rerouted && !route::again(frame) || is_claimed(frame) {
        // the packet begins another flow
        if let Some(work) = maps::work() {
            work.clear_found();
            work.publication = 0;
        }
        return false;
    }
    true
}

/// Whether the host waits for this answer from the world or, if the container sends, for the answers to its packet. Then
/// the container must not get them.
#[inline(always)]
fn is_claimed(frame: Frame) -> bool {
    let Some(work) = maps::work() else {
        return true;
    };
    if work.contested == 0 {
        return false;
    }
    if work.direction != direction::ORIGINAL {
        return claim::holds(frame.0, &work.tuple, work.key.owner, work.translated.to_port);
    }
    work.reply = work.translated.reversed(0);
    let is_claimed = claim::holds(frame.0, &work.reply, work.key.owner, work.tuple.from_port);
    if is_claimed {
        work.replace(work.key, halves(work.life).0);
    }
    is_claimed
}

/// The same where there is no routing table to ask: whether it is found and nothing has changed.
#[inline(always)]
pub fn is_known() -> bool {
    find_flow() == FOUND
}

/// The same, and whether nothing has to be asked or written about the flow.
#[inline(always)]
pub fn is_unchanged(work: &mut Work) -> bool {
    matches(work) && work.renew | work.rerouted | work.contested | work.unjudged | work.republished == 0
}

const NONE: u32 = 0;
const FOUND: u32 = 1;
/// Found, but its route has to be looked up again, or the policy asked.
const STALE: u32 = 2;

#[unsafe(no_mangle)]
extern "C" fn find_flow() -> u32 {
    let Some(work) = maps::work() else { return NONE };
    if !matches(work) {
        return NONE;
    }
    match work.rerouted | work.contested | work.unjudged {
        0 => FOUND,
        _ => STALE,
    }
}

#[inline(always)]
fn matches(work: &mut Work) -> bool {
    let Some(index) = maps::flow_index(&work.tuple) else {
        return false;
    };
    let Some(flow) = maps::record(index.key) else {
        return false;
    };
    let life = flow.life();
    let (serial, progress) = halves(life);
    atomic::barrier();
    if serial != index.serial || progress & progress::WRITING != 0 || !lives(flow, work.now) {
        return false;
    }
    // a connection that has ended does not hold up the next one (RFC 9293, 3.6.1)
    if work.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN && FlowState::of(progress) as u8 == FlowState::Closed as u8 {
        work.replace(index.key, serial);
        return false;
    }
    let is_stale = route::is_stale(flow, work.now);
    work.republished = u8::from(flow.publication != 0 && flow.generation != route::generation());
    if work.republished != 0 && !is_published(flow) {
        work.replace(index.key, serial);
        return false;
    }
    let way = index.direction;
    let (this, other) = match way {
        direction::ORIGINAL => (0, 1),
        _ => (1, 0),
    };
    // the memory of an index entry that is removed may hold another one at once, of another flow
    if !flow.tuples[this].is(&work.tuple) {
        return false;
    }
    work.key = index.key;
    work.direction = way;
    work.translated = flow.tuples[other].reversed(0);
    work.end = flow.ends[other];
    work.address_sum = flow.address_sums[this];
    work.port_sum = flow.port_sums[this];
    if work.quoted == 0 {
        advance(flow, progress, work);
    }
    work.rerouted = u8::from(work.end.is_world() && is_stale);
    // a published port's flow has a port that no socket of the host may bind
    let from_world = work.tuple.zone == 0 && flow.publication == 0;
    work.contested = u8::from(match from_world {
        true => flow.asked != asked_at(work.now, route::generation()),
        false => work.rerouted != 0 && flow.publication == 0,
    });
    work.unjudged = u8::from(flow.policy_epoch != policy::epoch());
    work.publication = flow.publication;
    work.life = life;
    atomic::barrier();
    // another CPU may have given the slot to another flow meanwhile
    halves(flow.life()).0 == serial
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
    let [original, reply] = &flow.tuples;
    maps::publication(flow.publication).is_some_and(|publication| {
        publication.endpoint == flow.ends[1].endpoint
            && publication.generation == flow.ends[1].generation
            && publication.port(u16::from_be(original.to_port)) == u16::from_be(reply.from_port)
    })
}

/// What this packet adds to the flow's progress, and whether the record has to be written for it.
#[inline(always)]
fn advance(flow: &Flow, progress: u32, work: &mut Work) {
    use progress::{ANSWERED, ASSURED, RESET, fin};
    let is_reply = work.direction != direction::ORIGINAL;
    let is_tcp = work.tuple.protocol == u32::from(protocol::TCP);
    let mut advances = 0;
    if is_tcp && work.tcp_flags & tcp::FIN != 0 {
        advances |= fin(work.direction);
    }
    if is_tcp && work.tcp_flags & tcp::RST != 0 {
        advances |= RESET;
    } else if is_reply {
        advances |= ANSWERED;
    } else if progress & (ANSWERED | ASSURED) == ANSWERED && (!is_tcp || has_heard(flow, work)) {
        advances |= ASSURED;
    }
    let next = progress & !RESET | advances;
    let deadline = work.now + timeout(work.tuple.protocol, next);
    work.advances = advances;
    work.renew = u8::from(next != progress || deadline > flow.deadline + STEP);
}

/// Whether the originator of a TCP flow shows that it has received the responder's answer.
#[inline(always)]
fn has_heard(flow: &Flow, work: &Work) -> bool {
    work.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::ACK && acknowledges(work.acknowledgement, flow.sequence)
}

/// Starts the template of a new flow from the packet's tuple: what it becomes goes from `work.source` to
/// `work.goal`, whose answers come from `zone`.
#[inline(always)]
pub fn begin(work: &mut Work, target_port: u16, zone: u32) {
    work.direction = direction::ORIGINAL;
    work.flow.tuples[0] = work.tuple;
    work.flow.tuples[1].from = work.goal;
    work.flow.tuples[1].from_port = target_port;
    work.flow.tuples[1].to = work.source;
    work.flow.tuples[1].to_port = work.tuple.from_port;
    work.flow.tuples[1].zone = zone;
    work.flow.tuples[1].protocol = work.tuple.protocol;
    work.flow.progress = 0;
    work.flow.sequence = 0;
    work.flow.policy_epoch = 0;
    work.flow.rule = 0;
    work.flow.publication = 0;
    work.flow.routed = work.now;
    work.flow.generation = route::generation();
    work.flow.asked = asked_at(work.now, work.flow.generation);
    work.end = work.flow.ends[1];
}
