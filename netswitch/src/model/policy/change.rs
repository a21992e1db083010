//! Requests about the policy: the one that comes out of them, or what is wrong.

use std::collections::{HashMap, HashSet};

use super::{
    Action, Direction, Policy, Rule, Selector, Subject, check,
    file::{self, RuleAt},
};
use crate::api::{Error, PolicyRule};
use crate::model::state::State;

/// A policy to come, the number of the rule given out last, and what is new and gone, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub policy: Policy,
    pub last_rule: u32,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

impl Change {
    fn of(state: &State) -> Self {
        Self {
            policy: Policy::clone(&state.policy),
            last_rule: state.numbers.rule,
            ..Self::default()
        }
    }

    fn add(&mut self, rule: Rule) {
        self.last_rule += 1;
        self.added.push(rule.to_string());
        self.policy.rules.insert(self.last_rule, rule);
    }
}

/// One rule more; its number is `last_rule`.
pub fn add(state: &State, asked: &PolicyRule) -> Result<Change, Error> {
    let mut rule = Rule::parse(asked.action, &asked.from, &asked.to).map_err(Error::bad_request)?;
    let names = Names::of(state);
    for selector in [&mut rule.from, &mut rule.to] {
        names.resolve(selector)?;
    }
    let mut change = Change::of(state);
    change.add(rule);
    let numbered = change.policy.rules.iter();
    check::rules(numbered.map(|(number, rule)| (*number as usize, rule)).collect())
        .map_err(|conflict| Error::conflict(conflict.text(&format!("rule {}", conflict.first))))?;
    Ok(change)
}

pub fn set_default(state: &State, of: &str, direction: Direction, action: Action) -> Result<Change, Error> {
    let mut of = of.parse().map_err(Error::bad_request)?;
    Names::of(state).resolve_subject(&mut of)?;
    let mut change = Change::of(state);
    change.policy.set_default(&of, direction, action);
    Ok(change)
}

/// All of these rules, or none.
pub fn remove(state: &State, numbers: &[u32]) -> Result<Change, Error> {
    let mut change = Change::of(state);
    for number in numbers {
        let rule = change.policy.rules.remove(number);
        let rule = rule.ok_or_else(|| Error::not_found(format!("No such rule: {number}")))?;
        change.removed.push(rule.to_string());
    }
    Ok(change)
}

/// The policy of a file instead of the one there is. A rule that stays keeps its number.
pub fn replace(state: &State, name: &str, text: &str) -> Result<Change, Error> {
    let mut file = file::read(name, text)?;
    let names = Names {
        state,
        known: named(&state.policy),
    };
    let at = |line: usize, field: &'static str| {
        move |error: Error| {
            let hint = "hint: containers and networks must be there, or have a rule already";
            Error::new(error.kind, format!("{name}:{line}: {field}: {}\n{hint}", error.message))
        }
    };
    for found in &mut file.rules {
        let Rule { from, to, .. } = &mut found.rule;
        names.resolve(from).map_err(at(found.from_line, "rule.from"))?;
        names.resolve(to).map_err(at(found.to_line, "rule.to"))?;
    }
    for found in &mut file.defaults {
        let of_line = found.of_line;
        names
            .resolve_subject(&mut found.of)
            .map_err(at(of_line, "default.of"))?;
    }
    file.check(name)?;
    let mut change = Change {
        last_rule: state.numbers.rule,
        ..Change::default()
    };
    let mut numbers: HashMap<&Rule, u32> = state
        .policy
        .rules
        .iter()
        .map(|(number, rule)| (rule, *number))
        .collect();
    for RuleAt { rule, .. } in file.rules {
        match numbers.remove(&rule) {
            Some(number) => drop(change.policy.rules.insert(number, rule)),
            None => change.add(rule),
        }
    }
    let mut gone: Vec<(u32, &Rule)> = numbers.into_iter().map(|(rule, number)| (number, rule)).collect();
    gone.sort_unstable_by_key(|(number, _)| *number);
    change
        .removed
        .extend(gone.into_iter().map(|(_, rule)| rule.to_string()));
    for found in file.defaults {
        change.policy.set_default(&found.of, found.direction, found.action);
    }
    let (before, after) = (defaults(&state.policy), defaults(&change.policy));
    change.added.extend(missing(&after, &before));
    change.removed.extend(missing(&before, &after));
    Ok(change)
}

/// `default deny web --direction in`, as the command line has it.
fn defaults(policy: &Policy) -> Vec<String> {
    let all = policy.defaults.iter().flat_map(|(of, defaults)| {
        let settings = defaults.settings().into_iter();
        settings.map(move |(direction, action)| match direction {
            Direction::Both => format!("default {action} {of}"),
            direction => format!("default {action} {of} --direction {}", direction.name()),
        })
    });
    all.collect()
}

fn missing<'a>(these: &'a [String], those: &[String]) -> impl Iterator<Item = String> + use<'a> {
    let those: HashSet<String> = those.iter().cloned().collect();
    these.iter().filter(move |line| !those.contains(*line)).cloned()
}

/// Who is there to be named.
struct Names<'a> {
    state: &'a State,
    /// What may have gone.
    known: HashSet<Selector>,
}

/// What a policy names.
fn named(policy: &Policy) -> HashSet<Selector> {
    let rules = policy.rules.values();
    let of_rules = rules.flat_map(|rule| [rule.from.clone(), rule.to.clone()]);
    of_rules.chain(policy.defaults.keys().map(Subject::selector)).collect()
}

impl<'a> Names<'a> {
    fn of(state: &'a State) -> Self {
        Self {
            state,
            known: HashSet::new(),
        }
    }

    /// Puts names in the place of ids and their beginnings.
    fn resolve(&self, selector: &mut Selector) -> Result<(), Error> {
        let found = match selector {
            Selector::Container(name) => self.state.container(name).map(|found| found.name.clone()),
            Selector::Network(name) => self.state.network(name).map(|found| found.name.clone()),
            _ => return Ok(()),
        };
        match (found, &mut *selector) {
            (Ok(found), Selector::Container(name) | Selector::Network(name)) => *name = found,
            (Err(_), gone) if self.known.contains(gone) => {}
            (found, _) => drop(found?),
        }
        Ok(())
    }

    fn resolve_subject(&self, of: &mut Subject) -> Result<(), Error> {
        let mut selector = of.selector();
        self.resolve(&mut selector)?;
        match (of, selector) {
            (Subject::Container(name), Selector::Container(found))
            | (Subject::Network(name), Selector::Network(found)) => *name = found,
            _ => {}
        }
        Ok(())
    }
}
