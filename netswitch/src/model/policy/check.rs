//! Rules that say the same twice, or one thing and its contrary.

use std::collections::HashMap;

use super::{Action, Direction, Protocol, Rule, Selector, Subject, file::DefaultAt};

/// Two rules, by where they stand: a line or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub first: usize,
    pub second: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Duplicate,
    Contrary,
}

impl Conflict {
    /// What is wrong with the second one; `first` is what the user calls the first.
    pub fn text(&self, first: &str) -> String {
        match self.kind {
            Kind::Duplicate => format!("{first} says the same\nhint: one of them is enough"),
            Kind::Contrary => {
                format!("{first} says the contrary of the same ports\nhint: where both hold, deny wins: take one out")
            }
        }
    }
}

/// From, to and protocol.
type Subjects<'a> = (&'a Selector, &'a Selector, Protocol);

/// The first conflict, if there is one. That some ports are denied where all are allowed is none.
pub fn rules(places: Vec<(usize, &Rule)>) -> Result<(), Conflict> {
    let mut groups: HashMap<Subjects<'_>, Vec<(usize, &Rule)>> = HashMap::new();
    for (place, rule) in places {
        let subjects = (&rule.from, &rule.to, rule.protocol);
        groups.entry(subjects).or_default().push((place, rule));
    }
    let conflicts = groups.values().filter_map(|group| conflict(group));
    conflicts.min_by_key(|conflict| conflict.second).map_or(Ok(()), Err)
}

/// The same of rules with the same subjects.
fn conflict(group: &[(usize, &Rule)]) -> Option<Conflict> {
    let mut said: HashMap<(Action, &[super::Ports]), usize> = HashMap::new();
    for (place, rule) in group {
        if let Some(first) = said.insert((rule.action, rule.ports.as_slice()), *place) {
            return Some(Conflict {
                first,
                second: *place,
                kind: Kind::Duplicate,
            });
        }
    }
    let contrary = |one: usize, other: usize| Conflict {
        first: one.min(other),
        second: one.max(other),
        kind: Kind::Contrary,
    };
    let whole = |action| said.get(&(action, &[][..])).copied();
    if let (Some(allow), Some(deny)) = (whole(Action::Allow), whole(Action::Deny)) {
        return Some(contrary(allow, deny));
    }
    let mut ranges: Vec<(u16, u16, Action, usize)> = group
        .iter()
        .flat_map(|(place, rule)| {
            let ports = rule.ports.iter();
            ports.map(|ports| (ports.first, ports.last, rule.action, *place))
        })
        .collect();
    ranges.sort_unstable();
    // by action: how far its ranges have come, and whose that is
    let mut reached: HashMap<Action, (u16, usize)> = HashMap::new();
    for (first, last, action, place) in ranges {
        let other = match action {
            Action::Allow => Action::Deny,
            Action::Deny => Action::Allow,
        };
        if let Some((_, others)) = reached.get(&other).filter(|(reach, _)| *reach >= first) {
            return Some(contrary(*others, place));
        }
        let reach = reached.entry(action).or_insert((last, place));
        *reach = (*reach).max((last, place));
    }
    None
}

/// Lines of two defaults about one thing.
pub fn defaults(defaults: &[DefaultAt]) -> Result<(), (usize, usize)> {
    let mut said: HashMap<(&Subject, bool), usize> = HashMap::new();
    for DefaultAt {
        line, of, direction, ..
    } in defaults
    {
        for outgoing in [false, true] {
            let speaks = *direction != if outgoing { Direction::In } else { Direction::Out };
            if let Some(first) = speaks.then(|| said.insert((of, outgoing), *line)).flatten() {
                return Err((first, *line));
            }
        }
    }
    Ok(())
}
