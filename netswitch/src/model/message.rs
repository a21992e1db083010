//! Messages about names, as bytes (RFC 1035, 4). What passes through the agent is read and not made anew, so that it
//! stays as it is: types and options that nobody here knows, the order of records, the spelling of names.

pub mod answer;
mod cache;
mod question;
mod record;

pub use answer::Verdict;
pub use cache::Cache;
pub use question::{Edns, Question};

/// Bytes before the first question.
pub const HEADER: usize = 12;

/// In the second 16 bits.
mod flag {
    pub(super) const RESPONSE: u16 = 0x8000;
    pub(super) const OPCODE: u16 = 0x7800;
    pub(super) const TRUNCATED: u16 = 0x0200;
    pub(super) const AUTHENTIC: u16 = 0x0020;
    pub(super) const CODE: u16 = 0x000f;
}

/// Codes of answers that decide whom to ask next.
mod code {
    pub(super) const NO_ERROR: u16 = 0;
    pub(super) const MALFORMED: u16 = 1;
    pub(super) const SERVER_FAILED: u16 = 2;
    pub(super) const NO_SUCH_NAME: u16 = 3;
    pub(super) const NOT_IMPLEMENTED: u16 = 4;
    pub(super) const REFUSED: u16 = 5;
}

/// Types of records that concern the message itself, or how long it may be kept.
mod kind {
    pub(super) const SOA: u16 = 6;
    pub(super) const OPT: u16 = 41;
    pub(super) const ANY: u16 = 255;
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Nothing, if it would reach beyond the end.
fn put<const LENGTH: usize>(bytes: &mut [u8], at: usize, value: [u8; LENGTH]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value;
    }
}

/// Of a whole header.
fn set_flag(bytes: &mut [u8], flag: u16) {
    let flags = u16_at(bytes, 2).unwrap_or_default() | flag;
    put(bytes, 2, flags.to_be_bytes());
}

#[cfg(test)]
mod tests;
