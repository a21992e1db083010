//! `--uplink-mode xdp`: published ports by XDP redirect, and the same as ever for all that it hands on.

use std::net::SocketAddr;

use tests::world::{Dial, HOST, LAN, Namespace, Service, Transport, World, exchange};

use super::{address, drops_reach, dual};

const XDP: [&str; 2] = ["--uplink-mode", "xdp"];

/// Packets that the uplink has passed into a container by XDP.
fn redirected(world: &World) -> u64 {
    let statistics = world.host.sh("ethtool -S up0").ok();
    let counters = statistics.lines().filter_map(|line| line.trim().split_once(": "));
    counters
        .filter(|(name, _)| name.starts_with("rx_queue_") && name.ends_with("_xdp_redirect"))
        .map(|(_, count)| count.parse::<u64>().unwrap())
        .sum()
}

/// `web` on a network `dual`, its ports 80 published as 8080.
fn web(world: &World) -> (Namespace, [Service; 2]) {
    dual(world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80", "-p", "8080:80/udp"]);
    let inside = world.inside("web");
    let services = Transport::BOTH.map(|transport| Service::start(&inside, transport, 80, "web"));
    (inside, services)
}

/// Every transport and family several times over, from the LAN.
fn asks(world: &World) {
    for transport in Transport::BOTH {
        for (host, client) in HOST.into_iter().zip(LAN) {
            let dial = Dial::new(transport, (address(host), 8080).into());
            for _ in 0..3 {
                let answer = dial.from(client, 0).answered(world.lan());
                assert_eq!(answer.client.ip(), address(client));
            }
        }
    }
}

#[test]
fn published_ports_are_redirected_into_the_container() {
    let world = World::with_lan_and(&XDP);
    let (inside, _services) = web(&world);
    // what a pair's other end leaves to a device has no checksum yet: tcx takes it
    asks(&world);
    assert_eq!(redirected(&world), 0);
    world.lan().sh("ethtool -K eth0 tx off").ok();
    asks(&world);
    let after_asking = redirected(&world);
    assert!(after_asking > 0, "{}", world.host.sh("ethtool -S up0").stdout);
    world.ok(&["publish", "web", "9090:9090"]);
    for (host, own) in HOST.into_iter().zip(["0.0.0.0", "::"]) {
        let own: SocketAddr = (address(own), 9090).into();
        exchange(world.lan(), (address(host), 9090).into(), &inside, own, 4 << 20);
    }
    // most of what was sent, in segments of at most 1,460 bytes
    assert!(redirected(&world) - after_asking > 4_000, "{}", redirected(&world));
    let flows = world.ok(&["flows"]);
    assert!(flows.contains("web"), "{flows}");
}

#[test]
fn what_needs_no_state_is_dropped_and_counted_as_by_tcx() {
    let world = World::with_lan_and(&XDP);
    dual(&world, "dual", 66, &[]);
    let allowed = "8080:80,from=192.168.56.7/32,from=2001:db8:56::7/128";
    world.run("web", &["--net", "dual", "-p", allowed]);
    let inside = world.inside("web");
    let _service = Service::start(&inside, Transport::Tcp, 80, "web");
    let other = ["192.168.56.7", "2001:db8:56::7"];
    world
        .lan()
        .sh("ip addr add 192.168.56.7/24 dev eth0 && ip addr add 2001:db8:56::7/64 dev eth0 nodad")
        .ok();
    for (route, host) in ["10.66.0.0/24", "fd66::/64"].into_iter().zip(HOST) {
        world.lan().sh(&format!("ip route add {route} via {host}")).ok();
    }
    for family in [0, 1] {
        let dial = Dial::tcp(HOST[family], 8080);
        dial.from(other[family], 0).answered(world.lan());
        dial.from(LAN[family], 0).unanswered(world.lan());
    }
    drops_reach(&world, "web", "dual", "source-denied", 2);
    let container = world.address("web", "dual").to_string();
    Dial::tcp(&container, 80).unanswered(world.lan());
    drops_reach(&world, "web", "dual", "not-published", 1);
}

#[test]
fn the_mode_changes_with_a_restart() {
    let world = World::with_lan();
    let (_inside, _services) = web(&world);
    world.lan().sh("ethtool -K eth0 tx off").ok();
    asks(&world);
    assert!(!world.host.sh("ip link show up0").ok().contains("xdp"));
    world.stop_agent();
    world.start_agent(&XDP);
    assert!(world.host.sh("ip link show up0").ok().contains("xdp"));
    asks(&world);
    let count = redirected(&world);
    assert!(count > 0, "{}", world.host.sh("ethtool -S up0").stdout);
    // the guard and its flows need no agent
    world.kill_agent();
    asks(&world);
    assert!(redirected(&world) > count);
    world.start_agent(&[]);
    assert!(!world.host.sh("ip link show up0").ok().contains("xdp"));
    asks(&world);
}
