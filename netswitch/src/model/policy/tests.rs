use super::change::{add, remove, replace, set_default};
use super::*;
use crate::api::PolicyRule;
use crate::model::{changes::Changes, testing::World};

fn rule(text: &str) -> Result<Rule, String> {
    let words: Vec<&str> = text.split(' ').collect();
    Rule::parse(words[0].parse()?, words[1], words[2])
}

#[test]
fn a_rule_is_read_and_said_in_one_way() {
    for (text, said) in [
        ("allow web db", "allow web db"),
        ("allow web db:5432", "allow web db:5432/tcp"),
        ("deny web db:5432/udp", "deny web db:5432/udp"),
        ("allow any db:443,80-90,91,85-88", "allow any db:80-91,443/tcp"),
        ("allow any db:80/any", "allow any db:80/any"),
        ("allow any db/any", "allow any db"),
        ("allow label:tier label:app=x:80", "allow label:tier label:app=x:80/tcp"),
        (
            "allow network:blue network:red/icmp",
            "allow network:blue network:red/icmp",
        ),
        ("allow web 10.0.0.0/8:443/tcp", "allow web 10.0.0.0/8:443/tcp"),
        ("allow web 10.0.0.0/8/47", "allow web 10.0.0.0/8/47"),
        ("allow web 10.1.2.3", "allow web 10.1.2.3/32"),
        ("allow web 10.1.2.3:53/17", "allow web 10.1.2.3/32:53/udp"),
        ("allow web 2001:db8::/32", "allow web [2001:db8::/32]"),
        ("allow web 2001:db8::/32/tcp", "allow web [2001:db8::/32]/tcp"),
        ("allow web [2001:db8::/32]:443", "allow web [2001:db8::/32]:443/tcp"),
        ("allow web [2001:db8::1]:443/udp", "allow web [2001:db8::1/128]:443/udp"),
        ("allow web ::ffff:10.0.0.0/104", "allow web 10.0.0.0/8"),
        ("allow host world", "allow host world"),
        (
            "allow container:host container:10.0.0.1",
            "allow container:host container:10.0.0.1",
        ),
        ("allow container:web any", "allow web any"),
    ] {
        let read = rule(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.to_string(), said, "{text}");
        assert_eq!(rule(said), Ok(read.clone()), "{said}");
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), read, "{json}");
    }
    for (text, complaint) in [
        ("allow web db:0", "\"0\" is no port and no range of ports"),
        ("allow web db:90-80", "\"90-80\" is no port and no range of ports"),
        ("allow web db:80/icmp", "protocol icmp has no ports"),
        ("allow web db:80/gre", "\"gre\" is no protocol"),
        ("allow web db/256", "\"256\" is no protocol"),
        (
            "allow web 10.0.0.1/8",
            "10.0.0.1/8 has bits beyond its prefix\nhint: 10.0.0.0/8",
        ),
        ("allow we+b db", "\"we+b\" names nobody"),
        ("allow web network:", "\"network:\" names nobody"),
        ("allow web label:=x", "\"label:=x\" names nobody"),
        ("permit web db", "\"permit\" is no action\nhint: allow or deny"),
    ] {
        let error = rule(text).unwrap_err();
        assert!(error.starts_with(complaint), "{text}: {error}");
        assert!(error.contains("\nhint: "), "{text}: {error}");
    }
}

#[test]
fn a_containers_default_comes_before_its_networks() {
    let mut policy = Policy::default();
    let subject = |text: &str| text.parse::<Subject>().unwrap();
    policy.set_default(&subject("network:blue"), Direction::Both, Action::Allow);
    assert!(policy.defaults.is_empty());
    policy.set_default(&subject("network:blue"), Direction::Both, Action::Deny);
    policy.set_default(&subject("web"), Direction::Out, Action::Allow);
    assert_eq!(policy.denies("web", "blue"), (true, false));
    assert_eq!(policy.denies("db", "blue"), (true, true));
    assert_eq!(policy.denies("db", "red"), (false, false));
    assert!(!policy.is_silent());
    policy.set_default(&subject("network:blue"), Direction::In, Action::Allow);
    assert_eq!(policy.denies("db", "blue"), (false, true));
    policy.set_default(&subject("network:blue"), Direction::Out, Action::Allow);
    assert!(policy.is_silent());
    assert!("world".parse::<Subject>().is_err());
}

/// Containers `web` and `db` on the networks `blue` and `red`.
fn world() -> World {
    let mut world = World::new();
    for name in ["blue", "red"] {
        world.network(name, &[]);
    }
    world.run("web", &["blue"]);
    world.run("db", &["red"]);
    world
}

fn asked(action: Action, from: &str, to: &str) -> PolicyRule {
    let (from, to) = (from.to_owned(), to.to_owned());
    PolicyRule { action, from, to }
}

fn keep(world: &mut World, change: change::Change) {
    let mut numbers = world.state.numbers;
    numbers.rule = change.last_rule;
    world.apply(Changes {
        policy: Some(change.policy.into()),
        numbers: Some(numbers),
        ..Changes::default()
    });
}

#[test]
fn names_must_be_there_and_ids_become_names() {
    let mut world = world();
    let id = world.state.container("web").unwrap().id.0.clone();
    let change = add(&world.state, &asked(Action::Allow, &id[..6], "network:red:80")).unwrap();
    assert_eq!(
        (change.last_rule, &change.added),
        (1, &vec!["allow web network:red:80/tcp".to_owned()])
    );
    keep(&mut world, change);
    for (from, to, complaint) in [
        ("nobody", "db", "No such container: nobody"),
        ("web", "network:green", "network green not found"),
        (
            "web",
            "network:red:80/tcp",
            "rule 1 says the same\nhint: one of them is enough",
        ),
    ] {
        let error = add(&world.state, &asked(Action::Allow, from, to)).unwrap_err();
        assert_eq!(error.message, complaint);
    }
    let error = add(&world.state, &asked(Action::Deny, "web", "network:red:70-85")).unwrap_err();
    assert!(error.message.starts_with("rule 1 says the contrary"), "{error}");
    // that is an exception and no contradiction
    let change = add(&world.state, &asked(Action::Deny, "web", "network:red/tcp")).unwrap();
    assert_eq!(change.last_rule, 2);
    let error = set_default(&world.state, "nobody", Direction::In, Action::Deny).unwrap_err();
    assert_eq!(error.message, "No such container: nobody");
    assert_eq!(remove(&world.state, &[1, 7]).unwrap_err().message, "No such rule: 7");
    assert_eq!(
        remove(&world.state, &[1]).unwrap().removed,
        ["allow web network:red:80/tcp"]
    );
}

#[test]
fn a_file_replaces_what_differs() {
    let mut world = world();
    let file = "[[rule]]\naction = \"allow\"\nfrom = \"web\"\nto = \"db\"\n\n\
                [[rule]]\naction = \"deny\"\nfrom = \"any\"\nto = \"world\"\nports = 25\n\n\
                [[default]]\nof = \"network:red\"\naction = \"deny\"\n";
    let change = replace(&world.state, "policy.toml", file).unwrap();
    assert_eq!(
        change.added,
        ["allow web db", "deny any world:25/tcp", "default deny network:red"]
    );
    keep(&mut world, change);
    assert_eq!(file::write(&world.state.policy).matches("[[").count(), 3);
    let again = replace(&world.state, "-", &file::write(&world.state.policy)).unwrap();
    assert_eq!(again.policy, *world.state.policy);
    assert!(again.added.is_empty() && again.removed.is_empty());
    let less = file.split_once("\n\n").unwrap().1;
    let change = replace(&world.state, "-", less).unwrap();
    assert_eq!(
        (change.added.len(), change.removed.as_slice()),
        (0, &["allow web db".to_owned()][..])
    );
    assert_eq!(change.policy.rules.keys().collect::<Vec<_>>(), [&2]);
    let error = replace(&world.state, "policy.toml", &file.replace("\"db\"", "\"nobody\"")).unwrap_err();
    assert!(
        error
            .message
            .starts_with("policy.toml:4: rule.to: No such container: nobody\nhint: "),
        "{error}"
    );
}

#[test]
fn rules_outlive_those_they_name() {
    let mut world = world();
    let change = add(&world.state, &asked(Action::Allow, "web", "db")).unwrap();
    keep(&mut world, change);
    let dump = file::write(&world.state.policy);
    world.remove("web");
    assert!(replace(&world.state, "-", &dump).unwrap().removed.is_empty());
    let error = add(&world.state, &asked(Action::Deny, "web", "world")).unwrap_err();
    assert_eq!(error.message, "No such container: web");
}
