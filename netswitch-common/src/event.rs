//! An event: what `netswitch monitor` is told of one packet.

use crate::{address::Mac, flow::Tuple, map_type};

/// How much is told; the value of LISTENING.
pub mod level {
    /// Nobody listens: nothing, and it costs nothing.
    pub const NONE: u64 = 0;
    /// Everybody who listens asked for drops only.
    pub const DROPS: u64 = 1;
    /// Drops, new flows, and once a second each flow that passes without a record.
    pub const FLOWS: u64 = 2;
}

/// Between two events about packets of one flow that has no record; nanoseconds.
pub const INTERVAL: u64 = 1_000_000_000;

/// An entry of EVENTS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `bpf_ktime_get_ns`.
    pub time: u64,
    /// A [`crate::verdict::Verdict`].
    pub verdict: u32,
    /// A [`crate::verdict::DropReason`], or 0.
    pub reason: u32,
    /// Endpoint that sent it; 0 for the world, or if unknown.
    pub source: u32,
    /// Endpoint it goes to; 0 for none, many, or if that was not found out.
    pub destination: u32,
    pub network: u32,
    /// Of the frame, in bytes.
    pub length: u32,
    /// Its addresses (ARP's, too), ports and protocol; the zone means nothing.
    pub tuple: Tuple,
    /// Network order; 0 if unknown.
    pub ethertype: u16,
    pub destination_mac: Mac,
    pub source_mac: Mac,
    pub _pad: [u8; 6],
}
map_type!(Event, 96);

/// Key of SHOWN.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShownKey {
    pub tuple: Tuple,
    pub source: u32,
    pub destination: u32,
}
map_type!(ShownKey, 52);

impl Event {
    /// From the bytes of an entry; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: long enough, and any bit pattern is an event
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}
