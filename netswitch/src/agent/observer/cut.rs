//! Which flows another policy would cut: `policy plan`.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use netswitch_common::{
    flow::{Flow, FlowEnd},
    policy::action,
};

use crate::agent::flows::protocol;
use crate::api::CutFlow;
use crate::datapath::{self, Flows};
use crate::model::{
    policy::compile::{
        Compiled, Who,
        lookup::{Answer, End, Lookup},
    },
    state::State,
};

/// How long ago a flow may have been seen to be named.
const SEEN_WITHIN: u64 = 3_600 * 1_000_000_000;

/// The policy in force and another one, and whom they speak of. Made by whoever has the state: it costs as much as
/// compiling the other one did.
pub struct Judge {
    before: Compiled,
    after: Compiled,
    people: People,
}

impl Judge {
    pub fn new(state: &State, before: Compiled, after: Compiled) -> Self {
        Self {
            before,
            after,
            people: People::of(state),
        }
    }

    /// Flows seen in the last hour that the other policy does not allow.
    pub fn cut(&self, flows: &Flows) -> datapath::Result<Vec<CutFlow>> {
        let now = datapath::now();
        let (before, after) = (Lookup::new(&self.before), Lookup::new(&self.after));
        let mut cut = Vec::new();
        flows.each(now, |_, flow| {
            if flow.deadline.saturating_sub(flow.timeout()) + SEEN_WITHIN < now
                || self.people.denial(&before, flow).is_some()
            {
                return;
            }
            if let Some(answer) = self.people.denial(&after, flow) {
                cut.push(self.people.row(flow, self.because(answer)));
            }
        })?;
        Ok(cut)
    }

    fn because(&self, answer: Answer) -> String {
        match answer {
            Answer::Ruled(ruling) => self
                .after
                .rule(ruling.rule)
                .map_or_else(String::new, ToString::to_string),
            Answer::DeniedByDefault => "no rule allows it".to_owned(),
            Answer::Nothing => "no rule opens the way".to_owned(),
        }
    }
}

/// Who the ends of flows are, by number.
struct People(HashMap<u32, Person>);

struct Person {
    /// `None`: the host.
    member: Option<Member>,
    /// Number of the network, and whether its members meet.
    network: u32,
    icc: bool,
}

/// What [`Who::Member`] says, for another thread.
struct Member {
    container: String,
    labels: BTreeMap<String, String>,
    network: String,
    leashes: u32,
}

impl Person {
    fn name(&self) -> &str {
        self.member.as_ref().map_or("host", |member| &member.container)
    }

    fn who(&self) -> Who<'_> {
        match &self.member {
            None => Who::Host,
            Some(member) => Who::Member {
                container: &member.container,
                labels: &member.labels,
                network: &member.network,
                leashes: member.leashes,
            },
        }
    }
}

impl People {
    fn of(state: &State) -> Self {
        let bridges = state.networks.values().filter_map(|network| network.bridge.as_ref());
        let hosts = bridges.map(|bridge| {
            let host = Person {
                member: None,
                network: bridge.number,
                icc: true,
            };
            (bridge.host_port, host)
        });
        let members = state.endpoints.values().filter_map(|endpoint| {
            let container = state.containers.get(&endpoint.container)?;
            let network = state.networks.get(&endpoint.network)?;
            let bridge = network.bridge.as_ref()?;
            let member = Member {
                container: container.name.clone(),
                labels: container.labels.clone(),
                network: network.name.clone(),
                leashes: endpoint.leashes.flags(),
            };
            let person = Person {
                member: Some(member),
                network: bridge.number,
                icc: bridge.icc,
            };
            Some((endpoint.number, person))
        });
        Self(hosts.chain(members).collect())
    }

    /// Why a policy denies a flow; `None`: it does not.
    fn denial(&self, policy: &Lookup<'_>, flow: &Flow) -> Option<Answer> {
        let [original, reply] = &flow.tuples;
        let end = |end: &FlowEnd, address| match self.0.get(&end.endpoint) {
            Some(person) => End::Here(person.who()),
            None => End::World(IpAddr::from(address)),
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
        let [Some(from), Some(to)] = flow.ends.map(|end| self.0.get(&end.endpoint)) else {
            return false;
        };
        flow.publication == 0 && (from.network != to.network || !from.icc && !to.icc)
    }

    fn row(&self, flow: &Flow, because: String) -> CutFlow {
        let [original, reply] = &flow.tuples;
        let end = |end: &FlowEnd, address, port: u16| {
            let name = self.0.get(&end.endpoint).map_or("world", Person::name);
            let place = SocketAddr::new(IpAddr::from(address), u16::from_be(port));
            format!("{name} ({place})")
        };
        CutFlow {
            protocol: protocol(original.protocol),
            from: end(&flow.ends[0], original.from, original.from_port),
            to: end(&flow.ends[1], reply.from, reply.from_port),
            because,
        }
    }
}
