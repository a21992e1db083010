//! What the stages know of one packet that may be translated: too much for a stack of 512 bytes.
//!
//! It is also how they speak to each other. The verifier follows every call of a function anew, unless
//! the function is global: such a one is verified once, takes the context and numbers, and leaves its
//! results here. After calling one, take the sheet again ([`crate::maps::work`]).

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use netswitch_common::{
    address::Address,
    flow::{Flow, FlowEnd, FlowKey, Tuple, mapping::MappingKey},
    fragment::{FragmentKey, Piece},
    verdict::Decision,
};

use crate::{
    headers::{
        Macs,
        dns::{Asked, Record},
    },
    packet::{Family, Headers, Packet, plain::Plain},
};

/// Of the packet that this CPU is working on; filled by [`crate::stages::tuple`] and
/// [`crate::stages::flow`], carried out by commit.
#[repr(C)]
pub struct Work {
    /// When this packet was looked at (`bpf_ktime_get_coarse_ns`: to the tick).
    pub now: u64,
    /// The packet's own; for an ICMP error that of the packets which flow with it.
    pub tuple: Tuple,
    /// Where the packet itself goes, an error's too.
    pub destination: Address,
    /// The tuple as it will leave; its zone means nothing.
    pub translated: Tuple,
    /// Where it leaves.
    pub end: FlowEnd,
    pub key: FlowKey,
    /// Life of the flow that was found, and what the packet adds to its progress.
    pub life: u64,
    pub advances: u32,
    /// One of [`netswitch_common::flow::direction`].
    pub direction: u32,
    /// Of the frame as it will leave; nothing where the neighbour table knows them.
    pub macs: Macs,
    /// One's complement sums of what the translation adds.
    pub address_sum: u32,
    pub port_sum: u32,
    /// Offset of the packet that an ICMP error quotes, and of its transport header; 0 for other packets.
    pub quoted: u32,
    pub quoted_transport: u32,
    pub headers: Headers,
    /// Of a TCP segment, in host order.
    pub sequence: u32,
    pub acknowledgement: u32,
    pub tcp_flags: u8,
    pub hop_limit: u8,
    /// How many of them it makes here: none where the host's stack carries it on.
    pub hops: u8,
    /// Whether commit has to write life and deadline into the record.
    pub renew: u8,
    /// Whether commit has to write the route into the record.
    pub rerouted: u8,
    /// Whether the publication that the flow came by was looked up again: then that commit has to write down when.
    pub republished: u8,
    /// Whether the host has to be asked if it waits for the packet itself; then that commit writes down when.
    pub contested: u8,
    /// Of an ICMP message: whether it has an identifier, and on which side (`tuple::{ASKER, ASKED}`).
    pub identified: u8,
    /// Whether the flow was allowed under another policy than the one in force; and what that says: that commit
    /// has to write so into the record, or that the packet is denied.
    pub unjudged: u8,
    pub rejudged: u8,
    pub denied: u8,
    /// Whether it was a leash that denied, and no rule.
    pub leashed: u8,
    /// Rule and epoch of the policy's last answer.
    pub rule: u32,
    pub epoch: u32,
    /// A later fragment whose ports nobody knows.
    pub is_orphan: u8,
    /// For a new flow: whether its reply tuple needs a port of the masquerade range.
    pub wants_port: u8,
    /// 1 while commit only asks whether a port is free.
    pub probes: u8,
    /// What came of the port that was tried last ([`crate::commit::open`]).
    pub found: u32,
    /// For a new flow: the life of the first record found that yields its slot most readily, and the slot; 0: none.
    pub yielding: u64,
    pub yielding_slot: u32,
    /// One of [`netswitch_common::flow::yielding`].
    pub yielding_readiness: u8,
    /// The tuple of what answers the packet, where the host is asked about that.
    pub reply: Tuple,
    /// A flow that this one takes the place of; serial 0: none.
    pub replaced: FlowKey,
    pub replaced_serial: u32,
    /// Number of the publication that was found, or that the flow came by.
    pub publication: u32,
    /// What [`crate::stages::route`] is asked for, from where (if that is known), and what it found: the way,
    /// and the address for it.
    pub goal: Address,
    pub start: Address,
    pub route: FlowEnd,
    pub source: Address,
    /// Room for its question to the kernel (`struct bpf_fib_lookup`).
    pub query: [u64; 8],
    /// For `explain_endpoint`, which has no room for it.
    pub packet: Packet,
    /// What was decided.
    pub decision: Decision,
    /// Of a fragment: its packet, and where it lies there.
    pub fragment: FragmentKey,
    pub piece: Piece,
    /// While the options of an IPv4 header are read: the next one's place, their end, and whether one is a source route.
    pub option: u32,
    pub options_end: u32,
    pub source_routed: u32,
    /// Addresses that a checksum changes by, before and after; the stack has no room for them.
    pub pairs: [[Address; 2]; 2],
    /// A question for a name and the record that answers it, its length and one's complement sum
    /// ([`crate::stages::resolve`]).
    pub asked: Asked,
    pub record: Record,
    pub record_length: u32,
    pub record_sum: u32,
    /// A key of MAPPINGS, for which the stack has no room.
    pub mapping: MappingKey,
    /// What is said instead of a record ([`crate::headers::dns::code`]).
    pub code: u16,
    /// A new flow; key, deadline and serial are commit's.
    pub flow: Flow,
}

impl Work {
    /// Clears what a flow that was found has left here.
    #[inline(always)]
    pub fn clear_found(&mut self) {
        self.renew = 0;
        self.rerouted = 0;
        self.contested = 0;
        self.republished = 0;
        self.unjudged = 0;
        self.rejudged = 0;
        self.denied = 0;
    }

    /// What a plain packet says, as [`crate::stages::tuple`] would leave it. Its tuple is here already.
    #[inline(always)]
    pub fn note(&mut self, plain: Plain) {
        self.headers = Headers {
            family: match self.tuple.from.as_v4() {
                Some(_) => Family::V4,
                None => Family::V6,
            },
            protocol: self.tuple.protocol as u8,
            hop_limit: plain.hop_limit,
            more_fragments: 0,
            port: self.tuple.from_port,
            transport: plain.transport as u16,
        };
        self.hops = 1;
        self.quoted = 0;
        self.tcp_flags = plain.tcp_flags;
        self.sequence = plain.sequence;
        self.acknowledgement = plain.acknowledgement;
        self.set_time();
    }

    /// The packet is looked at now.
    #[inline(always)]
    pub fn set_time(&mut self) {
        // SAFETY: no argument
        self.now = unsafe { bpf_ktime_get_coarse_ns() };
    }

    /// A new flow takes the place of the one with this key and serial.
    #[inline(always)]
    pub fn replace(&mut self, key: FlowKey, serial: u32) {
        self.replaced = key;
        self.replaced_serial = serial;
    }

    /// Whether the packet is a fragment of one, the first or a later one.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.headers.transport == 0 || self.headers.more_fragments != 0
    }

    #[inline(always)]
    pub fn is_v4(&self) -> bool {
        self.headers.family == Family::V4
    }
}

/// Where answers to a packet's sender go.
#[derive(Clone, Copy)]
pub struct WayBack {
    pub ifindex: u32,
    /// Network of the sender; 0 for the world.
    pub network: u32,
}
