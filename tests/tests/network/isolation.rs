//! `--internal`, `enable_icc=false`, and the world beyond the host.

use netswitch_common::address::Mac;
use tests::packet::ip;
use tests::world::{World, eventually, send};

use super::{address, no_ping, ping};

#[test]
fn an_internal_network_ends_at_the_host() {
    let world = World::with_lan();
    world.ok(&["network", "create", "--internal", "--subnet", "10.3.0.0/24", "inner"]);
    world.run("one", &["--net", "inner"]);
    world.run("two", &["--net", "inner"]);
    let one = world.inside("one");
    ping(&one, "10.3.0.3", 64);
    ping(&one, "10.3.0.1", 64);
    ping(&world.host, "10.3.0.2", 64);
    assert_eq!(world.exec("one", &["ip", "route", "show", "default"]).ok(), "");
    let unreachable = one.sh("ping -c 1 -W 1 192.168.56.1");
    assert!(unreachable.stderr.contains("Network is unreachable"), "{unreachable:?}");
    // a route of its own does not help
    one.sh("ip route add default via 10.3.0.1").ok();
    no_ping(&one, "192.168.56.1");
    assert_eq!(world.drops("one", "inner", "internal-network"), 2);
}

#[test]
fn beyond_the_host_is_nothing_without_an_uplink() {
    let world = World::with_lan_and(&["--uplink", "none"]);
    world.run("one", &[]);
    no_ping(&world.inside("one"), "192.168.56.1");
    assert_eq!(world.drops("one", "bridge", "no-uplink"), 2);
    // the host's own addresses are the host's
    ping(&world.inside("one"), "192.168.56.99", 64);
}

#[test]
fn without_icc_containers_reach_the_host_alone() {
    let world = World::new();
    let icc = "com.docker.network.bridge.enable_icc=false";
    world.ok(&["network", "create", "-o", icc, "--subnet", "10.4.0.0/24", "quiet"]);
    world.run("one", &["--net", "quiet"]);
    world.run("two", &["--net", "quiet"]);
    let one = world.inside("one");
    no_ping(&one, "10.4.0.3");
    let counted = world.drops("one", "quiet", "icc-disabled");
    let (from, to) = (world.mac("one", "quiet"), world.mac("two", "quiet"));
    send(
        &one,
        "eth0",
        &ip((from, to), address("10.4.0.2"), address("10.4.0.3")).ping(),
    );
    eventually("the drop is counted", || {
        match world.drops("one", "quiet", "icc-disabled") {
            now if now == counted + 1 => Ok(()),
            now => Err(format!("{now} after {counted}")),
        }
    });
    ping(&one, "10.4.0.1", 64);
    ping(&world.host, "10.4.0.3", 64);
}

#[test]
fn the_gateways_mac_does_not_lead_to_another_network() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.4.0.0/24", "other"]);
    world.run("one", &[]);
    world.run("two", &["--net", "other"]);
    let gateway = Mac([0x02, 0x42, 172, 17, 0, 1]);
    let one = world.inside("one");
    for (number, target) in (1..).zip(["10.4.0.2", "10.4.0.1"]) {
        let frame = ip(
            (world.mac("one", "bridge"), gateway),
            address("172.17.0.2"),
            address(target),
        )
        .ping();
        send(&one, "eth0", &frame);
        eventually("the drop is counted", || {
            match world.drops("one", "bridge", "other-network") {
                now if now == number => Ok(()),
                now => Err(format!("{now}")),
            }
        });
    }
}
