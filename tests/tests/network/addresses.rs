//! Subnets that nobody chose, beside what the host has: a VPN's wide routes, networks on its links, no IPv6.

use ipnetwork::IpNetwork;
use tests::world::{LAN, World};

use super::ping;

/// Subnets of a network, in the order in which they are shown.
fn subnets(world: &World, network: &str) -> Vec<String> {
    let config = world.network(network)["IPAM"]["Config"].clone();
    let pools = config.as_array().unwrap().iter();
    pools.map(|pool| pool["Subnet"].as_str().unwrap().to_owned()).collect()
}

/// By a gateway on the LAN, or on the device.
fn route(world: &World, destination: &str, by_gateway: bool) {
    let family = usize::from(destination.contains(':'));
    let by = if by_gateway {
        format!("via {}", LAN[family])
    } else {
        "dev up0".into()
    };
    let option = ["-4", "-6"][family];
    world.host.sh(&format!("ip {option} route add {destination} {by}")).ok();
}

#[test]
fn wide_routes_leave_room_for_networks() {
    let halves: &[&str] = &["0.0.0.0/1", "128.0.0.0/1"];
    let parts: &[&str] = &["::/3", "2000::/4", "3000::/4", "fc00::/7"];
    let private: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/17"];
    // what leads to a gateway, what is on a link, and the default network's subnet
    let rows: [(&[&str], &[&str], &str); 6] = [
        (halves, &["172.18.0.0/16"], "172.17.0.0/16"),
        (&[], halves, "172.17.0.0/16"),
        (parts, &[], "172.17.0.0/16"),
        (&[], parts, "172.17.0.0/16"),
        (private, &["172.17.0.0/16"], "192.168.128.0/20"),
        (&["172.16.0.0/12"], &["192.168.0.0/16", "10.0.0.0/8"], "172.17.0.0/16"),
    ];
    for (by_gateway, on_link, expected) in rows {
        let mut world = World::without_agent();
        world.add_lan();
        for (routes, by_gateway) in [(by_gateway, true), (on_link, false)] {
            for destination in routes {
                route(&world, destination, by_gateway);
            }
        }
        world.start_agent(&[]);
        assert_eq!(subnets(&world, "bridge"), [expected], "{by_gateway:?} {on_link:?}");
        world.ok(&["network", "create", "plain"]);
        world.ok(&["network", "create", "--ipv6", "six"]);
        let made = [subnets(&world, "plain"), subnets(&world, "six")].concat();
        assert_eq!(made.len(), 3, "{made:?}");
        let is_wide = |route: &&&str| route.parse::<IpNetwork>().unwrap().prefix() < 8;
        for taken in on_link.iter().filter(|route| !is_wide(route)) {
            let taken: IpNetwork = taken.parse().unwrap();
            for subnet in &made {
                let subnet: IpNetwork = subnet.parse().unwrap();
                let overlap = taken.contains(subnet.network()) || subnet.contains(taken.network());
                assert!(!overlap, "{subnet} and {taken}");
            }
        }
    }
}

#[test]
fn routes_that_come_while_the_agent_runs_leave_room_too() {
    let world = World::with_lan();
    for destination in ["0.0.0.0/1", "128.0.0.0/1", "::/3", "fc00::/7"] {
        route(&world, destination, true);
    }
    world.ok(&["network", "create", "--ipv6", "six"]);
    assert_eq!(subnets(&world, "six")[0], "172.18.0.0/16");
    world.run("one", &["--net", "six"]);
    ping(&world.inside("one"), LAN[0], 63);
}

#[test]
fn a_host_with_ipv6_switched_off_has_its_networks() {
    let world = World::without_agent();
    let off =
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
    world.host.sh(off).ok();
    let lan = tests::world::Namespace::new();
    world
        .host
        .sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {} && ip addr add 192.168.56.99/24 dev up0 && ip link set up0 up",
            lan.path()
        ))
        .ok();
    lan.sh("ip addr add 192.168.56.1/24 dev eth0 && ip link set eth0 up")
        .ok();
    world.start_agent(&[]);
    world.ok(&["network", "create", "plain"]);
    world.run("one", &["--net", "plain", "-p", "8080:80"]);
    world.run("two", &[]);
    for name in ["one", "two"] {
        ping(&world.inside(name), "192.168.56.1", 63);
    }
    // whoever asks for IPv6 gets it, on that network alone
    world.ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.6.0.0/24",
        "--subnet",
        "fd06::/64",
        "six",
    ]);
    world.run("three", &["--net", "six"]);
    world.run("four", &["--net", "six"]);
    ping(&world.inside("three"), "fd06::3", 64);
    ping(&world.inside("three"), "fd06::1", 64);
    let devices = world.host.sh("ip -6 -o addr show").ok();
    assert!(devices.lines().all(|line| line.contains("br-")), "{devices}");
    for _ in 0..2 {
        world.restart_agent();
        ping(&world.inside("one"), "192.168.56.1", 63);
    }
}

#[test]
fn host_gateway_leads_to_the_host_from_every_network() {
    let world = World::with_lan();
    super::dual(&world, "six", 6, &[]);
    world.ok(&["network", "create", "plain"]);
    world.ok(&["network", "create", "--internal", "inner"]);
    let _service = tests::world::Service::start(&world.host, tests::world::Transport::Tcp, 8099, "host");
    for (name, network, lines) in [
        ("a", "bridge", 1),
        ("b", "plain", 1),
        ("c", "six", 2),
        ("d", "inner", 1),
    ] {
        let name = format!("of-{name}");
        world.run(&name, &["--net", network, "--add-host", "up:host-gateway"]);
        let hosts = world.exec(&name, &["cat", "/etc/hosts"]).ok();
        let found: Vec<&str> = hosts.lines().filter_map(|line| line.strip_suffix("\tup")).collect();
        assert_eq!(found.len(), lines, "{network}: {hosts}");
        for address in found {
            let answer = tests::world::Dial::tcp(address, 8099).answered(&world.inside(&name));
            assert_eq!(
                answer.client.ip(),
                world_address(&world, &name, network, address.contains(':'))
            );
        }
    }
}

fn world_address(world: &World, name: &str, network: &str, v6: bool) -> std::net::IpAddr {
    let field = if v6 { "GlobalIPv6Address" } else { "IPAddress" };
    world.field(name, network, field).parse().unwrap()
}
