//! Where names and records stand in a message.

use super::{HEADER, kind, u16_at, u32_at};

/// A name's longest form (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;
/// Of a record behind its name: type, class, time to live, length.
const FIXED: usize = 10;
/// Where the time to live stands, behind the name.
const TIME_TO_LIVE: usize = 4;

/// The three parts of a message behind its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Where one record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) section: Section,
    pub(super) kind: u16,
    /// Where its name begins, and where it ends.
    pub(super) owner: usize,
    pub(super) fixed: usize,
    pub(super) data: usize,
    pub(super) end: usize,
}

impl Record {
    /// One without a time to live has another use for its place.
    pub(super) fn time_to_live_at(&self) -> Option<usize> {
        (self.kind != kind::OPT).then_some(self.fixed + TIME_TO_LIVE)
    }

    pub(super) fn time_to_live(&self, message: &[u8]) -> Option<u32> {
        let value = u32_at(message, self.time_to_live_at()?)?;
        // the highest bit is none (RFC 2181, 8)
        Some(if value > i32::MAX as u32 { 0 } else { value })
    }

    pub(super) fn data<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.data..self.end]
    }
}

/// All records behind one question that ends at `at`. `None`: the message ends before they do.
pub(super) fn records(message: &[u8], mut at: usize) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for (section, count) in [(Section::Answer, 6), (Section::Authority, 8), (Section::Additional, 10)] {
        for _ in 0..u16_at(message, count)? {
            let fixed = name_end(message, at)?;
            let data = fixed + FIXED;
            let end = data + usize::from(u16_at(message, fixed + 8)?);
            if end > message.len() {
                return None;
            }
            records.push(Record {
                section,
                kind: u16_at(message, fixed)?,
                owner: at,
                fixed,
                data,
                end,
            });
            at = end;
        }
    }
    Some(records)
}

/// Where a name ends that begins there: behind its root, or behind the pointer to its rest.
fn name_end(message: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        let length = *message.get(at)?;
        match length >> 6 {
            0b00 if length == 0 => return Some(at + 1),
            0b00 => at += 1 + usize::from(length),
            0b11 => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at - begin >= NAME_MAX {
            return None;
        }
    }
}

/// The same of a question's name, which points nowhere.
pub(super) fn whole_name_end(message: &[u8]) -> Option<usize> {
    let end = name_end(message, HEADER)?;
    (message[end - 1] == 0 && !points(message, HEADER, end)).then_some(end)
}

/// Whether the name between these places ends with a pointer.
fn points(message: &[u8], mut at: usize, end: usize) -> bool {
    while at < end {
        match message[at] {
            length if length >> 6 == 0b11 => return true,
            length => at += 1 + usize::from(length),
        }
    }
    false
}

/// Spells a name as `wanted` is spelt, which stands alone, if it is the same one. What it points to is another's.
pub(super) fn spell(message: &mut [u8], owner: usize, wanted: &[u8]) {
    if is_name(message, owner, wanted) {
        let mut at = owner;
        let mut rest = wanted;
        while let Some(length) = message.get(at).copied().filter(|length| matches!(length, 1..=63)) {
            let label = 1 + usize::from(length);
            message[at..at + label].copy_from_slice(&rest[..label]);
            (at, rest) = (at + label, &rest[label..]);
        }
    }
}

/// Whether that is the name, whatever its spelling.
fn is_name(message: &[u8], mut at: usize, mut wanted: &[u8]) -> bool {
    // each pointer leads back, so that there is an end
    let mut before = at;
    loop {
        match message.get(at).copied() {
            Some(0) => return wanted == [0],
            Some(length) if length >> 6 == 0b11 => {
                let Some(target) = u16_at(message, at).map(|pointer| usize::from(pointer & 0x3fff)) else {
                    return false;
                };
                if target >= before {
                    return false;
                }
                (at, before) = (target, target);
            }
            Some(length) if length >> 6 == 0 => {
                let label = 1 + usize::from(length);
                let (Some(here), Some(there)) = (message.get(at..at + label), wanted.get(..label)) else {
                    return false;
                };
                if !here.eq_ignore_ascii_case(there) {
                    return false;
                }
                (at, wanted) = (at + label, &wanted[label..]);
            }
            _ => return false,
        }
    }
}
