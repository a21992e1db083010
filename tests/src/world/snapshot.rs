//! The one helper for "leaves state and kernel as they were".

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Object, World, objects::objects_with};

/// Maps that packets change, not requests.
const COUNTERS: [&str; 17] = [
    "DROPS",
    "PATHS",
    "RATIONS",
    "DECISION",
    "CONFIG",
    "HOST_PROTOCOLS",
    "FLOWS",
    "RECORDS",
    "MAPPINGS",
    "CLAIMABLE",
    "KEPT",
    "QUOTAS",
    "EXTENTS",
    "HAIRPINS",
    "FRAGMENTS",
    "PARKED",
    "WORK",
];

/// Bytes of an entry of LIMITS that a request writes.
const LIMIT: usize = std::mem::offset_of!(netswitch_common::limit::Limits, sent);

/// State and kernel, by what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    parts: BTreeMap<String, Vec<String>>,
}

impl Snapshot {
    pub(super) fn take(world: &World) -> Self {
        let mut parts = BTreeMap::new();
        for question in [
            "ip -d -o link",
            "ip -d -o addr",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip neigh show nud permanent",
            "ip -6 neigh show nud permanent",
        ] {
            parts.insert(question.to_owned(), lines(&world.host.sh(question).ok()));
        }
        let mut pins = Vec::new();
        tree(&world.bpffs, &mut pins);
        parts.insert("bpffs".into(), pins);
        // most keys are counters', so these are not even read
        let is_counter = |path: &str| COUNTERS.iter().any(|name| path.ends_with(name));
        for (path, object) in objects_with(&world.bpffs, |path| !is_counter(path)) {
            let text = match &object {
                Object::Map { id, entries } => {
                    // behind what a limit says stands how much of it is used
                    let length = if path.ends_with("LIMITS") { LIMIT } else { usize::MAX };
                    let entries = entries.iter().map(|(key, value)| {
                        let value = &value[..value.len().min(length)];
                        format!("{key:02x?} = {value:02x?}")
                    });
                    [format!("id {id}")].into_iter().chain(entries).collect()
                }
                other => vec![format!("id {}", other.id())],
            };
            parts.insert(path, text);
        }
        if world.socket().exists() {
            parts.insert(
                "networks".into(),
                inspected(world, &["network", "ls", "-q"], &["network", "inspect"]),
            );
            parts.insert("containers".into(), inspected(world, &["ps", "-aq"], &["inspect"]));
        }
        Self { parts }
    }

    /// What has changed since, line by line.
    pub fn difference(&self, before: &Self) -> Option<String> {
        let nothing = Vec::new();
        let mut difference = String::new();
        for part in self
            .parts
            .keys()
            .chain(before.parts.keys().filter(|part| !self.parts.contains_key(*part)))
        {
            let old = before.parts.get(part).unwrap_or(&nothing);
            let new = self.parts.get(part).unwrap_or(&nothing);
            if old == new {
                continue;
            }
            let gone = old
                .iter()
                .filter(|line| !new.contains(line))
                .map(|line| format!("\n- {line}"));
            let come = new
                .iter()
                .filter(|line| !old.contains(line))
                .map(|line| format!("\n+ {line}"));
            difference.extend([format!("\n{part}:")].into_iter().chain(gone).chain(come));
        }
        (!difference.is_empty()).then_some(difference)
    }
}

/// Every network or container, whole.
fn inspected(world: &World, list: &[&str], inspect: &[&str]) -> Vec<String> {
    let ids = world.ok(list);
    let ids: Vec<&str> = ids.lines().collect();
    if ids.is_empty() {
        ids.into_iter().map(str::to_owned).collect()
    } else {
        lines(&world.ok(&[inspect, &ids].concat()))
    }
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn tree(folder: &Path, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        found.push(path.display().to_string());
        if path.is_dir() {
            tree(&path, found);
        }
    }
}
