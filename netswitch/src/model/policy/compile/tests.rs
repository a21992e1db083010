use std::collections::BTreeMap;
use std::net::IpAddr;

use super::lookup::{Answer, End, Lookup};
use super::*;
use crate::model::policy::{Action, Direction, Policy, Ports, Protocol};
use netswitch_common::policy::action;

/// A container on a network: its name, its labels, the network's name.
type Endpoint = (String, BTreeMap<String, String>, String);

fn who(endpoint: &Endpoint) -> Who<'_> {
    Who::Member {
        container: &endpoint.0,
        labels: &endpoint.1,
        network: &endpoint.2,
        leashes: 0,
    }
}

/// What the selector says, one by one.
fn matches(selector: &Selector, end: &End<'_>) -> bool {
    match (selector, end) {
        (Selector::Any, _) | (Selector::Host, End::Here(Who::Host)) | (Selector::World, End::World(_)) => true,
        (Selector::Cidr(network), End::World(address)) => network.contains(*address),
        (Selector::Container(name), End::Here(Who::Member { container, .. })) => name == container,
        (Selector::Network(name), End::Here(Who::Member { network, .. })) => name == network,
        (Selector::Label { key, value }, End::Here(Who::Member { labels, .. })) => labels
            .get(key)
            .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
        _ => false,
    }
}

/// What the policy says, rule by rule.
fn naive(policy: &Policy, from: &End<'_>, to: &End<'_>, protocol: u8, port: u16) -> Answer {
    let speaks = |rule: &Rule| {
        let is_protocol = match rule.protocol {
            Protocol::Any => rule.ports.is_empty() || [6, 17, 132, 136].contains(&protocol),
            Protocol::Icmp => [1, 58].contains(&protocol),
            Protocol::Number(number) => number == protocol,
        };
        let is_port = rule.ports.is_empty()
            || rule
                .ports
                .iter()
                .any(|ports| (ports.first..=ports.last).contains(&port));
        is_protocol && is_port && matches(&rule.from, from) && matches(&rule.to, to)
    };
    let first = |wanted: Action| {
        let mut rules = policy.rules.iter();
        rules.find_map(|(number, rule)| (rule.action == wanted && speaks(rule)).then_some(*number))
    };
    if let Some(rule) = first(Action::Deny) {
        return Answer::Ruled(Ruling {
            action: action::DENY,
            rule,
        });
    }
    if let Some(rule) = first(Action::Allow) {
        return Answer::Ruled(Ruling {
            action: action::ALLOW,
            rule,
        });
    }
    let denies = |end: &End<'_>| match end {
        End::Here(Who::Member { container, network, .. }) => policy.denies(container, network),
        _ => (false, false),
    };
    if denies(from).1 || denies(to).0 {
        Answer::DeniedByDefault
    } else {
        Answer::Nothing
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u16) -> u16 {
        u16::try_from(self.next() % u64::from(limit)).unwrap()
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.below(u16::try_from(choices.len()).unwrap()))].clone()
    }

    fn ports(&mut self) -> Ports {
        let most = self.of(&[20, 1000, 65535]);
        let (one, other) = (1 + self.below(most), 1 + self.below(most));
        Ports {
            first: one.min(other),
            last: one.max(other),
        }
    }

    fn selector(&mut self) -> Selector {
        let texts = [
            "any",
            "host",
            "world",
            "c0",
            "c1",
            "c2",
            "c3",
            "gone",
            "network:n0",
            "network:n1",
            "label:a",
            "label:a=0",
            "label:b=1",
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "192.0.2.0/24",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1",
        ];
        self.of(&texts).parse().unwrap()
    }

    fn policy(&mut self) -> Policy {
        let mut policy = Policy::default();
        for number in 1..=u32::from(1 + self.below(12)) {
            let protocol = [
                Protocol::Any,
                Protocol::Any,
                Protocol::TCP,
                Protocol::Number(17),
                Protocol::Icmp,
                Protocol::Number(47),
            ];
            let protocol = self.of(&protocol);
            let count = if protocol.has_ports() { self.below(3) } else { 0 };
            let rule = Rule {
                action: self.of(&[Action::Allow, Action::Deny]),
                from: self.selector(),
                to: self.selector(),
                protocol,
                ports: Ports::normal((0..count).map(|_| self.ports()).collect()),
            };
            policy.rules.insert(number, rule);
        }
        for of in ["c0", "c1", "network:n0", "network:n1"] {
            if self.below(3) == 0 {
                let direction = self.of(&[Direction::In, Direction::Out, Direction::Both]);
                let action = self.of(&[Action::Allow, Action::Deny]);
                policy.set_default(&of.parse().unwrap(), direction, action);
            }
        }
        policy
    }

    fn endpoint(&mut self, number: usize) -> Endpoint {
        let mut labels = BTreeMap::new();
        for key in ["a", "b"] {
            if self.below(2) == 0 {
                labels.insert(key.to_owned(), self.below(2).to_string());
            }
        }
        (format!("c{number}"), labels, format!("n{}", self.below(3)))
    }
}

const ADDRESSES: [&str; 9] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.9.9.9",
    "192.0.2.200",
    "198.51.100.1",
    "0.0.0.0",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db9::1",
];

#[test]
fn the_maps_say_what_the_rules_say() {
    let mut asked = 0;
    for seed in 0..120 {
        let mut random = Random(seed);
        let policy = random.policy();
        let endpoints: Vec<Endpoint> = (0..6).map(|number| random.endpoint(number)).collect();
        let addresses: Vec<IpAddr> = ADDRESSES.iter().map(|text| text.parse().unwrap()).collect();
        let epoch = 1 + u32::from(random.below(2));
        let mut compiled = Compiled::new(Arc::new(policy.clone()), epoch).unwrap();
        for endpoint in &endpoints[..3] {
            compiled.admit(&who(endpoint)).unwrap();
        }
        // endpoints that fail to start leave nothing behind
        let (mark, before) = (compiled.mark(), format!("{compiled:?}").len());
        for endpoint in &endpoints[3..] {
            compiled.admit(&who(endpoint)).unwrap();
        }
        compiled.rewind(mark);
        assert_eq!(format!("{compiled:?}").len(), before, "seed {seed}");
        for endpoint in &endpoints[3..] {
            compiled.admit(&who(endpoint)).unwrap();
        }
        let lookup = Lookup::new(&compiled);
        assert_eq!(
            lookup.len(),
            (compiled.pairs.len(), compiled.rulings.len()),
            "seed {seed}: a key twice"
        );
        let members = endpoints.iter().map(|endpoint| End::Here(who(endpoint)));
        let outside = addresses.iter().map(|address| End::World(*address));
        let ends: Vec<End<'_>> = members.chain([End::Here(Who::Host)]).chain(outside).collect();
        for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to))) {
            let inside = |end: &End<'_>| matches!(end, End::Here(Who::Member { .. }));
            if !inside(from) && !inside(to) {
                continue;
            }
            for _ in 0..8 {
                let protocol = random.of(&[1, 6, 17, 47, 58, 132, 136, 2]);
                let most = random.of(&[25, 1000, 65535]);
                let port = match protocol {
                    6 | 17 | 132 | 136 => random.below(most),
                    _ => 0,
                };
                asked += 1;
                assert_eq!(
                    lookup.answer(*from, *to, protocol, port),
                    naive(&policy, from, to, protocol, port),
                    "seed {seed}: {from:?} to {to:?}, protocol {protocol}, port {port}\n{policy:#?}"
                );
            }
        }
    }
    assert!(asked > 100_000);
}

fn policy(rules: impl IntoIterator<Item = Rule>) -> Arc<Policy> {
    let rules = (1..).zip(rules).collect();
    Arc::new(Policy {
        rules,
        ..Policy::default()
    })
}

fn rule(action: Action, from: &str, to: &str) -> Rule {
    Rule::parse(action, from, to).unwrap()
}

fn endpoint(name: &str) -> Endpoint {
    (name.to_owned(), BTreeMap::new(), "bridge".to_owned())
}

#[test]
fn entries_are_as_many_as_the_rules_say_something_else() {
    let mut compiled = Compiled::new(
        policy([
            rule(Action::Allow, "web", "db"),
            // says no more than rule 1
            rule(Action::Allow, "web", "db:80"),
            rule(Action::Deny, "web", "db:1024-2047"),
            rule(Action::Deny, "web", "db:2048-4095"),
        ]),
        1,
    )
    .unwrap();
    for name in ["web", "db"] {
        compiled.admit(&who(&endpoint(name))).unwrap();
    }
    assert_eq!(compiled.pairs.len(), 1);
    let lengths: Vec<u32> = compiled.rulings.iter().map(|(_, length, _)| *length).collect();
    assert_eq!(lengths, [32, 48 + 6, 48 + 5]);
}

#[test]
fn a_class_more_costs_its_own_pairs() {
    let names: Vec<String> = (0..500).map(|number| format!("c{number}")).collect();
    let rules = names.iter().map(|name| rule(Action::Allow, name, "label:db:5432"));
    let mut compiled = Compiled::new(policy(rules), 2).unwrap();
    for name in &names {
        compiled.admit(&who(&endpoint(name))).unwrap();
    }
    assert!(compiled.pairs.is_empty());
    let db = (
        "db".to_owned(),
        BTreeMap::from([("db".to_owned(), String::new())]),
        "n".to_owned(),
    );
    compiled.admit(&who(&db)).unwrap();
    assert_eq!(compiled.pairs.len(), 500);
    let mark = compiled.mark();
    compiled
        .admit(&who(&("other".to_owned(), db.1.clone(), "m".to_owned())))
        .unwrap();
    compiled.admit(&who(&endpoint("stranger"))).unwrap();
    assert_eq!(compiled.mark().pairs, mark.pairs);
    assert_eq!(compiled.standing(&who(&endpoint("stranger"))), (identity::NONE, 0));
    assert_eq!(compiled.standing(&Who::Host), (identity::HOST, 0));
}

#[test]
fn a_policy_that_the_maps_do_not_hold_is_refused() {
    let each = (0..1500).map(|number| rule(Action::Allow, &format!("c{number}"), "world"));
    let mut compiled = Compiled::new(policy(each.chain([rule(Action::Deny, "any", "any:25")])), 1).unwrap();
    let refused = (0..1500).find_map(|number| compiled.admit(&who(&endpoint(&format!("c{number}")))).err());
    assert!(refused.unwrap().message.starts_with("the policy is too large: "));
}

#[test]
fn epochs_alternate() {
    assert_eq!([0, 1, u32::MAX - 1, u32::MAX].map(next_epoch), [1, 2, u32::MAX, 2]);
}
