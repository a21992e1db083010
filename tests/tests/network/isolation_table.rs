//! The table of `docs/isolation.md`, cell by cell.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use tests::isolation::{
    From, Protocol,
    scene::{Question, Scene},
    table::{self, NOTHING, OPEN},
};
use tests::world::{Listener, World};

#[test]
fn s36_s39_every_cell_of_the_isolation_table_holds() {
    let world = World::with_lan();
    let scene = Scene::new(&world, &From::ALL);
    let listener = Listener::start(&world, &["--drops"]);
    let mut cells = Vec::new();
    for row in table::read(&fs::read_to_string(table::path()).unwrap()) {
        for (protocol, cell) in Protocol::ALL.into_iter().zip(row.switch) {
            match scene.question(row.from, row.to, protocol, row.is_v6) {
                Some(question) => cells.push((question, cell)),
                None => assert_eq!(cell, NOTHING, "{:?} {:?} {protocol:?}", row.from, row.to),
            }
        }
    }
    let wrong: Vec<_> = thread::scope(|scope| {
        let ask = |(question, cell): &(Question, String)| match cell.as_str() {
            OPEN => scene.answers(question),
            _ => !scene.answers_shortly(question),
        };
        let asked: Vec<_> = cells.iter().map(|cell| scope.spawn(move || ask(cell))).collect();
        let held = asked.into_iter().map(|thread| thread.join().unwrap());
        cells
            .iter()
            .zip(held)
            .filter(|(_, held)| !held)
            .map(|(cell, _)| cell)
            .collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    // what is closed was dropped, here and for this reason
    let mut missing: BTreeSet<_> = cells.iter().filter(|(_, cell)| cell != OPEN).map(drop_of).collect();
    while let Some(first) = missing.first().cloned() {
        let line = listener.expect(&format!("{first:?} among {missing:#?}"), |line| line.contains(" drop "));
        missing.remove(&told(&line));
    }
}

/// Network, sender, protocol, destination and reason.
type Drop = [String; 5];

fn drop_of((question, reason): &(Question, String)) -> Drop {
    let destination = match question.port {
        0 => question.to.to_string(),
        port => std::net::SocketAddr::new(question.to, port).to_string(),
    };
    let protocol = match (question.protocol, question.to.is_ipv6()) {
        (Protocol::Icmp, true) => "icmpv6",
        (protocol, _) => protocol.name(),
    };
    [
        question.from.network_name().to_owned(),
        question.from.sender(),
        protocol.to_owned(),
        destination,
        reason.clone(),
    ]
}

/// TIME drop NETWORK FROM TO PROTOCOL SOURCE -> DESTINATION LENGTH REASON …
fn told(line: &str) -> Drop {
    let words: Vec<&str> = line.split_whitespace().collect();
    [2, 3, 5, 8, 10].map(|word| words.get(word).copied().unwrap_or_default().to_owned())
}
