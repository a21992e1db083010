//! The policy: requests about it, and that the maps hold what it says.

use std::sync::Arc;

use netswitch_common::policy::half;

use super::core::{Core, internal};
use super::observer::cut::Judge;
use crate::action::{Action, Entry};
use crate::api::{Error, PolicyChange, PolicyDefault, PolicyFile, PolicyRule, Response};
use crate::execute::Executor;
use crate::model::{
    changes::Changes,
    policy::{
        Policy,
        change::{self, Change},
        compile::{Compiled, next_epoch},
    },
    state::{Numbers, State},
};
use crate::plan::{self, view::View};

impl Core {
    pub fn policy_add(&mut self, rule: &PolicyRule) -> Result<Response, Error> {
        let change = change::add(&self.state, rule)?;
        let id = change.last_rule.to_string();
        self.enforce(change)?;
        Ok(Response::Created {
            id,
            warnings: Vec::new(),
        })
    }

    pub fn policy_default(&mut self, default: &PolicyDefault) -> Result<Response, Error> {
        self.enforce(change::set_default(
            &self.state,
            &default.of,
            default.direction,
            default.action,
        )?)?;
        Ok(Response::Done)
    }

    pub fn policy_remove(&mut self, rules: &[u32]) -> Result<Response, Error> {
        self.enforce(change::remove(&self.state, rules)?)?;
        Ok(Response::Done)
    }

    pub fn policy_apply(&mut self, file: &PolicyFile) -> Result<Response, Error> {
        let change = change::replace(&self.state, &file.name, &file.text)?;
        let answer = PolicyChange {
            added: change.added.clone(),
            removed: change.removed.clone(),
            cut: Vec::new(),
        };
        self.enforce(change)?;
        Ok(Response::PolicyChange(answer))
    }

    /// What applying a file would change, and who finds the flows that it would cut.
    pub fn policy_plan(&self, file: &PolicyFile) -> Result<(PolicyChange, Judge), Error> {
        let change = change::replace(&self.state, &file.name, &file.text)?;
        let (last, is_leashed) = (self.state.numbers.policy_epoch, self.state.is_leashed());
        let compiled = compile(&self.state, Arc::new(change.policy), last, is_leashed)?;
        let judge = Judge::new(&self.state, self.policy.clone(), compiled);
        let change = PolicyChange {
            added: change.added,
            removed: change.removed,
            cut: Vec::new(),
        };
        Ok((change, judge))
    }

    pub fn policy_list(&self) -> Response {
        Response::Policy(Policy::clone(&self.state.policy))
    }

    /// Puts a policy in force, in the maps and in the store, or leaves both as they were.
    fn enforce(&mut self, change: Change) -> Result<(), Error> {
        if change.policy == *self.state.policy {
            return Ok(());
        }
        self.put_in_force(Arc::new(change.policy), change.last_rule, self.state.is_leashed())
    }

    /// Before changes that bring a first leash: even a policy that says nothing is in force then, for leashes
    /// are asked where rules are.
    pub fn wake_policy(&mut self, changes: &mut Changes) -> Result<(), Error> {
        if self.policy.epoch == 0 {
            self.put_in_force(Arc::clone(&self.state.policy), self.state.numbers.rule, true)?;
            if let Some(numbers) = &mut changes.numbers {
                numbers.policy_epoch = self.state.numbers.policy_epoch;
            }
        }
        Ok(())
    }

    fn put_in_force(&mut self, policy: Arc<Policy>, last_rule: u32, even_silent: bool) -> Result<(), Error> {
        let new = compile(
            &self.state,
            Arc::clone(&policy),
            self.state.numbers.policy_epoch,
            even_silent,
        )?;
        let standings = plan::policy::standings(&self.state, &self.policy);
        let actions = plan::policy::install(&self.state, &standings, self.policy.epoch, &new);
        let done = self.executor().all(actions).map_err(internal)?;
        let changes = Changes {
            policy: Some(policy),
            numbers: Some(Numbers {
                policy_epoch: new.epoch.max(self.state.numbers.policy_epoch),
                rule: last_rule,
                ..self.state.numbers
            }),
            ..Changes::default()
        };
        if let Err(error) = self.store.save(&changes) {
            self.try_each(done.undo, "undo failed");
            return Err(internal(error));
        }
        self.state.apply(&changes);
        self.succeed(new);
        Ok(())
    }

    /// The policy that is in force now takes the place of the last one.
    fn succeed(&mut self, new: Compiled) {
        let old = std::mem::replace(&mut self.policy, new);
        let actions = plan::policy::clear(&self.state, &old, self.policy.epoch == 0);
        self.try_each(actions, "something is left of the last policy");
    }

    /// At start: the store's policy, in the place of what another agent left. That one holds until then.
    pub fn restore_policy(&mut self) -> anyhow::Result<()> {
        let tables = self.datapath.tables();
        let epoch = tables.config()?.policy_epoch;
        let (left_over, last): (Vec<_>, Vec<_>) = tables
            .policy_entries()?
            .into_iter()
            .partition(|entry| plan::policy::is_left_over(entry, epoch));
        let remove = |entries: Vec<_>| entries.into_iter().map(|entry| Action::Remove { entry }).collect();
        self.try_each(remove(left_over), "something is left of a policy");
        let mut before = self.state.numbers.policy_epoch.max(epoch);
        if epoch != 0 && half(before) != half(epoch) {
            before = next_epoch(before);
        }
        let is_leashed = self.state.is_leashed();
        let new = compile(&self.state, Arc::clone(&self.state.policy), before, is_leashed)?;
        let numbers = Numbers {
            policy_epoch: new.epoch.max(before),
            ..self.state.numbers
        };
        let changes = Changes {
            numbers: (numbers != self.state.numbers).then_some(numbers),
            ..Changes::default()
        };
        self.store.save(&changes)?;
        self.state.apply(&changes);
        let standings = last.iter().filter_map(|entry| match entry {
            Entry::Standing { endpoint, value } => Some((*endpoint, *value)),
            _ => None,
        });
        let actions = plan::policy::install(&self.state, &standings.collect(), epoch, &new);
        self.executor().all(actions)?;
        let present = plan::policy::standings(&self.state, &new);
        let stays = |entry: &Entry| match entry {
            Entry::Standing { endpoint, .. } => new.epoch != 0 && present.contains_key(endpoint),
            _ => false,
        };
        let gone = last.into_iter().filter(|entry| !stays(entry)).collect();
        self.policy = new;
        self.try_each(remove(gone), "something is left of the last policy");
        Ok(())
    }

    fn executor(&mut self) -> Executor<'_> {
        Executor::new(&mut *self.kernel, &mut self.datapath)
    }

    fn try_each(&mut self, actions: Vec<Action>, failure: &str) {
        let (_, errors) = self.executor().each(actions);
        for error in errors {
            tracing::warn!(%error, "{failure}");
        }
    }
}

/// A policy with the classes of everybody there is, under the epoch after `last`.
fn compile(state: &State, policy: Arc<Policy>, last: u32, even_silent: bool) -> Result<Compiled, Error> {
    let is_in_force = even_silent || !policy.is_silent();
    let epoch = if is_in_force { next_epoch(last) } else { 0 };
    let mut compiled = Compiled::new(policy, epoch)?;
    let none = Changes::default();
    let view = View {
        before: state,
        changes: &none,
    };
    for (_, who) in plan::policy::everybody(&view) {
        compiled.admit(&who)?;
    }
    Ok(compiled)
}
