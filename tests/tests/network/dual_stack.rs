//! IPv6 beside IPv4: neighbours and gateway answer in both.

use tests::world::{World, datagrams, interfaces, transfer};

use super::{address, no_ping, ping, words};

const DUAL: [&str; 6] = ["--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64", "dual"];

fn dual() -> World {
    let world = World::new();
    world.ok(&[&["network", "create"], &DUAL[..]].concat());
    world
}

#[test]
fn neighbour_and_gateway_answer_over_both_with_ttl_64() {
    let world = dual();
    world.run("one", &["--net", "dual"]);
    world.run("two", &["--net", "dual"]);
    let one = world.inside("one");
    for target in ["10.66.0.1", "10.66.0.3", "fd66::1", "fd66::3"] {
        ping(&one, target, 64);
    }
    ping(&world.host, "fd66::2", 64);
    let eth0 = interfaces(&one).into_iter().find(|found| found.name == "eth0").unwrap();
    assert_eq!(eth0.addresses[..2], ["10.66.0.2/24", "fd66::2/64"]);
    assert_eq!(eth0.addresses[2], "fe80::42:aff:fe42:2/64");
    assert_eq!(
        world
            .exec("one", &["ip", "-6", "route", "show", "default"])
            .ok()
            .split(" metric")
            .next(),
        Some("default via fd66::1 dev eth0")
    );
    let link_local = format!("fe80::42:aff:fe42:3%{}", "eth0");
    ping(&one, &link_local, 64);
}

#[test]
fn inspect_tells_both_addresses() {
    let world = dual();
    world.run("one", &["--net", "dual", "--ip6", "fd66::77"]);
    assert_eq!(world.network("dual")["EnableIPv6"], true);
    assert_eq!(world.field("one", "dual", "GlobalIPv6Address"), "fd66::77");
    assert_eq!(world.field("one", "dual", "IPv6Gateway"), "fd66::1");
    let id = world.inspect("one")["Id"].as_str().unwrap().to_owned();
    assert_eq!(world.network("dual")["Containers"][id]["IPv6Address"], "fd66::77/64");
    let hosts = world.exec("one", &["cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("\nfd66::77\t"), "{hosts}");
    ping(&world.host, "fd66::77", 64);
}

#[test]
fn a_private_subnet_is_chosen_where_none_is_given() {
    let world = World::new();
    world.ok(&["network", "create", "--ipv6", "six"]);
    let config = world.network("six")["IPAM"]["Config"][1].take();
    let subnet = config["Subnet"].as_str().unwrap();
    assert!(subnet.starts_with("fd") && subnet.ends_with("/64"), "{subnet}");
    world.run("one", &["--net", "six"]);
    ping(&world.inside("one"), config["Gateway"].as_str().unwrap(), 64);
}

#[test]
fn tcp_and_fragmented_udp_over_ipv6() {
    let world = dual();
    world.run("one", &["--net", "dual"]);
    world.run("two", &["--net", "dual"]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    transfer(&one, &two, address("fd66::3"), 16 << 20);
    datagrams(&one, &two, address("fd66::3"), 8192, 200);
    transfer(&world.host, &two, address("fd66::3"), 4 << 20);
}

#[test]
fn a_v6_network_is_out_of_reach_from_another() {
    let world = dual();
    world.ok(&words(
        "network create --ipv6 --subnet 10.67.0.0/24 --subnet fd67::/64 other",
    ));
    world.run("one", &["--net", "dual"]);
    world.run("two", &["--net", "other"]);
    for target in ["fd67::2", "10.67.0.2"] {
        no_ping(&world.inside("one"), target);
    }
    assert_eq!(world.drops("one", "dual", "other-network"), 4);
    // the host is there by all of its addresses
    for target in ["fd67::1", "10.67.0.1"] {
        ping(&world.inside("one"), target, 64);
    }
}
