//! A question as its client has sent it.

use super::record::{Record, Section, records, whole_name_end};
use super::{HEADER, flag, kind, put, set_flag, u16_at};

/// A message with one question. What stands behind that is passed on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    bytes: Vec<u8>,
    name_end: usize,
    /// Its extension (RFC 6891), if that is all that there is behind the question.
    edns: Option<Edns>,
    /// Nothing but perhaps that extension: no signature that a change would break, no records.
    is_plain: bool,
}

/// What the client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    at: usize,
    pub payload: u16,
    pub version: u8,
    has_options: bool,
}

impl Question {
    /// `None`: it is no question, or it cannot be told what is asked.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if u16_at(bytes, 2)? & flag::RESPONSE != 0 || u16_at(bytes, 4)? != 1 {
            return None;
        }
        let name_end = whole_name_end(bytes)?;
        let end = name_end + 4;
        if bytes.len() < end {
            return None;
        }
        let found = records(bytes, end)?;
        let mut extensions = found.iter().filter(|record| record.kind == kind::OPT);
        let extension = extensions.next().copied();
        // one, of the root, among the additional records (RFC 6891, 6.1.1)
        let is_wrong = |record: &Record| record.section != Section::Additional || record.fixed != record.owner + 1;
        if extensions.next().is_some() || extension.as_ref().is_some_and(is_wrong) {
            return None;
        }
        let behind = extension.map_or(end, |record| record.end);
        Some(Self {
            is_plain: found.len() == usize::from(extension.is_some()) && behind == bytes.len(),
            edns: extension.map(|record| Edns {
                at: record.owner,
                payload: u16_at(bytes, record.fixed + 2).unwrap_or_default(),
                version: bytes[record.fixed + 5],
                has_options: record.data != record.end,
            }),
            bytes: bytes.to_vec(),
            name_end,
        })
    }

    pub fn id(&self) -> u16 {
        u16_at(&self.bytes, 0).unwrap_or_default()
    }

    pub fn opcode(&self) -> u8 {
        self.bytes[2] >> 3 & 0x0f
    }

    pub fn is_recursion_desired(&self) -> bool {
        self.bytes[2] & 0x01 != 0
    }

    pub fn is_checking_disabled(&self) -> bool {
        self.bytes[3] & 0x10 != 0
    }

    /// As on the wire, as it was spelt.
    pub fn name(&self) -> &[u8] {
        &self.bytes[HEADER..self.name_end]
    }

    pub fn kind(&self) -> u16 {
        u16_at(&self.bytes, self.name_end).unwrap_or_default()
    }

    pub fn class(&self) -> u16 {
        u16_at(&self.bytes, self.name_end + 2).unwrap_or_default()
    }

    pub const fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// Name, type and class.
    pub(super) fn asked(&self) -> &[u8] {
        &self.bytes[HEADER..self.name_end + 4]
    }

    /// Whether it may go without its extension.
    pub const fn can_go_plain(&self) -> bool {
        self.is_plain && self.edns.is_some()
    }

    /// As a server is asked: with an id of its own.
    pub fn with_id(&self, id: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        put(&mut bytes, 0, id.to_be_bytes());
        bytes
    }

    /// Without its extension: for servers that do not know any.
    #[must_use]
    pub fn without_edns(&self) -> Self {
        let mut question = self.clone();
        if let Some(edns) = self.edns.filter(|_| self.is_plain) {
            question.bytes.truncate(edns.at);
            put(&mut question.bytes, 10, [0, 0]);
            question.edns = None;
        }
        question
    }

    /// As the host's own programs would ask: with room for longer answers, and asking whether they are authentic.
    #[must_use]
    pub fn prepared(&self, with_edns: bool, asks_whether_authentic: bool, payload_max: u16) -> Self {
        let mut question = self.clone();
        if !self.is_plain {
            return question;
        }
        if asks_whether_authentic {
            set_flag(&mut question.bytes, flag::AUTHENTIC);
        }
        if let Some(edns) = &mut question.edns {
            // it counts from one hop to the next (RFC 6891, 6.2.5)
            edns.payload = edns.payload.min(payload_max);
            put(&mut question.bytes, edns.at + 3, edns.payload.to_be_bytes());
        } else if with_edns {
            question.edns = Some(Edns {
                at: question.bytes.len(),
                payload: payload_max,
                version: 0,
                has_options: false,
            });
            let ([zero, opt], [high, low]) = (kind::OPT.to_be_bytes(), payload_max.to_be_bytes());
            question.bytes.extend([0, zero, opt, high, low, 0, 0, 0, 0, 0, 0]);
            put(&mut question.bytes, 10, 1_u16.to_be_bytes());
        }
        question
    }

    /// What questions have in common that are answered by the same bytes but for id and spelling.
    pub fn key(&self) -> Vec<u8> {
        let mut key = self.bytes.clone();
        put(&mut key, 0, [0, 0]);
        key[HEADER..self.name_end].make_ascii_lowercase();
        key
    }

    /// The same whatever the client takes, for answers that are whole. `None`: its answer is for it alone, as its
    /// options may be.
    pub(super) fn kept_as(&self) -> Option<Vec<u8>> {
        let has_options = self.edns.is_some_and(|edns| edns.has_options);
        if !self.is_plain || has_options {
            return None;
        }
        let mut key = self.key();
        if let Some(edns) = self.edns {
            put(&mut key, edns.at + 3, [0, 0]);
        }
        Some(key)
    }
}
