//! The policy: requests about it, and that the maps hold what it says.

use std::net::SocketAddr;
use std::sync::Arc;

use netswitch_common::{
    flow::{Flow, FlowEnd},
    policy::{action, half},
};

use super::core::{Core, internal};
use super::flows;
use crate::action::{Action, Entry};
use crate::api::{CutFlow, Error, PolicyChange, PolicyDefault, PolicyFile, PolicyRule, Response};
use crate::execute::Executor;
use crate::model::{
    changes::Changes,
    policy::{
        Policy,
        change::{self, Change},
        compile::{
            Compiled, Who,
            lookup::{Answer, End, Lookup},
            next_epoch,
        },
    },
    state::{Numbers, State},
};
use crate::plan::{self, view::View};

/// How long ago a flow may have been seen to be named by `policy plan`.
const SEEN_WITHIN: u64 = 3_600 * 1_000_000_000;

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

    /// What applying a file would change, and which flows it would cut.
    pub fn policy_plan(&mut self, file: &PolicyFile) -> Result<Response, Error> {
        let change = change::replace(&self.state, &file.name, &file.text)?;
        let (last, is_leashed) = (self.state.numbers.policy_epoch, self.state.is_leashed());
        let compiled = compile(&self.state, Arc::new(change.policy), last, is_leashed)?;
        let cut = self.cut(&compiled)?;
        Ok(Response::PolicyChange(PolicyChange {
            added: change.added,
            removed: change.removed,
            cut,
        }))
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

    /// Flows seen in the last hour that another policy does not allow.
    fn cut(&mut self, new: &Compiled) -> Result<Vec<CutFlow>, Error> {
        let (flows, now) = self.datapath.tables().flows().map_err(internal)?;
        let people = People::new(&self.state);
        let (before, after) = (Lookup::new(&self.policy), Lookup::new(new));
        let mut cut = Vec::new();
        for (_, flow) in &flows {
            if flow.deadline.saturating_sub(flow.timeout()) + SEEN_WITHIN < now
                || people.denial(&before, flow).is_some()
            {
                continue;
            }
            if let Some(answer) = people.denial(&after, flow) {
                let because = match answer {
                    Answer::Ruled(ruling) => new.rule(ruling.rule).map_or_else(String::new, ToString::to_string),
                    Answer::DeniedByDefault => "no rule allows it".to_owned(),
                    Answer::Nothing => "no rule opens the way".to_owned(),
                };
                cut.push(people.row(flow, because));
            }
        }
        Ok(cut)
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

/// Who the ends of flows are.
struct People<'a> {
    by_number: std::collections::HashMap<u32, Person<'a>>,
}

struct Person<'a> {
    name: &'a str,
    who: Who<'a>,
    /// Number of the network, and whether its members meet.
    network: u32,
    icc: bool,
}

impl<'a> People<'a> {
    fn new(state: &'a State) -> Self {
        let bridges = state.networks.values().filter_map(|network| network.bridge.as_ref());
        let hosts = bridges.map(|bridge| {
            let host = Person {
                name: "host",
                who: Who::Host,
                network: bridge.number,
                icc: true,
            };
            (bridge.host_port, host)
        });
        let members = state.endpoints.values().filter_map(|endpoint| {
            let container = state.containers.get(&endpoint.container)?;
            let network = state.networks.get(&endpoint.network)?;
            let bridge = network.bridge.as_ref()?;
            let who = Who::Member {
                container: &container.name,
                labels: &container.labels,
                network: &network.name,
                leashes: endpoint.leashes.flags(),
            };
            let person = Person {
                name: &container.name,
                who,
                network: bridge.number,
                icc: bridge.icc,
            };
            Some((endpoint.number, person))
        });
        Self {
            by_number: hosts.chain(members).collect(),
        }
    }

    /// Why a policy denies a flow; `None`: it does not.
    fn denial(&self, policy: &Lookup<'_>, flow: &Flow) -> Option<Answer> {
        let [original, reply] = &flow.tuples;
        let end = |end: &FlowEnd, address| match self.by_number.get(&end.endpoint) {
            Some(person) => End::Here(person.who),
            None => End::World(std::net::IpAddr::from(address)),
        };
        let [from, to] = [end(&flow.ends[0], original.from), end(&flow.ends[1], reply.from)];
        let protocol = u8::try_from(original.protocol).unwrap_or(0);
        match policy.answer(from, to, protocol, u16::from_be(reply.from_port)) {
            Answer::Ruled(ruling) if ruling.action == action::ALLOW => None,
            Answer::Nothing if !self.needs_leave(flow) => None,
            answer => Some(answer),
        }
    }

    /// Whether there is no such flow without a rule: between networks, or between neighbours that do not meet.
    fn needs_leave(&self, flow: &Flow) -> bool {
        let [Some(from), Some(to)] = flow.ends.map(|end| self.by_number.get(&end.endpoint)) else {
            return false;
        };
        flow.publication == 0 && (from.network != to.network || !from.icc && !to.icc)
    }

    fn row(&self, flow: &Flow, because: String) -> CutFlow {
        let [original, reply] = &flow.tuples;
        let end = |end: &FlowEnd, address, port: u16| {
            let name = self.by_number.get(&end.endpoint).map_or("world", |person| person.name);
            format!(
                "{name} ({})",
                SocketAddr::new(std::net::IpAddr::from(address), u16::from_be(port))
            )
        };
        CutFlow {
            protocol: flows::protocol(original.protocol),
            from: end(&flow.ends[0], original.from, original.from_port),
            to: end(&flow.ends[1], reply.from, reply.from_port),
            because,
        }
    }
}
