//! The groups of the sheet.

use core::cell::Cell;

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use netswitch_common::{
    address::Address,
    flow::{Flow, FlowEnd, FlowKey, Tuple},
    fragment::{FragmentKey, Piece},
};

use crate::{
    headers::{
        Macs,
        dns::{Asked, Record},
    },
    packet::{Family, Headers, plain::Plain},
};

/// What the packet says.
#[repr(C)]
pub struct Read {
    /// When it was looked at (`bpf_ktime_get_coarse_ns`: to the tick).
    pub now: Cell<u64>,
    /// Its own; for an ICMP error that of the packets which flow with it.
    pub tuple: Cell<Tuple>,
    pub headers: Cell<Headers>,
    /// Offset of the packet that an ICMP error quotes, and of its transport header; 0 for other packets.
    pub quoted: Cell<u32>,
    pub quoted_transport: Cell<u32>,
    /// Of a TCP segment, in host order; 0 where there is none.
    pub sequence: Cell<u32>,
    pub acknowledgement: Cell<u32>,
    pub tcp_flags: Cell<u8>,
    pub hop_limit: Cell<u8>,
    /// Of an ICMP message: whether it has an identifier, and on which side (`tuple::{ASKER, ASKED}`).
    pub identified: Cell<u8>,
    /// A later fragment whose ports nobody knows.
    pub is_orphan: Cell<bool>,
}

impl Read {
    /// What a plain packet says, whose tuple is here already: all that a settled one is asked for. It has no fragments,
    /// quotes nothing, and goes where its tuple does.
    #[inline(always)]
    pub fn note(&self, plain: Plain) {
        let tuple = self.tuple.get();
        self.headers.set(Headers {
            family: match tuple.from.as_v4() {
                Some(_) => Family::V4,
                None => Family::V6,
            },
            protocol: tuple.protocol as u8,
            hop_limit: plain.hop_limit,
            more_fragments: 0,
            port: tuple.from_port,
            transport: plain.transport as u16,
        });
        self.quoted.set(0);
        self.tcp_flags.set(plain.tcp_flags);
        self.acknowledgement.set(plain.acknowledgement);
        self.set_time();
    }

    /// The packet is looked at now.
    #[inline(always)]
    pub fn set_time(&self) {
        // SAFETY: no argument
        self.now.set(unsafe { bpf_ktime_get_coarse_ns() });
    }

    #[inline(always)]
    pub fn is_v4(&self) -> bool {
        self.headers.get().family == Family::V4
    }

    /// Of the packet that flows, an error's quoted one.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.tuple.get().protocol as u8
    }

    #[inline(always)]
    pub fn is_quoting(&self) -> bool {
        self.quoted.get() != 0
    }
}

/// Of a fragment: its packet, and where it lies there.
#[derive(Clone, Copy)]
pub struct Fragment {
    pub key: FragmentKey,
    pub piece: Piece,
}

/// What becomes of a packet of a flow.
#[repr(C)]
pub struct Translation {
    /// The tuple as it will leave; its zone means nothing.
    pub tuple: Cell<Tuple>,
    /// Where it leaves.
    pub end: Cell<FlowEnd>,
    /// One's complement sums of what the translation adds.
    pub address_sum: Cell<u32>,
    pub port_sum: Cell<u32>,
}

impl Translation {
    #[inline(always)]
    pub fn has_new_ports(&self, read: &Read) -> bool {
        let (before, after) = (read.tuple.get(), self.tuple.get());
        after.from_port != before.from_port || after.to_port != before.to_port
    }
}

/// The flow that was found, and what commit has to write into its record.
#[derive(Clone, Copy)]
pub struct Found {
    pub key: FlowKey,
    pub life: u64,
    /// What the packet adds to its progress.
    pub advances: u32,
    /// One of [`netswitch_common::flow::direction`].
    pub direction: u32,
    /// Number of the publication that the flow came by, or 0.
    pub publication: u32,
    /// Bits of [`due`].
    pub due: u32,
    /// Whether the policy in force denies it.
    pub is_denied: bool,
}

/// What has to be asked about a flow that was found, and what commit has to write down about it then.
pub mod due {
    /// Life and deadline.
    pub const PROGRESS: u32 = 1 << 0;
    /// The route.
    pub const ROUTE: u32 = 1 << 1;
    /// Whether the host waits for the packet itself.
    pub const HOST: u32 = 1 << 2;
    /// The policy: the flow was allowed under another one.
    pub const POLICY: u32 = 1 << 3;
    /// The publication that the flow came by, which was looked up again.
    pub const PUBLICATION: u32 = 1 << 4;
}

#[derive(Clone, Copy)]
pub struct Replaced {
    pub key: FlowKey,
    pub serial: u32,
}

#[derive(Clone, Copy)]
pub struct Judgement {
    /// Number of the rule, or 0.
    pub rule: u32,
    pub epoch: u32,
    /// Whether it was a leash that denied, and no rule.
    pub is_leashed: bool,
}

/// What the routing tables go by: where to and from where, and what rules ask for. Ports are in network order.
#[derive(Clone, Copy)]
pub struct Question {
    pub goal: Address,
    pub start: Address,
    pub from_port: u16,
    pub to_port: u16,
    /// IP protocol number.
    pub protocol: u32,
    /// Type of service; of IPv6 the flow information's traffic class, network order.
    pub service: u32,
}

/// While IPv6's rules are gone through.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Key of the first one.
    pub first: u32,
    /// Number of the next one that counts.
    pub next: u32,
    /// Of the one that had an answer.
    pub answer: u32,
    /// Of `bpf_fib_lookup`.
    pub flags: u32,
    /// Of the packet, in bytes.
    pub length: u16,
}

/// The way that was found, and the host's address for it.
#[repr(C)]
pub struct Route {
    pub end: Cell<FlowEnd>,
    pub source: Cell<Address>,
}

/// A flow that begins with the packet; slot, deadline and serial are commit's.
#[repr(C)]
pub struct NewFlow {
    pub flow: Cell<Flow>,
    pub key: Cell<FlowKey>,
    /// Whether its reply tuple needs a port of the masquerade range.
    pub wants_port: Cell<bool>,
}

#[derive(Clone, Copy)]
pub struct Yielding {
    pub life: u64,
    pub slot: u32,
    /// One of [`netswitch_common::flow::yielding`].
    pub readiness: u8,
}

/// A question for a name and the record that answers it.
#[repr(C)]
pub struct Answer {
    pub asked: Cell<Asked>,
    pub record: Cell<Record>,
    pub family: Cell<Family>,
    /// The record's length and one's complement sum.
    pub length: Cell<u32>,
    pub sum: Cell<u32>,
}

#[derive(Clone, Copy)]
pub struct Denial {
    pub family: Family,
    /// One of [`crate::headers::dns::code`].
    pub code: u16,
}

/// Addresses of the frame, nothing where the neighbour table knows them; and how many hops the packet makes here: none
/// where the host's stack carries it on.
#[derive(Clone, Copy)]
pub struct Leaving {
    pub macs: Macs,
    pub hops: u8,
}

#[derive(Clone, Copy)]
pub struct Told {
    pub tuple: Tuple,
    pub macs: Macs,
}

/// While the options of an IPv4 header are read: the next one's place, their end, and whether one is a source route.
#[derive(Clone, Copy)]
pub struct Options {
    pub at: u32,
    pub end: u32,
    pub has_source_route: bool,
}
