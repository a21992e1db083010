//! The policy as the maps have it: written under its epoch, in force by one entry, and then without the one
//! before.

use std::collections::BTreeMap;

use netswitch_common::policy::{PairKey, Standing, half};

use super::view::View;
use crate::action::{Action, Entry};
use crate::api::Error;
use crate::model::{
    changes::Changes,
    endpoint::Endpoint,
    policy::compile::{Compiled, Mark, Who},
    state::State,
};

/// Everybody who has a standing, by endpoint number.
pub fn everybody<'a>(view: &View<'a>) -> impl Iterator<Item = (u32, Who<'a>)> {
    let hosts = view.before.networks.values();
    let hosts = hosts.filter_map(|network| Some((network.bridge.as_ref()?.host_port, Who::Host)));
    let endpoints = view.before.endpoints.values();
    let members: Vec<(u32, Who<'a>)> = endpoints.filter_map(|endpoint| member(view, endpoint)).collect();
    hosts.chain(members)
}

/// How the policy knows an endpoint.
pub fn member<'a>(view: &View<'a>, endpoint: &Endpoint) -> Option<(u32, Who<'a>)> {
    let container = view.container(&endpoint.container)?;
    let who = Who::Member {
        container: &container.name,
        labels: &container.labels,
        network: &view.network(&endpoint.network)?.name,
        leashes: endpoint.leashes.flags(),
    };
    Some((endpoint.number, who))
}

/// What everybody's standings are under one policy alone.
pub fn standings(state: &State, compiled: &Compiled) -> BTreeMap<u32, Standing> {
    let view = View {
        before: state,
        changes: &Changes::default(),
    };
    let standing = |(endpoint, who)| (endpoint, standing(Standing::default(), compiled, &who));
    everybody(&view).map(standing).collect()
}

/// What writes a policy, which knows everybody, beside the one of an epoch, which is in force with these
/// standings; and then puts the new one in force.
pub fn install(state: &State, standings: &BTreeMap<u32, Standing>, epoch: u32, new: &Compiled) -> Vec<Action> {
    let view = View {
        before: state,
        changes: &Changes::default(),
    };
    let put = |entry| Action::Put { entry, before: None };
    let mut actions: Vec<Action> = of(new, None).map(put).collect();
    if new.epoch != 0 {
        actions.extend(everybody(&view).map(|(endpoint, who)| {
            let before = standings.get(&endpoint).copied();
            let value = standing(before.unwrap_or_default(), new, &who);
            Action::Put {
                entry: Entry::Standing { endpoint, value },
                before: before.map(|value| Entry::Standing { endpoint, value }),
            }
        }));
    }
    actions.push(Action::Put {
        entry: Entry::PolicyEpoch(new.epoch),
        before: Some(Entry::PolicyEpoch(epoch)),
    });
    actions
}

/// What removes a policy that is not in force any more; `none`: and there is none after it.
pub fn clear(state: &State, old: &Compiled, none: bool) -> Vec<Action> {
    let standings = if none { standings(state, old) } else { BTreeMap::new() };
    let standings = standings
        .into_iter()
        .map(|(endpoint, value)| Entry::Standing { endpoint, value });
    let entries = of(old, None).chain(standings);
    entries.map(|entry| Action::Remove { entry }).collect()
}

/// Of leftovers: whether they are of an epoch that is not in force.
pub fn is_left_over(entry: &Entry, epoch: u32) -> bool {
    match entry {
        Entry::Cidr { epoch: of, .. } => *of != epoch,
        Entry::Pair { key, .. } => key.epoch != epoch,
        Entry::Ruling { key, .. } => epoch == 0 || half(key.set >> 31) != half(epoch),
        Entry::Standing { .. } => epoch == 0,
        _ => false,
    }
}

/// Before there are new endpoints: their standings, and what their classes add to the policy in force.
pub fn admit(view: &View<'_>, compiled: &mut Compiled) -> Result<Vec<Action>, Error> {
    let endpoints = view.added_endpoints().filter_map(|endpoint| member(view, endpoint));
    let networks = view.changes.networks.iter();
    let added = networks.filter(|(id, _)| !view.before.networks.contains_key(id));
    let hosts = added.filter_map(|(_, after)| Some((after.as_ref()?.bridge.as_ref()?.host_port, Who::Host)));
    let added: Vec<(u32, Who<'_>)> = endpoints.chain(hosts).collect();
    if compiled.epoch == 0 || added.is_empty() {
        return Ok(Vec::new());
    }
    let mark = compiled.mark();
    for (_, who) in &added {
        if let Err(error) = compiled.admit(who) {
            compiled.rewind(mark);
            return Err(error);
        }
    }
    let compiled = &*compiled;
    let standings = added.iter().map(|(endpoint, who)| Entry::Standing {
        endpoint: *endpoint,
        value: standing(Standing::default(), compiled, who),
    });
    let entries = of(compiled, Some(mark)).chain(standings);
    Ok(entries.map(|entry| Action::Put { entry, before: None }).collect())
}

/// After endpoints have gone.
pub fn withdraw(view: &View<'_>, compiled: &Compiled) -> Vec<Action> {
    let before = View {
        before: view.before,
        changes: &Changes::default(),
    };
    let endpoints = view
        .removed_endpoints()
        .filter_map(|endpoint| member(&before, endpoint));
    let networks = view.changes.networks.iter().filter(|(_, after)| after.is_none());
    let hosts = networks.filter_map(|(id, _)| {
        let bridge = view.before.networks.get(id)?.bridge.as_ref()?;
        Some((bridge.host_port, Who::Host))
    });
    let entry = |(endpoint, who)| Entry::Standing {
        endpoint,
        value: standing(Standing::default(), compiled, &who),
    };
    let entries = endpoints.chain(hosts).map(entry);
    entries.map(|entry| Action::Remove { entry }).collect()
}

/// With the half of the policy's epoch filled in.
fn standing(mut standing: Standing, compiled: &Compiled, who: &Who<'_>) -> Standing {
    if compiled.epoch != 0 {
        let half = half(compiled.epoch);
        (standing.identities[half], standing.flags[half]) = compiled.standing(who);
    }
    standing
}

/// The entries of a policy, or those that came since a mark: what leads to others comes last.
fn of(compiled: &Compiled, since: Option<Mark>) -> impl Iterator<Item = Entry> {
    let (rulings, pairs) = since.map_or((0, 0), |mark| (mark.rulings, mark.pairs));
    let epoch = compiled.epoch;
    let rulings = compiled.rulings[rulings..].iter();
    let rulings = rulings.map(|(key, length, value)| Entry::Ruling {
        key: *key,
        length: *length,
        value: *value,
    });
    let pairs = compiled.pairs[pairs..].iter().map(move |(from, to, set)| Entry::Pair {
        key: PairKey {
            epoch,
            from: *from,
            to: *to,
        },
        set: *set,
    });
    let cidrs = if since.is_some() { &[][..] } else { &compiled.cidrs };
    let cidrs = cidrs.iter().map(move |(network, identity)| Entry::Cidr {
        epoch,
        network: *network,
        identity: *identity,
    });
    rulings.chain(pairs).chain(cidrs)
}

#[cfg(test)]
mod tests;
