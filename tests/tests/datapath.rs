//! The datapath rows, through the model.

use tests::{
    fixture, packet,
    rows::{self, Row},
    switch::Switch,
};

fn through_the_model(rows: Vec<Row>) {
    let switch = Switch::new(&fixture::entries::all(), fixture::host_addresses());
    let mut failures = Vec::new();
    for row in rows {
        let (decision, effect) = switch.decide(row.index, &row.frame);
        if rows::meaning(decision) != row.decision || effect != row.effect {
            failures.push(format!(
                "{}: {}\n  {:?} {:?}\n  {:?} {:?}",
                row.name,
                packet::describe(&row.frame),
                rows::meaning(decision),
                effect,
                row.decision,
                row.effect
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} rows\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn all_model() {
    through_the_model(rows::all());
}
