//! Device kinds as uplinks: what containers and the world may expect of each, next to what a plain Linux router does
//! in the same place (docs/uplinks.md). Kinds that are modules of Debian's kernel: `tests/tests/devices`.

use tests::site::{CELLS, Gate, Kind, Site};

/// Every cell of a kind, first of a plain router, then of the switch.
#[track_caller]
fn all_hold(kind: Kind, arguments: &[&str]) {
    let router = Site::new(&Gate::Router, &[kind], |host, uplinks| uplinks[0].lead(host));
    let failures = router.failures(&router.uplinks[0], &CELLS);
    assert!(failures.is_empty(), "the test's own world is wrong: {failures:#?}");
    drop(router);
    let site = Site::new(&Gate::Switch(arguments), &[kind], |host, uplinks| uplinks[0].lead(host));
    let failures = site.failures(&site.uplinks[0], &CELLS);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn veth() {
    all_hold(Kind::Veth, &[]);
}

#[test]
fn unnumbered_veth() {
    all_hold(Kind::Unnumbered, &[]);
}

#[test]
fn bridge() {
    all_hold(Kind::Bridge, &[]);
}

#[test]
fn macvlan() {
    all_hold(Kind::Macvlan, &[]);
}

#[test]
fn vxlan() {
    all_hold(Kind::Vxlan, &[]);
}

#[test]
fn tap() {
    all_hold(Kind::Tap, &[]);
}

#[test]
fn tun() {
    all_hold(Kind::Tun, &[]);
}

#[test]
fn kinds_that_are_named() {
    for kind in Kind::COMMON {
        all_hold(kind, &["--uplink", "up0"]);
    }
}

#[test]
fn kinds_beside_xdp() {
    for kind in Kind::COMMON {
        all_hold(kind, &["--uplink-mode", "xdp"]);
    }
}

#[test]
fn kinds_by_the_stack() {
    for kind in Kind::COMMON {
        all_hold(kind, &["--uplink-mode", "stack"]);
    }
}

/// All of them on one host, where each has its own part of the world.
#[test]
fn all_kinds_at_once() {
    let site = Site::new(&Gate::Switch(&[]), &Kind::COMMON, |host, uplinks| {
        uplinks.iter().for_each(|uplink| uplink.lead(host));
    });
    let failures: Vec<_> = site
        .uplinks
        .iter()
        .flat_map(|uplink| site.failures(uplink, &CELLS[..5]))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
