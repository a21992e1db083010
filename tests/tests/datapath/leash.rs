//! What a leash learns from answers about names, and forgets.

use std::collections::HashSet;
use std::time::Duration;

use netswitch::datapath::Hook;
use netswitch_common::verdict::{DropReason, Verdict};
use tests::fixture::{A, SMALL};
use tests::loaded::{Loaded, in_the_world};
use tests::rows::leash::{LEASH, config, entries, to};
use tests::switch::Counter;

/// Classes of A's leash: its port 80.
const LEARNT: [u64; 2] = [1, 1];

/// The same world where A has a leash.
fn with_leash(test: impl FnOnce(&mut Loaded) + Send + 'static) {
    in_the_world(|loaded| {
        let tables = loaded.datapath.tables();
        for entry in entries() {
            tables.write(&entry).expect("an entry");
        }
        tables.set_config(&config()).expect("a configuration");
        test(loaded);
    });
}

/// Whether the first packet of a connection from this port passes.
fn passes(loaded: &mut Loaded, port: u16) -> bool {
    let count = |loaded: &mut Loaded, counter| loaded.counters().get(&counter).map_or(0, |count| count.packets);
    let refused = Counter::Drop(A.id, DropReason::Egress);
    let counters = [Counter::Path(Verdict::Admit), refused];
    let before = counters.map(|counter| count(loaded, counter));
    let frame = to(&A, &SMALL).syn(port, 80);
    loaded
        .datapath
        .run(Hook::Endpoint, A.index(), &frame, 1)
        .expect("it runs");
    let after = counters.map(|counter| count(loaded, counter));
    assert_eq!(before.iter().sum::<u64>() + 1, after.iter().sum::<u64>());
    after[0] > before[0]
}

#[test]
fn an_address_passes_as_long_as_a_name_leads_there() {
    with_leash(|loaded| {
        let leashes = loaded.datapath.tables().leashes();
        let learn = |lasts| {
            let address = SMALL.v4().into();
            leashes.learn(LEASH, address, [0; 2], LEARNT, lasts).expect("it learns");
        };
        assert!(!passes(loaded, 5000));
        learn(Duration::ZERO);
        // the program reads the time of the last tick
        assert!((6000..60_000).any(|port| !passes(loaded, port)));
        learn(Duration::from_hours(1));
        assert!(passes(loaded, 5002));
        // what lasts longer stays
        learn(Duration::ZERO);
        assert!(passes(loaded, 5003));
        let of = |leash| HashSet::from([leash]);
        leashes.forget(&of(LEASH)).expect("it sweeps");
        assert!(passes(loaded, 5004));
        leashes.forget(&of(LEASH + 1)).expect("it sweeps");
        assert!(!passes(loaded, 5005));
    });
}

#[test]
fn a_leash_learns_no_more_than_there_is_room_for() {
    with_leash(|loaded| {
        let leashes = loaded.datapath.tables().leashes();
        let learn =
            |number: u32, lasts| leashes.learn(LEASH, std::net::Ipv4Addr::from(number).into(), [0; 2], LEARNT, lasts);
        let hour = Duration::from_hours(1);
        let room = (1..10_000).take_while(|number| learn(*number, hour).is_ok()).count();
        // a part of what is left for all: less than a leash alone may learn at most
        assert!((4_000..=4_096).contains(&room), "{room}");
        learn(1, hour).expect("what it has learnt it may learn again");
        leashes.forget(&HashSet::new()).expect("it sweeps");
        learn(20_000, hour).expect("there is room again");
    });
}
