//! The sheet: what the stages know of one packet, too much for a stack of 512 bytes.
//!
//! It is also how they speak to each other. The verifier follows every call of a function anew, unless
//! the function is global: such a one is verified once, takes the context and numbers, and leaves its
//! results here.
//!
//! The sheet consists of groups (decision 30). One stage starts a group, writes all of it and says that it is done.
//! From then on the others find it, until the packet is over or the stage starts again. What follows from a group ends
//! with it: a packet that is read anew has no flow yet.

pub mod end;
mod groups;

use core::cell::Cell;

use aya_ebpf::maps::lpm_trie::Key;
use netswitch_common::{
    address::Address,
    flow::{FlowEnd, FlowKey, Tuple, mapping::MappingKey},
    ipsec::Traffic,
    routing::{Asked, PrefixKey},
    verdict::Decision,
};

pub use self::groups::{
    Answer, Denial, Found, Fragment, Judgement, Leaving, NewFlow, Options, Question, Read, Replaced, Route, Rules,
    Told, Translation, Yielding, due,
};
use crate::{
    packet::Packet,
    place::{Draft, Room, part},
};

/// Declares the groups: each one's field, how a reader finds it, how its stage starts it, and which other groups end
/// with that. Then the rooms ([`Room`]), which are no groups.
macro_rules! sheet {
    (
        groups { $($(#[$doc:meta])* $name:ident, $start:ident: $group:ty = $bit:ident, ends $($ended:ident)|*;)* }
        rooms { $($(#[$room_doc:meta])* $room:ident: $memory:ty;)* }
    ) => {
        /// Of the packet that this CPU is working on.
        #[repr(C)]
        pub struct Work {
            /// Bits of the groups that are done ([`bit`]).
            valid: Cell<u32>,
            $($name: $group,)*
            $($(#[$room_doc])* pub $room: $memory,)*
        }

        impl Work {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub fn $name(&self) -> Option<&$group> {
                    match self.valid.get() & bit::$bit {
                        0 => None,
                        _ => Some(&self.$name),
                    }
                }

                #[inline(always)]
                pub fn $start(&self) -> Draft<'_, $group> {
                    self.forget(bit::$bit $(| bit::$ended)*);
                    Draft::new(&self.$name, &self.valid, bit::$bit)
                }
            )*
        }
    };
}

sheet! {
    groups {
        /// By [`crate::stages::tuple`].
        read, start_read: Read = READ, ends DESTINATION | FRAGMENT | TRANSLATION | FOUND | REPLACED | JUDGEMENT | QUESTION | ROUTE | NEW_FLOW | YIELDING;
        /// Where the packet itself goes, an error and one whose rest cannot be read, too. By [`crate::stages::tuple`].
        destination, start_destination: Cell<Address> = DESTINATION, ends;
        /// Of a fragment. By [`crate::stages::tuple`].
        fragment, start_fragment: Cell<Fragment> = FRAGMENT, ends;
        /// By [`crate::stages::flow`], or by commit when it has made the flow.
        translation, start_translation: Translation = TRANSLATION, ends;
        /// By [`crate::stages::flow`], of a flow that was there before the packet.
        found, start_found: Cell<Found> = FOUND, ends;
        /// The flow that the packet's new one takes the place of. By [`crate::stages::flow`].
        replaced, start_replaced: Cell<Replaced> = REPLACED, ends;
        /// What the policy and the leash said last. By [`crate::stages::policy`] and [`crate::stages::leash`].
        judgement, start_judgement: Cell<Judgement> = JUDGEMENT, ends;
        /// By [`crate::stages::route`], as is its answer.
        question, start_question: Cell<Question> = QUESTION, ends ROUTE;
        route, start_route: Route = ROUTE, ends;
        /// While rules are gone through. By [`crate::stages::routing`].
        rules, start_rules: Cell<Rules> = RULES, ends;
        /// What rules go by. By [`crate::stages::routing`].
        asked, start_asked: Cell<Asked> = ASKED, ends;
        /// By the stages that let flows begin.
        new_flow, start_new_flow: NewFlow = NEW_FLOW, ends YIELDING;
        /// The first record found that yields its slot to the new flow most readily. By commit.
        yielding, start_yielding: Cell<Yielding> = YIELDING, ends;
        /// A question for a name and the record that answers it. By [`crate::stages::resolve`].
        answer, start_answer: Answer = ANSWER, ends DENIAL;
        /// What is said where there is no such record. By [`crate::stages::resolve`].
        denial, start_denial: Cell<Denial> = DENIAL, ends ANSWER;
        /// By the stage that comes last, carried out by commit.
        decision, start_decision: Cell<Decision> = DECISION, ends;
        /// What the translated packet leaves with beside its translation. By commit.
        leaving, start_leaving: Cell<Leaving> = LEAVING, ends;
        /// By commit, of a packet that is told of.
        told, start_told: Cell<Told> = TOLD, ends;
        /// What `bpf_loop` has found. On 6.1 the verifier takes what a callback leaves on the stack for what was there before.
        result, start_result: Cell<u32> = RESULT, ends;
        /// What policies of IPsec are compared with. By [`crate::stages::ipsec`].
        traffic, start_traffic: Cell<Traffic> = TRAFFIC, ends;
        /// By [`crate::stages::options`].
        options, start_options: Cell<Options> = OPTIONS, ends;
        /// For the long way, which has no room for it.
        packet, start_packet: Cell<Packet> = PACKET, ends;
    }
    rooms {
        /// For the routing tables (`struct bpf_fib_lookup`).
        query: Room<[u64; 8]>;
        /// A tuple that is looked for, and is not the packet's.
        sought: Room<Tuple>;
        /// A key of PREFIXES.
        prefix: Room<Key<PrefixKey>>;
        /// A key of MAPPINGS.
        mapping: Room<MappingKey>;
        /// Addresses that a checksum changes by, before and after.
        pairs: Room<[[Address; 2]; 2]>;
    }
}

mod bit {
    pub(super) const READ: u32 = 1 << 0;
    pub(super) const FRAGMENT: u32 = 1 << 1;
    pub(super) const TRANSLATION: u32 = 1 << 2;
    pub(super) const FOUND: u32 = 1 << 3;
    pub(super) const REPLACED: u32 = 1 << 4;
    pub(super) const JUDGEMENT: u32 = 1 << 5;
    pub(super) const QUESTION: u32 = 1 << 6;
    pub(super) const ROUTE: u32 = 1 << 7;
    pub(super) const NEW_FLOW: u32 = 1 << 8;
    pub(super) const YIELDING: u32 = 1 << 9;
    pub(super) const ANSWER: u32 = 1 << 10;
    pub(super) const DENIAL: u32 = 1 << 11;
    pub(super) const DECISION: u32 = 1 << 12;
    pub(super) const LEAVING: u32 = 1 << 13;
    pub(super) const TOLD: u32 = 1 << 14;
    pub(super) const RESULT: u32 = 1 << 15;
    pub(super) const OPTIONS: u32 = 1 << 16;
    pub(super) const PACKET: u32 = 1 << 17;
    pub(super) const DESTINATION: u32 = 1 << 18;
    pub(super) const TRAFFIC: u32 = 1 << 19;
    pub(super) const RULES: u32 = 1 << 20;
    pub(super) const ASKED: u32 = 1 << 21;
}

// SAFETY: each CPU has a sheet of its own, and one packet at a time ([`crate::maps::work`])
unsafe impl Sync for Work {}

impl Work {
    /// For a new packet: no group is done.
    #[inline(always)]
    pub fn clear(&self) {
        self.valid.set(0);
    }

    #[inline(always)]
    fn forget(&self, bits: u32) {
        self.valid.set(self.valid.get() & !bits);
    }

    /// The flow that was found is not the packet's.
    #[inline(always)]
    pub fn forget_flow(&self) {
        self.forget(bit::FOUND | bit::TRANSLATION | bit::JUDGEMENT);
    }

    /// Slots are looked for anew.
    #[inline(always)]
    pub fn forget_yielding(&self) {
        self.forget(bit::YIELDING);
    }

    /// What the last look-up of a flow has left.
    #[inline(always)]
    pub fn forget_look_up(&self) {
        self.forget(bit::FOUND | bit::TRANSLATION | bit::JUDGEMENT | bit::REPLACED);
    }

    /// For a function that describes a packet of a flow here and carries it out itself: others do not find it.
    #[inline(always)]
    pub fn aside(&self) -> Aside<'_> {
        Aside {
            work: self,
            read: &self.read,
            translation: &self.translation,
            found: &self.found,
        }
    }

    /// Where a packet of a flow goes: of the one that begins with it, or of the one that was found.
    #[inline(always)]
    pub fn other_end(&self, begins: bool) -> Option<&Cell<FlowEnd>> {
        let (bit, end) = match begins {
            true => (bit::NEW_FLOW, part!(self.new_flow.flow, ends[1])),
            false => (bit::TRANSLATION, &self.translation.end),
        };
        match self.valid.get() & bit {
            0 => None,
            _ => Some(end),
        }
    }

    /// A new flow takes the place of the one with this key and serial.
    #[inline(always)]
    pub fn replace(&self, key: FlowKey, serial: u32) {
        self.start_replaced().write(Replaced { key, serial });
    }
}

/// Groups that are not done.
pub struct Aside<'a> {
    pub work: &'a Work,
    pub read: &'a Read,
    pub translation: &'a Translation,
    pub found: &'a Cell<Found>,
}

/// Where answers to a packet's sender go.
#[derive(Clone, Copy)]
pub struct WayBack {
    pub ifindex: u32,
    /// Network of the sender; 0 for the world.
    pub network: u32,
}
