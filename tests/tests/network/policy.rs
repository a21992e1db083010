//! The policy as it is kept: commands, files, errors, and what the maps hold of it.

use std::collections::BTreeMap;
use std::fs;

use netswitch_common::policy::{flags, half, identity};
use tests::world::{Object, Output, World, objects};

/// Two networks and a container on each.
fn world() -> World {
    let world = World::new();
    for name in ["blue", "red"] {
        world.ok(&["network", "create", name]);
    }
    world.run("web", &["--net", "blue", "--label", "tier=front"]);
    world.run("db", &["--net", "red"]);
    world
}

/// Entries of a map that are not all zero.
fn entries(world: &World, map: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let found = objects(&world.bpffs)
        .into_iter()
        .find(|(path, _)| path.ends_with(&format!("/{map}")));
    let Some((_, Object::Map { mut entries, .. })) = found else {
        panic!("no map {map}");
    };
    entries.retain(|_, value| value.iter().any(|byte| *byte != 0));
    entries
}

/// A word of a map's entry, in host order.
fn word(bytes: &[u8], place: usize) -> u32 {
    u32::from_ne_bytes(bytes[4 * place..][..4].try_into().unwrap())
}

/// Which policy is in force.
fn epoch(world: &World) -> u32 {
    let config = entries(world, "CONFIG");
    word(config.values().next().expect("the entry"), 6)
}

/// Identities and flags of those whom the policy in force speaks of.
fn standings(world: &World) -> Vec<(u32, u32)> {
    let half = half(epoch(world));
    let values = entries(world, "STANDINGS").into_values();
    let mut standings: Vec<_> = values
        .map(|value| (word(&value, half), word(&value, 2 + half)))
        .collect();
    standings.retain(|(_, flags)| *flags != 0);
    standings.sort_unstable();
    standings
}

/// Everything in the maps is of the policy in force; how many pairs, rulings and prefixes that is.
#[track_caller]
fn counts(world: &World) -> [usize; 3] {
    let epoch = epoch(world);
    let [pairs, rulings, cidrs] = ["PAIRS", "RULINGS", "CIDRS"].map(|map| entries(world, map));
    assert!(pairs.keys().all(|key| word(key, 0) == epoch), "{epoch}: {pairs:?}");
    assert!(cidrs.keys().all(|key| word(key, 1) == epoch), "{epoch}: {cidrs:?}");
    let sets: Vec<u32> = pairs.values().map(|value| word(value, 0)).collect();
    assert!(rulings.keys().all(|key| sets.contains(&word(key, 1))), "{rulings:?}");
    [pairs.len(), rulings.len(), cidrs.len()]
}

const FILE: &str = r#"[[default]]
of = "network:red"
direction = "in"
action = "deny"

[[rule]]
action = "allow"
from = "web"
to = "db"
protocol = "tcp"
ports = "80-90,5432"

[[rule]]
action = "deny"
from = "label:tier=front"
to = "10.0.0.0/8"
"#;

#[test]
fn a_policy_is_kept_listed_and_written() {
    let world = world();
    assert_eq!((epoch(&world), counts(&world)), (0, [0; 3]));
    assert_eq!(world.ok(&["policy", "allow", "web", "db:5432,80-90"]), "1");
    assert_eq!(world.ok(&["policy", "deny", "label:tier=front", "10.0.0.0/8"]), "2");
    world.ok(&["policy", "default", "deny", "network:red", "--direction", "in"]);
    let listed = "RULE      ACTION    FROM               TO            PROTOCOL   PORTS\n\
                  1         allow     web                db            tcp        80-90,5432\n\
                  2         deny      label:tier=front   10.0.0.0/8    any        any\n\
                  default   deny      any                network:red   any        any";
    assert_eq!(world.ok(&["policy", "ls"]), listed);
    assert_eq!(world.ok(&["policy", "ls", "-q"]), "1\n2");
    assert_eq!(
        world.ok(&["policy", "ls", "--format", "{{.ID}} {{.Ports}}"]),
        "1 80-90,5432\n2 any\ndefault any"
    );
    assert_eq!(world.cli(&["policy", "dump"]).stdout, FILE);
    let before = epoch(&world);
    world.restart_agent();
    assert_eq!(world.ok(&["policy", "ls"]), listed);
    assert_ne!(epoch(&world), before);
    // two pairs: web and db, web and 10.0.0.0/8
    let [pairs, _, cidrs] = counts(&world);
    assert_eq!((pairs, cidrs), (2, 1));
    assert_eq!(world.ok(&["policy", "rm", "2"]), "2");
    assert_eq!(counts(&world)[0], 1);
    assert_eq!(world.ok(&["policy", "allow", "any", "host"]), "3");
    world.ok(&["policy", "rm", "1", "3"]);
    world.ok(&["policy", "default", "allow", "network:red"]);
    assert_eq!(
        (epoch(&world), counts(&world), standings(&world)),
        (0, [0; 3], Vec::new())
    );
}

#[test]
fn a_file_applies_whole_or_not_at_all() {
    let world = world();
    let path = world.directory.join("policy.toml");
    let file = path.to_str().unwrap();
    fs::write(&path, FILE).unwrap();
    let planned = world.ok(&["policy", "plan", file]);
    assert_eq!(
        planned,
        "+ allow web db:80-90,5432/tcp\n+ deny label:tier=front 10.0.0.0/8\n+ default deny network:red --direction in"
    );
    assert_eq!(epoch(&world), 0);
    assert_eq!(world.ok(&["policy", "apply", file]), "3 added, 0 removed");
    assert_eq!(world.cli(&["policy", "dump"]).stdout, FILE);
    assert_eq!(world.ok(&["policy", "plan", file]), "nothing changes");
    for (from, to, complaint) in [
        (
            "to = \"db\"",
            "to = \"nobody\"",
            "9: rule.to: No such container: nobody",
        ),
        ("network:red", "network:green", "2: default.of: network green not found"),
        ("ports", "port", "11: unknown field `port`"),
        ("80-90", "90-80", "11: rule.ports: \"90-80\" is no port"),
    ] {
        let before = world.snapshot();
        fs::write(&path, FILE.replacen(from, to, 1)).unwrap();
        for verb in ["apply", "plan"] {
            let output = world.cli(&["policy", verb, file]);
            let said = output
                .stderr
                .strip_prefix(&format!("Error response from daemon: {file}:"));
            let said = said.unwrap_or_else(|| panic!("{output:?}"));
            assert!(
                said.starts_with(complaint) && said.contains("\nhint: "),
                "{complaint}: {said}"
            );
            assert_eq!((output.status, output.stdout.as_str()), (1, ""));
        }
        assert_eq!(world.snapshot().difference(&before), None, "{complaint}");
    }
    let contrary = FILE.to_owned() + "\n[[rule]]\naction = \"deny\"\nfrom = \"web\"\nto = \"db\"\nports = 85\n";
    let output = Output::with_input(&mut world.command(&["policy", "apply", "-"]), &contrary);
    assert_eq!(
        output.stderr,
        "Error response from daemon: -:18: rule: line 6 says the contrary of the same ports\n\
         hint: where both hold, deny wins: take one out\n"
    );
    let less = FILE.split_once("[[rule]]").unwrap().0;
    let output = Output::with_input(&mut world.command(&["policy", "apply", "-"]), less);
    assert_eq!(output.ok(), "0 added, 2 removed");
    assert_eq!(world.ok(&["policy", "ls", "-q"]), "");
}

#[test]
fn who_is_not_there_is_not_named() {
    let world = world();
    let daemon = |text: &str| format!("Error response from daemon: {text}");
    for (arguments, text) in [
        (&["policy", "allow", "nobody", "db"][..], "No such container: nobody"),
        (&["policy", "deny", "web", "network:green"], "network green not found"),
        (&["policy", "default", "deny", "nobody"], "No such container: nobody"),
        (&["policy", "rm", "7"], "No such rule: 7"),
        (
            &["policy", "allow", "web", "db:80/icmp"],
            "protocol icmp has no ports\nhint: leave them out, or tcp, udp or sctp",
        ),
    ] {
        world.refuses(arguments, 1, &daemon(text));
    }
    // a rule outlives whom it names, and holds for the next of that name
    assert_eq!(world.ok(&["policy", "allow", "web", "db"]), "1");
    world.ok(&["rm", "-f", "web"]);
    assert_eq!(world.ok(&["policy", "ls", "-q"]), "1");
    let dump = world.cli(&["policy", "dump"]).stdout;
    let output = Output::with_input(&mut world.command(&["policy", "apply", "-"]), &dump);
    assert_eq!(output.ok(), "0 added, 0 removed");
}

#[test]
fn those_who_come_and_go_have_their_standing() {
    let world = world();
    world.run("late", &["--net", "red"]);
    world.ok(&["policy", "allow", "label:tier=front", "db:80"]);
    world.ok(&["policy", "allow", "late", "db:81"]);
    world.ok(&["policy", "default", "deny", "late"]);
    world.ok(&["rm", "-f", "late"]);
    let denied = flags::CONCERNED | flags::DENY_IN | flags::DENY_OUT;
    let epoch = epoch(&world);
    // web and db
    let standing = [identity::FIRST, identity::FIRST + 1].map(|identity| (identity, flags::CONCERNED));
    let known = |world: &World| {
        let mut flags: Vec<u32> = standings(world).into_iter().map(|(_, flags)| flags).collect();
        flags.sort_unstable();
        flags
    };
    assert_eq!(known(&world), standing.map(|(_, flags)| flags));
    let pairs = counts(&world)[0];
    world.run("late", &["--net", "blue"]);
    assert_eq!(known(&world), [flags::CONCERNED, flags::CONCERNED, denied]);
    assert_eq!(counts(&world)[0], pairs);
    // of the class of web: no pair more
    world.run("second", &["--net", "blue", "--label", "tier=front"]);
    world.ok(&["network", "connect", "red", "second"]);
    assert_eq!(known(&world).len(), 5);
    assert_eq!(counts(&world)[0], pairs);
    // another class: the pair of both rules' own
    world.run("both", &["--net", "blue", "--label", "tier=front", "--label", "x"]);
    world.ok(&["rm", "-f", "late", "second", "both"]);
    assert_eq!(known(&world).len(), 2);
    assert_eq!(self::epoch(&world), epoch);
    world.kill_agent();
    assert_eq!(known(&world).len(), 2);
    world.start_agent(&[]);
    assert_eq!(known(&world).len(), 2);
    counts(&world);
    let kept = standings(&world);
    assert!(
        kept.iter().all(|(identity, _)| *identity >= identity::FIRST),
        "{kept:?}"
    );
}
