//! What the switch says, in plain Rust: `stages/resolve.rs` and `commit/resolve.rs` of the data path.

use std::collections::HashMap;

use netswitch::action::{Action, Entry};
use netswitch::model::directory::Directory;
use netswitch::plan;
use netswitch_common::address::Address;
use netswitch_common::name::{LONGEST, Name, NameKey, View};
use tests::question::{A, AAAA, PTR};

/// RD, AD and CD; RD and CD stand in the answer again.
const PLAIN: u16 = 0x0130;
const KEPT: u16 = 0x0110;
/// QR, AA and RA.
const ANSWER: u16 = 0x8480;
/// One question, and no other section.
const COUNTS: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];
const INTERNET: u16 = 1;
/// The question's name, where it stands behind the header.
const THE_NAME: u16 = 0xc00c;

/// The tables that the agent fills.
pub struct Switch {
    names: HashMap<NameKey, Name>,
    views: HashMap<u32, View>,
}

impl Switch {
    pub fn new(directory: &Directory) -> Self {
        let mut switch = Self {
            names: HashMap::new(),
            views: HashMap::new(),
        };
        for action in plan::names::repaired(&[], Some(directory)) {
            match action {
                Action::Put {
                    entry: Entry::Name { key, value },
                    ..
                } => drop(switch.names.insert(key, *value)),
                Action::Put {
                    entry: Entry::View { sandbox, value },
                    ..
                } => drop(switch.views.insert(sandbox, value)),
                other => panic!("not about names: {other:?}"),
            }
        }
        assert!(!switch.names.is_empty() && !switch.views.is_empty());
        switch
    }

    /// `None`: the agent's to answer.
    pub fn answer(&self, sandbox: u32, question: &[u8]) -> Option<Vec<u8>> {
        let (head, asked) = question.split_first_chunk::<12>()?;
        let (name, kind) = asked.split_last_chunk::<4>()?;
        let [kind, class] = [[kind[0], kind[1]], [kind[2], kind[3]]].map(u16::from_be_bytes);
        let flags = u16::from_be_bytes([head[2], head[3]]);
        if flags & !PLAIN != 0 || head[4..] != COUNTS || class != INTERNET || name.is_empty() {
            return None;
        }
        let found = self.find(sandbox, name)?;
        let data = data(found, kind)?;
        let length = u16::try_from(data.len()).ok()?;
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&(ANSWER | flags & KEPT).to_be_bytes());
        answer[6..8].copy_from_slice(&1_u16.to_be_bytes());
        answer.extend([THE_NAME, kind, INTERNET].map(u16::to_be_bytes).concat());
        answer.extend(found.time_to_live.to_be_bytes());
        answer.extend(length.to_be_bytes());
        answer.extend(data);
        Some(answer)
    }

    /// Of the first network of the asker's that has it.
    fn find(&self, sandbox: u32, name: &[u8]) -> Option<&Name> {
        let lower = name.to_ascii_lowercase();
        let networks = self.views.get(&sandbox)?.networks;
        let seen = networks.into_iter().take_while(|network| *network != 0);
        let mut found = seen.filter_map(|network| self.names.get(&NameKey::new(network, &lower)?));
        found.next().filter(|found| found.length as usize == name.len())
    }
}

fn data(name: &Name, kind: u16) -> Option<Vec<u8>> {
    match kind {
        A if name.v4 != 0 => Some(name.v4.to_ne_bytes().to_vec()),
        AAAA if name.v6 != Address::NONE => Some(name.v6.0.map(u32::to_ne_bytes).concat()),
        PTR if name.pointer_length != 0 => Some(name.pointer[..LONGEST.min(name.pointer_length as usize)].to_vec()),
        _ => None,
    }
}
