//! Kinds of devices that are modules of Debian's kernel, as uplinks: `cargo xtask test` runs this in its machine with
//! kernel 6.1, where they are. What each must do: `tests/src/site/cell.rs`, docs/uplinks.md.

use tests::site::{CELLS, Kind, Site};

#[track_caller]
fn all_hold(kinds: &[Kind]) {
    let site = Site::switch(&[], kinds);
    let failures = site.all_failures(&CELLS, 4);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn tunnels_and_devices_upon_others() {
    all_hold(&Kind::MODULES);
}
