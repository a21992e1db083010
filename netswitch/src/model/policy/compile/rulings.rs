//! What a few rules say together about protocols and ports, as entries of a longest-prefix map.

use std::collections::{BTreeMap, BTreeSet};

use netswitch_common::policy::{PROTOCOL_BITS, Ruling, RulingKey, SET_BITS, action};

use super::{
    super::{Action, ports},
    Entry, Rule,
};

/// Rules that speak of one thing, by number.
#[derive(Clone, Debug, Default)]
struct Said {
    allow: BTreeSet<u32>,
    deny: BTreeSet<u32>,
}

impl Said {
    fn of(&mut self, action: Action) -> &mut BTreeSet<u32> {
        match action {
            Action::Allow => &mut self.allow,
            Action::Deny => &mut self.deny,
        }
    }

    /// What comes of it, and of what `wider` says: deny beats allow, and the lowest number is named.
    fn ruling(&self, wider: Option<Ruling>) -> Option<Ruling> {
        let wider = |action| wider.filter(|ruling| ruling.action == action).map(|ruling| ruling.rule);
        let lowest = |numbers: &BTreeSet<u32>, action| {
            let rule = numbers.first().copied().into_iter().chain(wider(action)).min()?;
            Some(Ruling { action, rule })
        };
        lowest(&self.deny, action::DENY).or_else(|| lowest(&self.allow, action::ALLOW))
    }
}

/// What is said of one protocol.
#[derive(Default)]
struct OfProtocol {
    whole: Said,
    /// Where a rule begins to hold, and where it ceases to.
    edges: Vec<(u32, Edge, Action, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    End,
    Begin,
}

/// Appends the entries of a set. What says no more than the next shorter prefix is left out.
pub fn of<'a>(rules: impl Iterator<Item = (u32, &'a Rule)>, set: u32, entries: &mut Vec<Entry>) {
    let mut always = Said::default();
    let mut protocols: BTreeMap<u8, OfProtocol> = BTreeMap::new();
    for (number, rule) in rules {
        if rule.protocol.is_any() && rule.ports.is_empty() {
            always.of(rule.action).insert(number);
            continue;
        }
        for protocol in rule.protocol.numbers() {
            let said = protocols.entry(protocol).or_default();
            if rule.ports.is_empty() {
                said.whole.of(rule.action).insert(number);
            }
            for ports in &rule.ports {
                let (begin, end) = (u32::from(ports.first), u32::from(ports.last) + 1);
                said.edges.push((begin, Edge::Begin, rule.action, number));
                said.edges.push((end, Edge::End, rule.action, number));
            }
        }
    }
    let key = |protocol: u8, port: u16| RulingKey {
        set,
        protocol,
        _pad: 0,
        port: port.to_be(),
    };
    let always = always.ruling(None);
    entries.extend(always.map(|ruling| (key(0, 0), SET_BITS, ruling)));
    for (protocol, said) in protocols {
        let whole = said.whole.ruling(always);
        if let Some(ruling) = whole.filter(|_| whole != always) {
            entries.push((key(protocol, 0), PROTOCOL_BITS, ruling));
        }
        for (first, last, ruling) in runs(said.edges, whole) {
            for (port, length) in ports::blocks(first, last) {
                entries.push((key(protocol, port), PROTOCOL_BITS + length, ruling));
            }
        }
    }
}

/// Runs of ports, first and last, about which something else is said than about the whole protocol.
fn runs(mut edges: Vec<(u32, Edge, Action, u32)>, whole: Option<Ruling>) -> Vec<(u32, u32, Ruling)> {
    edges.sort_unstable();
    let mut said = Said::default();
    let mut runs: Vec<(u32, u32, Ruling)> = Vec::new();
    let mut edges = edges.into_iter().peekable();
    while let Some((place, edge, action, number)) = edges.next() {
        match edge {
            Edge::Begin => said.of(action).insert(number),
            Edge::End => said.of(action).remove(&number),
        };
        let Some(next) = edges.peek().map(|(next, ..)| *next).filter(|next| *next != place) else {
            continue;
        };
        let Some(ruling) = said.ruling(whole).filter(|ruling| Some(*ruling) != whole) else {
            continue;
        };
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == place && *same == ruling => *last = next - 1,
            _ => runs.push((place, next - 1, ruling)),
        }
    }
    runs
}
