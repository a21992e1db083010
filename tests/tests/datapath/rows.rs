//! Every row three times: through `from_endpoint`, through `explain_endpoint`, through the model.

use netswitch::{datapath::Hook, model::ipsec};
use std::collections::BTreeMap;
use std::time::Duration;

use netswitch_common::{
    endpoint::Kind,
    verdict::{Count, DropReason, Verdict},
};
use tests::{
    fixture::{PORTS, Port, entries, host_addresses, uplink},
    loaded::{Loaded, in_the_world, remove_default_routes, send},
    maps,
    packet::describe,
    rows::{
        self, Row,
        flow::{Arrival, FlowRow},
        meaning,
    },
    switch::{Counter, Effect, MOST_COPIES, Switch},
    world::within,
};

/// For a packet to be counted.
const PATIENCE: Duration = Duration::from_secs(2);

/// TC actions.
const SHOT: i32 = 2;
const REDIRECT: i32 = 7;

/// Three tests for each file of rows.
macro_rules! rows {
    ($($module:ident: $program:ident, $explanation:ident, $model:ident;)*) => { $(
        #[test]
        fn $program() {
            through_the_program(rows::$module::rows());
        }

        #[test]
        fn $explanation() {
            through_the_explanation(rows::$module::rows());
        }

        #[test]
        fn $model() {
            through_the_model(rows::$module::rows());
        }
    )* };
}

rows! {
    source_guard: source_guard_by_program, source_guard_by_explanation, source_guard_by_model;
    neighbour_guard: neighbour_guard_by_program, neighbour_guard_by_explanation, neighbour_guard_by_model;
    link_guard: link_guard_by_program, link_guard_by_explanation, link_guard_by_model;
    error_guard: error_guard_by_program, error_guard_by_explanation, error_guard_by_model;
    neighbour: neighbour_by_program, neighbour_by_explanation, neighbour_by_model;
    forward: s08_forward_keeps_ttl_by_program, forward_by_explanation, forward_by_model;
    replicate: replicate_by_program, replicate_by_explanation, replicate_by_model;
    gateway: s36_s39_gateway_by_program, gateway_by_explanation, gateway_by_model;
    host: host_by_program, host_by_explanation, host_by_model;
    mtu: mtu_by_program, mtu_by_explanation, mtu_by_model;
    malformed: malformed_by_program, malformed_by_explanation, malformed_by_model;
}

#[test]
fn every_row_holds_on_a_host_without_a_default_route() {
    in_the_world(|loaded| {
        remove_default_routes();
        let mut rows = rows::all();
        for row in &mut rows {
            // the host's own subnets have their routes still
            let is_told = row.decision.verdict == Verdict::AnswerUnreachable as u32;
            if is_told && row.decision.reason == DropReason::NoUplink as u32 && row.name != "the uplink's neighbour" {
                row.decision.reason = DropReason::NoRoute as u32;
            }
        }
        report(rows, |row| explain(loaded, row));
    });
}

#[test]
fn malformed_on_the_wire_by_model() {
    through_the_model(rows::malformed::on_the_wire());
}

/// The hook sees a real skb differently from a test run's: a VLAN tag, for one, lies beside the frame.
#[test]
fn every_drop_happens_on_a_wire_too() {
    in_the_world(|loaded| {
        loaded.attach();
        let mut rows = rows::all();
        rows.extend(rows::malformed::on_the_wire());
        rows.retain(|row| row.effect == Effect::Dropped && sender(row).is_some());
        report(rows, |row| {
            let before = loaded.counters();
            send(sender(row).expect("a container"), &row.frame);
            within(PATIENCE, || {
                let moved = packets(moved(&before, &loaded.counters()));
                equal("counters", &moved, &row.counters())
            })
        });
    });
}

/// The container that sends a row's frame.
fn sender(row: &Row) -> Option<&'static Port> {
    let mut containers = PORTS.iter().filter(|port| port.kind == Kind::Container);
    containers.find(|port| port.index() == row.index).copied()
}

fn packets(counters: BTreeMap<Counter, (u64, u64)>) -> BTreeMap<Counter, u64> {
    let counters = counters.into_iter();
    counters.map(|(counter, (packets, _))| (counter, packets)).collect()
}

fn through_the_program(rows: Vec<Row>) {
    in_the_world(|loaded| report(rows, |row| run(loaded, row)));
}

/// Explaining changes nothing: not a map but its own scratch, not a device's statistics.
fn through_the_explanation(rows: Vec<Row>) {
    in_the_world(|loaded| {
        let dump = |loaded: &Loaded| {
            let mut dump = maps::dump_all(&loaded.maps());
            dump.remove("DECISION");
            dump
        };
        let before = (dump(loaded), loaded.sent());
        report(rows, |row| explain(loaded, row));
        let after = (dump(loaded), loaded.sent());
        for (name, map) in &before.0 {
            assert!(after.0[name] == *map, "explaining has changed {name}");
        }
        assert_eq!(before.1, after.1, "explaining has sent frames");
    });
}

fn through_the_model(rows: Vec<Row>) {
    let switch = Switch::new(&entries::all(), host_addresses());
    report(rows, |row| {
        let (decision, effect) = switch.decide(row.index, &row.frame);
        equal("decision", &meaning(decision), &row.decision)?;
        equal("effect", &effect, &row.effect)
    });
}

/// The rows of flows, with their counters.
#[test]
fn flows_by_program() {
    in_the_world(|loaded| {
        loaded.datapath.tables().write(&uplink::uplink()).expect("an uplink");
        let failures: Vec<String> = rows::flow::rows()
            .into_iter()
            .filter_map(|row| {
                let fault = run_flow(loaded, &row).err()?;
                Some(format!("{}: {fault}\n  {}", row.name, describe(&row.last.frame)))
            })
            .collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}

fn run_flow(loaded: &mut Loaded, row: &FlowRow) -> Result<(), String> {
    let text = |error: netswitch::datapath::Error| error.to_string();
    let tables = loaded.datapath.tables();
    tables.set_config(&row.config).map_err(text)?;
    if !row.policies.is_empty() {
        tables.set_ipsec(&ipsec::compile(&row.policies)).map_err(text)?;
    }
    for entry in &row.entries {
        tables.write(entry).map_err(text)?;
    }
    for Arrival { hook, index, frame } in &row.before {
        loaded.datapath.run(*hook, *index, frame, 1).map_err(text)?;
    }
    let before = loaded.counters();
    let Arrival { hook, index, frame } = &row.last;
    loaded.datapath.run(*hook, *index, frame, 1).map_err(text)?;
    let moved = packets(moved(&before, &loaded.counters()));
    equal("counters", &moved, &row.counters())
}

fn report(rows: Vec<Row>, mut check: impl FnMut(&Row) -> Result<(), String>) {
    let all = rows.len();
    let failures: Vec<_> = rows
        .into_iter()
        .filter_map(|row| {
            let fault = check(&row).err()?;
            Some(format!("{}: {fault}\n  {}", row.name, describe(&row.frame)))
        })
        .collect();
    let failed = failures.len();
    assert!(failed == 0, "{failed} of {all} rows failed\n{}", failures.join("\n"));
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}\n   found {found:?}\n  wanted {wanted:?}"))
    }
}

fn explain(loaded: &mut Loaded, row: &Row) -> Result<(), String> {
    let explained = loaded.datapath.explain(Hook::Endpoint, row.index, &row.frame);
    let decision = explained.map(|explanation| explanation.decision);
    equal(
        "decision",
        &meaning(decision.map_err(|error| error.to_string())?),
        &row.decision,
    )
}

fn run(loaded: &mut Loaded, row: &Row) -> Result<(), String> {
    let (counters, sent) = (loaded.counters(), loaded.sent());
    let ran = loaded.datapath.run(Hook::Endpoint, row.index, &row.frame, 1);
    let ran = ran.map_err(|error| error.to_string())?;
    let (frame, action) = match &row.effect {
        Effect::Forwarded(frame) | Effect::Answered(frame) => (frame, REDIRECT),
        Effect::Dropped | Effect::Copied(_) => (&row.frame, SHOT),
    };
    equal("action", &ran.verdict, &action)?;
    if ran.frame != *frame {
        return Err(format!(
            "frame\n   found {}\n  wanted {}",
            describe(&ran.frame),
            describe(frame)
        ));
    }
    if row.effect != Effect::Dropped {
        equal("mark", &ran.mark, &0)?;
    }
    equal("counters", &moved(&counters, &loaded.counters()), &expected(row))?;
    let copies = loaded
        .sent()
        .into_iter()
        .map(|(index, packets)| (index, packets - sent[&index]));
    copied(&copies.filter(|(_, packets)| *packets != 0).collect(), &row.effect)
}

/// By how much each counter that moved has moved.
fn moved(before: &BTreeMap<Counter, Count>, after: &BTreeMap<Counter, Count>) -> BTreeMap<Counter, (u64, u64)> {
    let mut moved = BTreeMap::new();
    for (counter, count) in after {
        let before = before.get(counter).copied().unwrap_or_default();
        moved.insert(*counter, (count.packets - before.packets, count.bytes - before.bytes));
    }
    moved.retain(|_, count| *count != (0, 0));
    moved
}

/// Packets and bytes.
fn expected(row: &Row) -> BTreeMap<Counter, (u64, u64)> {
    let counters = row.counters().into_iter();
    counters
        .map(|(counter, packets)| (counter, (packets, packets * row.frame.len() as u64)))
        .collect()
}

/// Whether the copies that left by each device are those of the row, or the most of them.
fn copied(found: &BTreeMap<u32, usize>, effect: &Effect) -> Result<(), String> {
    let none = BTreeMap::new();
    let Effect::Copied(wanted) = effect else {
        return equal("copies", found, &none);
    };
    if wanted.values().sum::<usize>() <= MOST_COPIES {
        return equal("copies", found, wanted);
    }
    equal("number of copies", &found.values().sum(), &MOST_COPIES)?;
    let within = found.iter().all(|(index, copies)| wanted.get(index) >= Some(copies));
    within.then_some(()).ok_or(format!("copies to others: {found:?}"))
}
