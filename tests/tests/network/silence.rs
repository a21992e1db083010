//! A network where nobody speaks is silent, in both families.

use std::time::Duration;

use tests::packet::describe;
use tests::world::{Capture, World, eventually};

/// As long as the requirement says.
const SILENCE: Duration = Duration::from_secs(10);
/// What comes up says hello (multicast listener reports); after this long without a frame it has settled.
const SETTLED: Duration = Duration::from_secs(3);

#[test]
fn a_settled_container_hears_nothing_in_ten_seconds() {
    let world = World::new();
    world.ok(&["network", "create", "--ipv6", "dual"]);
    for (name, network) in [
        ("one", "bridge"),
        ("two", "bridge"),
        ("three", "dual"),
        ("four", "dual"),
    ] {
        world.run(name, &["--net", network]);
    }
    let mut captures = Vec::new();
    for name in ["one", "three"] {
        captures.push(Capture::start(&world.inside(name), "eth0"));
        captures.push(Capture::start(&world.host, &world.host_device(name, "eth0").name));
    }
    eventually("everything has settled", || {
        let heard: Vec<_> = captures.iter().flat_map(Capture::so_far).collect();
        if heard.is_empty() && captures.iter().all(|capture| capture.during(SETTLED / 4).is_empty()) {
            Ok(())
        } else {
            Err(format!("{:?}", heard.first()))
        }
    });
    let start = std::time::Instant::now();
    for capture in &captures {
        let heard = capture.during(SILENCE.saturating_sub(start.elapsed()));
        let heard: Vec<_> = heard.iter().map(|captured| describe(&captured.frame)).collect();
        assert_eq!(heard, [""; 0]);
    }
}
