//! Questions about names and their answers as they lie on the wire (RFC 1035, 4.1), and their numbers.

use netswitch_common::name::{LONGEST, NameKey};

/// Where questions are sent to, in network order.
pub const PORT: u16 = 53_u16.to_be();

/// Types of records (RFC 1035, 3.2.2; RFC 3596, 2.1), network order, and the Internet's class.
pub mod kind {
    pub const A: u16 = 1_u16.to_be();
    pub const PTR: u16 = 12_u16.to_be();
    pub const AAAA: u16 = 28_u16.to_be();
    pub const INTERNET: u16 = 1_u16.to_be();
}

/// Codes of answers without a record (RFC 1035, 4.1.1).
pub mod code {
    /// The name is there, and has nothing of the kind.
    pub const NOTHING: u16 = 0;
    /// SERVFAIL.
    pub const CANNOT_TELL: u16 = 2;
    /// NXDOMAIN.
    pub const NO_SUCH_NAME: u16 = 3;
}

/// Flags of a plain question: RD, AD and CD say what the sender knows (RFC 1035, 4.1.1; RFC 4035, 3.2).
pub const PLAIN: u16 = 0x0130_u16.to_be();

/// Set in answers (RFC 1035, 4.1.1).
pub const IS_ANSWER: u16 = 0x8000_u16.to_be();

/// Answer, authoritative, recursion available.
pub const ANSWER: u16 = 0x8480_u16.to_be();

/// What an answer keeps of its question's flags: whether recursion was desired, and whether checking is off.
pub const KEPT: u16 = 0x0110_u16.to_be();

/// Ports and lengths of a UDP datagram and the header of a DNS message (RFC 1035, 4.1.1).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Message {
    pub from_port: u16,
    pub to_port: u16,
    pub length: u16,
    pub checksum: u16,
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additions: u16,
}

/// Bytes of type and class behind a question's name.
pub const KIND: usize = 4;

/// A question as it was asked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Asked {
    /// In front; then type and class, which stand behind the name, zeros again.
    pub key: NameKey,
    /// Room for these behind the longest name.
    _room: u64,
    /// One of [`kind`].
    pub kind: u16,
    /// Bytes of name, type and class; their one's complement sum.
    pub length: u32,
    pub sum: u32,
}

/// A resource record about the name that stands behind the message's header.
#[repr(C, packed(2))]
#[derive(Clone, Copy)]
pub struct Record {
    pub name: u16,
    pub kind: u16,
    pub class: u16,
    pub time_to_live: u32,
    pub length: u16,
    pub data: [u8; LONGEST],
}

/// Up to the record's data.
pub const RECORD_HEADER: usize = core::mem::offset_of!(Record, data);

/// Where the question's name stands in a message (RFC 1035, 4.1.4).
pub const THE_NAME: u16 = 0xc00c_u16.to_be();
