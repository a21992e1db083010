//! Questions about names, as bytes (RFC 1035, 4).

/// Types of records.
pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const ANY: u16 = 255;

/// RD, as resolvers ask.
pub const ASKED: u16 = 0x0100;
/// QR, AA, RD and RA.
pub const ANSWERED: u16 = 0x8580;

/// A name as on the wire.
pub fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).expect("a label")], label.as_bytes()].concat())
        .collect();
    wire.push(0);
    wire
}

/// A message with one question, and what follows it.
pub fn message(flags: u16, answers: u16, name: &str, kind: u16, rest: &[u8]) -> Vec<u8> {
    let head = [0x4711, flags, 1, answers, 0, 0].map(u16::to_be_bytes).concat();
    let kind = [kind, 1].map(u16::to_be_bytes).concat();
    [&head[..], &wire(name), &kind, rest].concat()
}

pub fn question(name: &str, kind: u16) -> Vec<u8> {
    message(ASKED, 0, name, kind, &[])
}

/// An answer with one record about the name.
pub fn answer(name: &str, kind: u16, time_to_live: u32, data: &[u8]) -> Vec<u8> {
    let head = [0xc00c, kind, 1].map(u16::to_be_bytes).concat();
    let length = u16::try_from(data.len()).expect("a short record").to_be_bytes();
    let record = [&head[..], &time_to_live.to_be_bytes(), &length, data].concat();
    message(ANSWERED, 1, name, kind, &record)
}
