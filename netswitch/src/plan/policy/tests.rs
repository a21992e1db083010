use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::action::Place;
use crate::model::{
    policy::{Action as Does, Policy, Rule},
    testing::World,
};

/// The maps.
type Maps = HashMap<Place, Entry>;

fn run(maps: &mut Maps, action: &Action) {
    match action {
        Action::Put { entry, .. } => drop(maps.insert(entry.place(), entry.clone())),
        Action::Remove { entry } => drop(maps.remove(&entry.place())),
        other => panic!("{other:?}"),
    }
}

fn world() -> World {
    let mut world = World::new();
    world.network("blue", &[]);
    world.run("web", &["blue"]);
    world.run("db", &["blue"]);
    world
}

fn compiled(world: &World, epoch: u32, rules: &[(&str, &str)]) -> Compiled {
    let rules = rules
        .iter()
        .map(|(from, to)| Rule::parse(Does::Allow, from, to).unwrap());
    let policy = Policy {
        rules: (1..).zip(rules).collect(),
        ..Policy::default()
    };
    let mut compiled = Compiled::new(Arc::new(policy), epoch).unwrap();
    let none = Changes::default();
    let view = View {
        before: &world.state,
        changes: &none,
    };
    for (_, who) in everybody(&view) {
        compiled.admit(&who).unwrap();
    }
    compiled
}

/// What a policy in force is read from.
fn read(maps: &Maps, epoch: u32) -> Vec<String> {
    let mut read: Vec<String> = maps
        .values()
        .filter_map(|entry| match entry {
            Entry::Standing { endpoint, value } => {
                let half = half(epoch);
                let standing = (value.identities[half], value.flags[half]);
                (standing != (0, 0)).then(|| format!("{endpoint}: {standing:?}"))
            }
            Entry::PolicyEpoch(_) => None,
            entry => (!is_left_over(entry, epoch)).then(|| format!("{entry:?}")),
        })
        .collect();
    read.sort();
    read
}

#[test]
fn until_a_policy_is_whole_the_last_one_holds() {
    let world = world();
    let old = compiled(&world, 4, &[("web", "db:80"), ("any", "host"), ("web", "10.0.0.0/8")]);
    let new = compiled(&world, 5, &[("db", "web:1000-2000"), ("web", "world")]);
    let mut maps = Maps::new();
    for action in install(&world.state, &BTreeMap::new(), 0, &old) {
        run(&mut maps, &action);
    }
    let (at_first, reads) = (maps.clone(), read(&maps, 4));
    let actions = install(&world.state, &standings(&world.state, &old), 4, &new);
    let (last, others) = actions.split_last().unwrap();
    assert!(matches!(
        last,
        Action::Put {
            entry: Entry::PolicyEpoch(5),
            ..
        }
    ));
    for (done, action) in others.iter().enumerate() {
        run(&mut maps, action);
        assert_eq!(read(&maps, 4), reads, "{action:?}");
        // and it can all be taken back
        let mut undone = maps.clone();
        for action in actions[..=done].iter().rev() {
            run(&mut undone, &action.undo().unwrap());
        }
        assert_eq!(undone, at_first, "{action:?}");
    }
    run(&mut maps, last);
    let reads = read(&maps, 5);
    for action in clear(&world.state, &old, false) {
        run(&mut maps, &action);
        assert_eq!(read(&maps, 5), reads, "{action:?}");
    }
    let left = |entry: &Entry| is_left_over(entry, 5) && !matches!(entry, Entry::Standing { .. });
    assert!(!maps.values().any(left), "{maps:?}");
    for action in install(&world.state, &BTreeMap::new(), 5, &compiled(&world, 0, &[])) {
        run(&mut maps, &action);
    }
    for action in clear(&world.state, &new, true) {
        run(&mut maps, &action);
    }
    assert_eq!(maps.into_values().collect::<Vec<_>>(), [Entry::PolicyEpoch(0)]);
}

#[test]
fn who_comes_is_known_before_it_speaks() {
    let mut world = world();
    let mut policy = compiled(&world, 1, &[("late", "db:80"), ("web", "db:80")]);
    let changes = {
        let asked = World::asked("late", &["blue"]);
        let id = world.create(&asked).unwrap();
        crate::model::container::lifecycle::start(&world.state, &mut world.facts(), &id).unwrap()
    };
    let view = View {
        before: &world.state,
        changes: &changes,
    };
    let mark = policy.mark();
    let actions = admit(&view, &mut policy).unwrap();
    let kinds: Vec<&str> = actions
        .iter()
        .map(|action| match action {
            Action::Put { entry, before: None } => match entry {
                Entry::Pair { .. } => "pair",
                Entry::Ruling { .. } => "ruling",
                Entry::Standing { .. } => "standing",
                _ => "other",
            },
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["ruling", "pair", "standing"]);
    policy.rewind(mark);
    assert_eq!(admit(&view, &mut policy).unwrap(), actions);
    world.apply(changes);
    let container = world.state.container("late").unwrap().id.clone();
    let gone = crate::model::container::lifecycle::remove(&world.state, &container.0, true).unwrap();
    let view = View {
        before: &world.state,
        changes: &gone,
    };
    let withdrawn = withdraw(&view, &policy);
    assert_eq!(
        withdrawn.iter().filter_map(Action::undo).collect::<Vec<_>>(),
        actions[2..]
    );
}
