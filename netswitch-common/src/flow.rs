//! Flows: what is translated, and how, in both directions.
//!
//! A flow is one [`Flow`] in RECORDS. FLOWS finds it from a packet of either direction: two entries, one
//! per [`Tuple`]. Each tuple's packets leave as the other one reversed, so the two say the translation.

mod end;
pub mod mapping;

pub use self::end::{FlowEnd, SILENCE};
use crate::{
    address::Address,
    map_type,
    progress::{self, FlowState, ICMP, ICMPV6, SECOND, TCP, UDP, UDP_LITE, timeout},
};

/// Key of FLOWS: where a packet comes from and goes to, as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub from: Address,
    pub to: Address,
    /// Network order. An ICMP echo request has its identifier in `from_port`, its answer in `to_port`;
    /// 0 where the protocol has no ports.
    pub from_port: u16,
    pub to_port: u16,
    /// Network that the packet comes from; 0 for the world.
    pub zone: u32,
    /// IP protocol number.
    pub protocol: u32,
}
map_type!(Tuple, 44);

impl Tuple {
    /// Comparison word by word: a program would call a function for all bytes at once.
    #[inline(always)]
    #[must_use]
    pub const fn is(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.from.0, self.to.0);
        let ([i, j, k, l], [m, n, o, p]) = (other.from.0, other.to.0);
        let addresses = (a ^ i) | (b ^ j) | (c ^ k) | (d ^ l) | (e ^ m) | (f ^ n) | (g ^ o) | (h ^ p);
        let ports = (self.from_port ^ other.from_port) | (self.to_port ^ other.to_port);
        addresses | ports as u32 | (self.zone ^ other.zone) | (self.protocol ^ other.protocol) == 0
    }

    /// The same the other way round, in a zone.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self, zone: u32) -> Self {
        Self {
            from: self.to,
            to: self.from,
            from_port: self.to_port,
            to_port: self.from_port,
            zone,
            protocol: self.protocol,
        }
    }
}

/// Which of a flow's two tuples.
pub mod direction {
    /// As the first packet went.
    pub const ORIGINAL: u32 = 0;
    pub const REPLY: u32 = 1;
}

/// Value of FLOWS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowIndex {
    pub key: FlowKey,
    /// The flow's own: another one in the record means that this entry is stale.
    pub serial: u32,
    /// One of [`direction`].
    pub direction: u32,
}
map_type!(FlowIndex, 16);

/// Key of RECORDS: every endpoint has its own slots, as many as its quota.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Id of the endpoint that the flow is charged to: its sender or, from the world, its receiver.
    pub owner: u32,
    pub slot: u32,
}
map_type!(FlowKey, 8);

/// Value of RECORDS.
///
/// Several CPUs and the agent use one record at the same time. Its *life* is one word, `serial` and `progress`
/// together, and only moves by compare-and-exchange:
/// - Who takes a slot exchanges the old life for a new serial with [`progress::WRITING`], writes the other fields,
///   and stores the life without that bit last.
/// - Who reads compares the serial before and after.
/// - Who changes the progress exchanges a life with the serial that he has found; if the slot has another flow by
///   then, nothing happens. The other fields that he writes after it concern where the flow's packets go, and
///   follow the routing tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// When it ends unless a packet passes (`bpf_ktime_get_ns`). Past: it does not exist.
    pub deadline: u64,
    /// When its route was last looked up.
    pub routed: u64,
    /// Never 0 in a flow.
    pub serial: u32,
    /// Bits of [`progress`].
    pub progress: u32,
    /// [`Tuple`]s by [`direction`].
    pub tuples: [Tuple; 2],
    /// The originator and the responder. Packets of a direction go to the other end.
    pub ends: [FlowEnd; 2],
    /// [`crate::host::Config::generation`] of the last route look-up.
    pub generation: u32,
    /// [`crate::host::Config::policy_epoch`] under which it was allowed; 0 while there is no policy.
    pub policy_epoch: u32,
    /// What the addresses' translation adds to a one's complement sum, per direction; then the ports'.
    pub address_sums: [u32; 2],
    pub port_sums: [u32; 2],
    /// Number of the publication that it came by, or 0.
    pub publication: u32,
    /// Number of the policy's rule that allowed it, or 0.
    pub rule: u32,
    /// TCP: what the originator has to acknowledge ([`progress::acknowledges`]); host order.
    pub sequence: u32,
    /// When the host was last asked whether it waits for what the flow's originator gets ([`asked_at`]).
    pub asked: u32,
}
map_type!(Flow, 248);

/// A time in steps of about a second, which is another one after each change that flows look up again for.
#[inline(always)]
pub const fn asked_at(now: u64, generation: u32) -> u32 {
    ((now >> 30) as u32).wrapping_add(generation << 16)
}

/// Where a record's life stands, in words of 64 bits: its serial, and its progress behind it.
const LIFE: usize = 2;
const _: () = assert!(core::mem::offset_of!(Flow, serial) == LIFE * size_of::<u64>());
const _: () = assert!(core::mem::offset_of!(Flow, progress) == LIFE * size_of::<u64>() + size_of::<u32>());

/// A life as one word of a little-endian host.
#[inline(always)]
pub const fn life(serial: u32, progress: u32) -> u64 {
    serial as u64 | (progress as u64) << 32
}

/// The two halves of a life.
#[inline(always)]
pub const fn halves(life: u64) -> (u32, u32) {
    (life as u32, (life >> 32) as u32)
}

impl Flow {
    /// Serial and progress as they are at this moment: other CPUs exchange them.
    #[inline(always)]
    pub fn life(&self) -> u64 {
        // SAFETY: the third word of 64 bits of a record, which is aligned to them
        unsafe { (&raw const *self).cast::<u64>().add(LIFE).read_volatile() }
    }

    #[inline(always)]
    pub const fn is_alive(&self, now: u64) -> bool {
        self.serial != 0 && self.deadline > now
    }

    pub const fn state(&self) -> FlowState {
        FlowState::of(self.progress)
    }

    /// How long the flow may be silent. The packet that moved the deadline passed this long before it.
    pub const fn timeout(&self) -> u64 {
        timeout(self.tuples[0].protocol, self.progress)
    }

    /// Whether it goes to the world with an address of the host's and a port that stands for the container's socket.
    #[inline(always)]
    pub const fn is_masqueraded(&self) -> bool {
        let [original, reply] = &self.tuples;
        self.ends[1].is_world()
            && original.zone != 0
            && !reply.to.is(original.from)
            && matches!(original.protocol, TCP | UDP | UDP_LITE | ICMP | ICMPV6)
    }

    /// Whether nobody misses the flow, though its time is not over: what began was refused.
    #[inline(always)]
    pub const fn is_refused(progress: u32) -> bool {
        progress & (progress::RESET | progress::ASSURED) == progress::RESET
    }

    /// How readily a living flow gives its slot to a new one of the same owner that finds no other: one of [`yielding`].
    /// A connection keeps it. What anybody can begin with somebody else's address does not, nor what has ended; other
    /// protocols have nothing like TCP's handshake, so their flows keep it while they are in use. Nobody misses a
    /// question over UDP that has its answer.
    #[inline(always)]
    pub const fn yields(&self, progress: u32, now: u64) -> u8 {
        let protocol = self.tuples[0].protocol;
        match FlowState::of(progress) {
            _ if progress & (progress::QUESTION | progress::ANSWERED) == progress::QUESTION | progress::ANSWERED => {
                yielding::FIRST
            }
            FlowState::Answered if protocol == UDP => yielding::FIRST,
            FlowState::New | FlowState::Answered | FlowState::Closed => yielding::YIELDS,
            _ if protocol != TCP && self.deadline.saturating_sub(now) + IDLE < timeout(protocol, progress) => {
                yielding::YIELDS
            }
            FlowState::Established | FlowState::Closing => yielding::KEEPS,
        }
    }
}

/// What [`Flow::yields`] says; more is more readily.
pub mod yielding {
    pub const KEEPS: u8 = 0;
    pub const YIELDS: u8 = 1;
    pub const FIRST: u8 = 2;
}

/// How long a flow that keeps its slot only while it is used may be silent.
const IDLE: u64 = 60 * SECOND;

/// Value of QUOTAS, by endpoint id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many slots were tried so far, the hand of the clock: the next one is this, modulo the extent. It only
    /// goes forward, so that no two flows have the same slot and serial.
    pub hand: u32,
    /// Unused. Before version 5 it counted hairpins.
    pub _pad: u32,
}
map_type!(Quota, 8);

/// How many slots an endpoint uses, from 0: so many, and what EXTENTS says. It grows by as many when too many of
/// them hold living flows, up to the quota.
pub const EXTENT: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use progress::UDP;

    #[test]
    fn a_tuple_turns_round() {
        let tuple = Tuple {
            from: Address::v4(1),
            to: Address::v4(2),
            from_port: 3,
            to_port: 4,
            zone: 5,
            protocol: 6,
        };
        assert_eq!(tuple.reversed(0).reversed(5), tuple);
        assert_eq!(tuple.reversed(7).zone, 7);
    }

    #[test]
    fn tuples_are_the_same_if_all_of_them_is() {
        let tuple = Tuple {
            protocol: 6,
            ..Tuple::default()
        };
        assert!(tuple.is(&tuple));
        let change = |change: fn(&mut Tuple)| {
            let mut other = tuple;
            change(&mut other);
            other
        };
        for other in [
            change(|tuple| tuple.from.0[0] = 1),
            change(|tuple| tuple.from.0[3] = 1),
            change(|tuple| tuple.to.0[0] = 1),
            change(|tuple| tuple.to.0[3] = 1),
            change(|tuple| tuple.from_port = 1),
            change(|tuple| tuple.to_port = 1),
            change(|tuple| tuple.zone = 1),
            change(|tuple| tuple.protocol = 17),
        ] {
            assert!(!tuple.is(&other) && tuple != other, "{other:?}");
        }
    }

    #[test]
    fn a_flow_is_masqueraded_if_any_part_of_its_address_changes() {
        let inside = Address([1, 2, 3, 4]);
        for (outside, protocol, expected) in [
            (inside, UDP, false),
            (Address([9, 2, 3, 4]), UDP, true),
            (Address([1, 9, 3, 4]), UDP, true),
            (Address([1, 2, 9, 4]), UDP, true),
            (Address([1, 2, 3, 9]), TCP, true),
            (Address([1, 2, 3, 9]), 47, false),
        ] {
            let mut flow = Flow::default();
            flow.tuples[0] = Tuple {
                from: inside,
                zone: 1,
                protocol,
                ..Tuple::default()
            };
            flow.tuples[1].to = outside;
            assert_eq!(flow.is_masqueraded(), expected, "{outside:?} {protocol}");
        }
    }

    #[test]
    fn only_connections_and_what_is_in_use_keep_their_slots() {
        use super::yielding::{FIRST, KEEPS, YIELDS};
        use progress::{ANSWERED, ASSURED, FIN_ORIGINAL, FIN_REPLY, QUESTION, RESET};
        const OPEN: u32 = ANSWERED | ASSURED;
        for (protocol, progress, silent, yields) in [
            (TCP, 0, 0, YIELDS),
            (TCP, ANSWERED, 0, YIELDS),
            (TCP, OPEN, 7_000, KEEPS),
            (TCP, OPEN | FIN_REPLY, 200, KEEPS),
            (TCP, OPEN | FIN_REPLY | FIN_ORIGINAL, 0, YIELDS),
            (TCP, OPEN | RESET, 0, YIELDS),
            (UDP, 0, 0, YIELDS),
            (UDP, QUESTION, 0, YIELDS),
            (UDP, ANSWERED, 0, FIRST),
            (UDP, QUESTION | OPEN, 0, FIRST),
            (UDP, OPEN, 50, KEEPS),
            (UDP, OPEN, 70, YIELDS),
            (47, ANSWERED, 0, YIELDS),
            (47, OPEN, 50, KEEPS),
            (47, OPEN, 70, YIELDS),
        ] {
            let now = 1_000 * SECOND;
            let mut flow = Flow {
                deadline: now + timeout(protocol, progress) - silent * SECOND,
                ..Flow::default()
            };
            flow.tuples[0].protocol = protocol;
            assert_eq!(flow.yields(progress, now), yields, "{protocol} {progress:#b} {silent}");
        }
    }

    #[test]
    fn a_refused_connection_is_not_a_reset_one() {
        use progress::{ANSWERED, ASSURED, RESET};
        for (progress, refused) in [
            (0, false),
            (ANSWERED, false),
            (RESET, true),
            (ANSWERED | RESET, true),
            (ANSWERED | ASSURED | RESET, false),
        ] {
            assert_eq!(Flow::is_refused(progress), refused, "{progress:#b}");
        }
    }

    #[test]
    fn a_life_is_its_halves() {
        let flow = Flow {
            serial: 7,
            progress: progress::ASSURED,
            ..Flow::default()
        };
        assert_eq!(halves(life(flow.serial, flow.progress)), (7, progress::ASSURED));
        assert_eq!(flow.life(), life(7, progress::ASSURED));
    }
}
