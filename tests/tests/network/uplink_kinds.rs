//! Device kinds as uplinks: what containers and the world may expect of each, next to what a plain Linux router does
//! in the same place (docs/uplinks.md). Kinds that are modules of Debian's kernel: `tests/tests/devices`.

use tests::site::{CELLS, CUT_UNASKED, Kind, Site};

/// Every cell of a kind, first of a plain router, then of the switch.
#[track_caller]
fn all_hold(kind: Kind) {
    let router = Site::router(&[kind]);
    let failures = router.failures(&router.uplinks[0], &CELLS);
    assert!(failures.is_empty(), "the test's own world is wrong: {failures:#?}");
    drop(router);
    all_hold_with(&[kind], &[]);
}

/// Every cell of each kind of the switch, with these arguments.
#[track_caller]
fn all_hold_with(kinds: &[Kind], arguments: &[&str]) {
    let failures = kinds.iter().flat_map(|kind| {
        let site = Site::switch(arguments, &[*kind]);
        site.failures(&site.uplinks[0], &CELLS)
    });
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn veth() {
    all_hold(Kind::Veth);
}

#[test]
fn unnumbered_veth() {
    all_hold(Kind::Unnumbered);
}

#[test]
fn bridge() {
    all_hold(Kind::Bridge);
}

#[test]
fn macvlan() {
    all_hold(Kind::Macvlan);
}

#[test]
fn vxlan() {
    all_hold(Kind::Vxlan);
}

#[test]
fn tap() {
    all_hold(Kind::Tap);
}

#[test]
fn tun() {
    all_hold(Kind::Tun);
}

#[test]
fn kinds_that_are_named() {
    let others: Vec<_> = Kind::COMMON.into_iter().filter(|kind| *kind != Kind::Macvlan).collect();
    all_hold_with(&others, &["--uplink", "up0"]);
    // the device below is on the same link, so it answers for the address of the one above, too
    all_hold_with(&[Kind::Macvlan], &["--uplink", "up0", "--uplink", "under0"]);
}

#[test]
fn kinds_beside_xdp() {
    all_hold_with(&Kind::COMMON, &["--uplink-mode", "xdp"]);
}

/// Devices without Ethernet headers are none in that mode.
#[test]
fn kinds_by_the_stack() {
    let mut kinds = Kind::COMMON.to_vec();
    kinds.retain(|kind| !kind.is_bare());
    all_hold_with(&kinds, &["--uplink-mode", "stack"]);
}

/// All of them on one host, where each has its own part of the world.
#[test]
fn all_kinds_at_once() {
    let site = Site::switch(&[], &Kind::COMMON);
    let failures = site.all_failures(&CELLS, 2);
    assert!(failures.is_empty(), "{failures:#?}");
}

/// IPv4 without DF is fragmented by whoever forwards it: its sender need not learn anything.
#[test]
fn datagrams_that_may_be_cut_are_cut() {
    let router = Site::router(&[Kind::Veth, Kind::Tun]);
    let failures = router.all_failures(&[CUT_UNASKED], 1);
    assert!(failures.is_empty(), "the test's own world is wrong: {failures:#?}");
    let site = Site::switch(&[], &[Kind::Veth, Kind::Tun]);
    let failures = site.all_failures(&[CUT_UNASKED], 1);
    assert!(failures.is_empty(), "{failures:#?}");
}
