//! Networks that the user makes: subnets, gateways, ranges, addresses.

use tests::world::World;

use super::{ping, words};

#[test]
fn s30_s31_s32_a_subnet_that_covers_a_host_route() {
    let world = World::with_lan();
    let id = world.ok(&words(
        "network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    assert_eq!(id.len(), 64);
    assert_eq!(id, world.network("mynet")["Id"].as_str().unwrap());
    let list = world.ok(&["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]);
    assert_eq!(
        list,
        "bridge bridge local\nhost host local\nmynet bridge local\nnone null local"
    );
    let first = world.run("tomcat-net-01", &["--net", "mynet"]);
    let second = world.run("tomcat-net-02", &["--net", "mynet"]);
    assert_eq!((first.len(), second.len()), (64, 64));
    ping(&world.inside("tomcat-net-01"), "192.168.0.3", 64);
    ping(&world.host, "192.168.0.3", 64);
    // the more specific route keeps winning
    ping(&world.host, "192.168.56.1", 64);
    let route = world.host.sh("ip route get 192.168.56.1").ok();
    assert!(route.contains("dev up0"), "{route}");
}

#[test]
fn s47_public_space_with_the_gateway_chosen() {
    let world = World::new();
    let id = world.ok(&["network", "create", "redis", "--subnet", "172.38.0.0/16"]);
    assert_eq!(id.len(), 64);
    assert_eq!(
        world.network("redis")["IPAM"]["Config"].to_string(),
        r#"[{"Subnet":"172.38.0.0/16"}]"#
    );
    world.run("web", &["--net", "redis"]);
    assert_eq!(world.field("web", "redis", "Gateway"), "172.38.0.1");
    ping(&world.inside("web"), "172.38.0.1", 64);
    let device = format!("br-{}", &id[..12]);
    let said = world.host.sh(&format!("ip -4 -o addr show {device}")).ok();
    assert!(said.contains("172.38.0.1/16"), "{said}");
}

#[test]
fn automatic_subnets_follow_docker_and_keep_clear_of_routes() {
    let world = World::without_agent();
    world
        .host
        .sh("ip link add other type veth peer name another && ip link set other up && ip link set another up")
        .ok();
    world.host.sh("ip addr add 172.19.3.1/24 dev other").ok();
    world.start_agent(&[]);
    let create = |name: &str| {
        world.ok(&["network", "create", name]);
        world.network(name)["IPAM"]["Config"][0].to_string()
    };
    assert_eq!(create("one"), r#"{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}"#);
    assert_eq!(create("two"), r#"{"Subnet":"172.20.0.0/16","Gateway":"172.20.0.1"}"#);
    world.ok(&["network", "rm", "one"]);
    assert_eq!(create("three"), r#"{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}"#);
}

#[test]
fn thirty_one_networks_are_not_the_end() {
    let world = World::new();
    for number in 0..40 {
        world.ok(&["network", "create", &format!("n{number}")]);
    }
    assert_eq!(world.ok(&["network", "ls", "-q"]).lines().count(), 43);
    let output = world.cli(&["network", "prune", "-f"]);
    assert_eq!(output.stdout.lines().count(), 42, "{output:?}");
}

#[test]
fn ranges_and_auxiliary_addresses_are_kept() {
    let world = World::new();
    world.ok(&words(
        "network create --subnet 10.1.0.0/16 --ip-range 10.1.4.0/24 --gateway 10.1.0.9 \
         --aux-address router=10.1.4.1 mynet",
    ));
    let config = world.network("mynet")["IPAM"]["Config"][0].to_string();
    assert_eq!(
        config,
        r#"{"Subnet":"10.1.0.0/16","IPRange":"10.1.4.0/24","Gateway":"10.1.0.9","AuxiliaryAddresses":{"router":"10.1.4.1"}}"#
    );
    world.run("web", &["--net", "mynet"]);
    let given = world.address("web", "mynet").to_string();
    assert!(given.starts_with("10.1.4.") && given != "10.1.4.1", "{given}");
    world.run("far", &["--net", "mynet", "--ip", "10.1.200.6"]);
    ping(&world.inside("web"), "10.1.200.6", 64);
    ping(&world.inside("web"), "10.1.0.9", 64);
}

#[test]
fn a_freed_address_is_given_out_last() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.1.0.0/29", "small"]);
    let add = |name: &str| {
        world.run(name, &["--net", "small"]);
        world.address(name, "small").to_string()
    };
    assert_eq!(add("one"), "10.1.0.2");
    assert_eq!(add("two"), "10.1.0.3");
    world.ok(&["rm", "-f", "one"]);
    assert_eq!(add("three"), "10.1.0.4");
    assert_eq!(add("four"), "10.1.0.5");
    assert_eq!(add("five"), "10.1.0.6");
    assert_eq!(add("six"), "10.1.0.2");
    ping(&world.inside("two"), "10.1.0.2", 64);
    let full = world.cli(&["run", "-d", "--net", "small", "--", "sleep", "1"]);
    assert_eq!(full.status, 125, "{full:?}");
    assert!(
        full.stderr
            .contains("no available IPv4 addresses on this network's address pools: small"),
        "{full:?}"
    );
}

#[test]
fn an_address_that_returns_with_another_mac_is_reached_at_once() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.1.0.0/24", "mynet"]);
    world.run("peer", &["--net", "mynet"]);
    world.run(
        "old",
        &words("--net mynet --ip 10.1.0.50 --mac-address 02:42:00:00:00:01"),
    );
    ping(&world.inside("peer"), "10.1.0.50", 64);
    ping(&world.host, "10.1.0.50", 64);
    world.ok(&["rm", "-f", "old"]);
    world.run(
        "new",
        &words("--net mynet --ip 10.1.0.50 --mac-address 02:42:00:00:00:02"),
    );
    assert_eq!(world.field("new", "mynet", "MacAddress"), "02:42:00:00:00:02");
    ping(&world.inside("peer"), "10.1.0.50", 64);
    ping(&world.host, "10.1.0.50", 64);
}

#[test]
fn a_bridge_name_of_the_users() {
    let world = World::new();
    world.ok(&words(
        "network create -o com.docker.network.bridge.name=mybr --subnet 10.1.0.0/24 mynet",
    ));
    let said = world.host.sh("ip -4 -o addr show mybr").ok();
    assert!(said.contains("10.1.0.1/24"), "{said}");
    world.ok(&["network", "rm", "mynet"]);
    assert_ne!(
        world.host.sh("ip link show mybr").status,
        0,
        "its device goes with the network"
    );
}
