//! What has no way, by kind of route and rule: a container is told what one behind a plain Linux router is told, TCP,
//! UDP and ping alike.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use tests::site::{CONTAINERS, FAMILIES, Gate, Kind, Site, told};
use tests::world::{Namespace, Transport, within};

use super::address;

/// Why there is no way to a goal. GOAL is it, ONE the container.
const KINDS: [(&str, &[&str]); 10] = [
    ("no route", &[]),
    ("unreachable", &["ip F route add unreachable GOAL"]),
    ("prohibit", &["ip F route add prohibit GOAL"]),
    ("blackhole", &["ip F route add blackhole GOAL"]),
    (
        "throw, and nothing in the next table",
        &["ip F route add throw GOAL table 88", "ip F rule add to GOAL lookup 88"],
    ),
    (
        "rule that is unreachable",
        &["ip F rule add from ONE to GOAL unreachable"],
    ),
    ("rule that prohibits", &["ip F rule add from ONE to GOAL prohibit"]),
    (
        "rule that is a blackhole",
        &["ip F rule add from ONE to GOAL blackhole"],
    ),
    (
        "unreachable in a table of the container's",
        &[
            "ip F route add unreachable GOAL table 89",
            "ip F rule add from ONE to GOAL lookup 89",
        ],
    ),
    (
        "next hop that does not answer",
        &["ip F route add GOAL via NOBODY dev up0"],
    ),
];

/// On the link, and nobody.
const NOBODY: [&str; 2] = ["192.168.100.50", "2001:db8:100::50"];

/// What was told, by kind, family and probe.
type Told = BTreeMap<String, String>;

fn goal(number: usize, family: usize) -> String {
    [
        format!("203.0.113.{}", number + 1),
        format!("2001:db8:113::{:x}", number + 1),
    ][family]
        .clone()
}

/// Both families at the same time, of each one kind after the other: Linux tells a sender of IPv4 one error a second.
fn probe(one: &Namespace, wanted: Option<&Told>) -> Told {
    thread::scope(|scope| {
        let families = [0, 1].map(|family| scope.spawn(move || probe_family(one, family, wanted)));
        let told = families.into_iter().flat_map(|family| family.join().expect("probes"));
        told.collect()
    })
}

fn probe_family(one: &Namespace, family: usize, wanted: Option<&Told>) -> Told {
    let mut all = Told::new();
    for (number, (kind, _)) in KINDS.iter().enumerate() {
        let goal = goal(number, family);
        thread::scope(|scope| {
            let probes = ["TCP", "UDP", "ping"].map(|probe| {
                let goal = &goal;
                let name = format!("{kind}, IPv{}, {probe}", [4, 6][family]);
                let silence = kind.contains("blackhole").then(|| "silence".to_owned());
                let wanted = wanted.map(|wanted| wanted[&name].clone()).or(silence);
                scope.spawn(move || (name, until(wanted.as_deref(), || said(one, probe, goal))))
            });
            all.extend(probes.into_iter().map(|probe| probe.join().expect("a probe")));
        });
    }
    all
}

/// Asks until something is told, or what is wanted.
fn until(wanted: Option<&str>, ask: impl Fn() -> String) -> String {
    let patience = Duration::from_secs(20);
    let mut last = String::new();
    let _ = within(patience, || {
        last = ask();
        match wanted {
            Some(wanted) if wanted != last => Err(String::new()),
            None if last == "silence" => Err(String::new()),
            _ => Ok(()),
        }
    });
    last
}

fn said(one: &Namespace, probe: &str, goal: &str) -> String {
    let transport = match probe {
        "TCP" => Transport::Tcp,
        "UDP" => Transport::Udp,
        _ => return ping(one, goal),
    };
    match told(one, transport, (address(goal), 80).into()) {
        libc::ETIMEDOUT => "silence".to_owned(),
        number => nix::errno::Errno::from_raw(number).to_string(),
    }
}

/// What is told, and by whom, which differs where a neighbour is asked for first.
fn ping(one: &Namespace, goal: &str) -> String {
    let said = one.sh(&format!("ping -n -c 5 -W 1 {goal}")).stdout;
    let line = said.lines().find(|line| line.starts_with("From "));
    let Some((by, what)) = line.and_then(|line| line.split_once(" icmp_seq=")) else {
        return "silence".to_owned();
    };
    let what = what.trim_start_matches(|character: char| character.is_ascii_digit());
    let is_gateway = by.contains("10.66") || by.contains("fd66");
    if is_gateway && !what.contains("Host") && !what.contains("Address") {
        format!("{by}:{what}")
    } else {
        what.to_owned()
    }
}

/// A site whose host has no way to each goal.
fn site(gate: &Gate) -> Site {
    Site::new(gate, &[Kind::Veth], |host, _| {
        for (number, (_, lines)) in KINDS.iter().enumerate() {
            for (family, option) in FAMILIES.into_iter().enumerate() {
                for line in *lines {
                    let line = line
                        .replace(" F ", &format!(" {option} "))
                        .replace("GOAL", &goal(number, family))
                        .replace("ONE", CONTAINERS[0][family])
                        .replace("NOBODY", NOBODY[family]);
                    host.sh(&line).ok();
                }
            }
        }
    })
}

#[test]
fn what_has_no_way_is_told_as_by_a_router() {
    let router = site(&Gate::Router);
    let wanted = probe(router.gateway.one(), None);
    drop(router);
    for (name, told) in &wanted {
        let is_right = (*told == "silence") == name.contains("blackhole");
        assert!(is_right, "the test's own world is wrong: {name}: {told}");
    }
    let mut wrong = Vec::new();
    for mode in ["tcx", "stack"] {
        let switch = site(&Gate::Switch(&["--uplink-mode", mode]));
        let seen = probe(switch.gateway.one(), Some(&wanted));
        for (name, told) in wanted.iter().filter(|(name, told)| seen[*name] != **told) {
            wrong.push(format!("{mode}: {name}: {:?}, not {told:?}", seen[name]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where there was a way, and the uplink goes down.
#[test]
fn an_uplink_that_goes_down_is_told_as_by_a_router() {
    let mut all = Vec::new();
    for gate in [Gate::Router, Gate::Switch(&[])] {
        let site = Site::new(&gate, &[Kind::Veth], |host, uplinks| uplinks[0].lead(host));
        let one = site.gateway.one();
        for target in &site.uplinks[0].target {
            one.sh(&format!("ping -n -c 1 -W 4 {target}")).ok();
        }
        site.host().sh("ip link set up0 down").ok();
        let mut told = Told::new();
        for (family, target) in site.uplinks[0].target.iter().enumerate() {
            for probe in ["TCP", "UDP", "ping"] {
                let wanted = all
                    .first()
                    .map(|first: &Told| first[&format!("{family} {probe}")].clone());
                let said = until(wanted.as_deref(), || said(one, probe, target));
                told.insert(format!("{family} {probe}"), said);
            }
        }
        all.push(told);
    }
    assert_eq!(all[0], all[1]);
    assert!(all[0].values().all(|told| told != "silence"), "{all:?}");
}
