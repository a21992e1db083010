//! `docker0`: there from the start, renumbered by hand, shared by all who name no network.

use tests::world::{World, eventually, interfaces};

use super::ping;

#[test]
fn s01_docker0_is_there_before_any_container_and_the_lan_is_untouched() {
    let mut world = World::without_agent();
    world.add_lan();
    let lan = eventually("the LAN is up", || {
        let now = interfaces(&world.host);
        let up0 = now.iter().find(|found| found.name == "up0").unwrap();
        if up0.addresses.len() == 3 {
            Ok(now)
        } else {
            Err(format!("{up0:?}"))
        }
    });
    world.start_agent(&[]);
    let mut devices = interfaces(&world.host);
    devices.retain(|found| ["lo", "up0"].contains(&found.name.as_str()));
    assert_eq!(devices, lan);

    let said = world.host.sh("ip addr show docker0").ok();
    let lines: Vec<Vec<&str>> = said.lines().map(super::words).collect();
    let first = &lines[0];
    assert!(first[1].starts_with("docker0@sw-"), "{said}");
    let mut flags: Vec<&str> = first[2].trim_matches(['<', '>']).split(',').collect();
    flags.retain(|flag| *flag != "M-DOWN");
    flags.sort_unstable();
    assert_eq!(flags, ["BROADCAST", "MULTICAST", "NO-CARRIER", "UP"]);
    assert_eq!(first[3..7], ["mtu", "1500", "qdisc", "noqueue"]);
    assert_eq!(first[7], "state");
    assert!(["DOWN", "LOWERLAYERDOWN"].contains(&first[8]), "{said}");
    assert_eq!(lines[1][..2], ["link/ether", "02:42:ac:11:00:01"], "{said}");
    assert_eq!(
        lines[2],
        [
            "inet",
            "172.17.0.1/16",
            "brd",
            "172.17.255.255",
            "scope",
            "global",
            "docker0"
        ]
    );
    let link_local: Vec<_> = lines.iter().filter(|line| line[0] == "inet6").collect();
    assert_eq!(link_local.len(), 1, "{said}");
    assert_eq!(
        link_local[0][1..4],
        ["fe80::42:acff:fe11:1/64", "scope", "link"],
        "{said}"
    );
}

#[test]
fn s11_devices_addresses_and_routes_are_made_as_told() {
    let world = World::new();
    world.run("web", &[]);
    let gateway = interfaces(&world.host)
        .into_iter()
        .find(|found| found.name == "docker0")
        .unwrap();
    assert_eq!(gateway.addresses[0], "172.17.0.1/16");
    assert_eq!(gateway.state, "UP", "docker0 has carrier once a container runs");
    let outer = world.host_device("web", "eth0");
    assert_eq!(outer.name.len(), "veth".len() + 7, "{}", outer.name);
    assert_eq!(outer.addresses, [""; 0], "the host-side end has no address");
    assert_eq!(
        world.exec("web", &["ip", "route"]).ok(),
        "default via 172.17.0.1 dev eth0 \n172.17.0.0/16 dev eth0 proto kernel scope link src 172.17.0.2"
    );
}

#[test]
fn s25_the_gateway_is_renumbered_by_hand() {
    let world = World::new();
    world.run("old", &[]);
    // as ifconfig docker0 192.168.10.1 netmask 255.255.255.0 does
    world.host.sh("ip addr del 172.17.0.1/16 dev docker0").ok();
    world.host.sh("ip addr add 192.168.10.1/24 brd + dev docker0").ok();
    eventually("the network has its new subnet", || {
        let subnet = world.network("bridge")["IPAM"]["Config"][0]["Subnet"].take();
        if subnet == "192.168.10.0/24" {
            Ok(())
        } else {
            Err(subnet.to_string())
        }
    });
    world.run("new", &["--net", "bridge"]);
    assert_eq!(world.address("new", "bridge").to_string(), "192.168.10.2");
    assert_eq!(world.field("new", "bridge", "Gateway"), "192.168.10.1");
    ping(&world.inside("new"), "192.168.10.1", 64);
    ping(&world.host, "192.168.10.2", 64);
    assert_eq!(world.inspect("old")["State"]["Running"], true);
    world.ok(&["stop", "old"]);
    world.ok(&["start", "old"]);
    ping(&world.inside("new"), &world.address("old", "bridge").to_string(), 64);
}

#[test]
fn a_gateway_moves_when_its_address_is_replaced_and_only_then() {
    let world = World::new();
    let subnet = || world.network("bridge")["IPAM"]["Config"][0]["Subnet"].take();
    world.run("web", &[]);
    // one more address of the host is no gateway
    world.host.sh("ip addr add 192.0.2.9/24 dev docker0").ok();
    world.run("next", &[]);
    assert_eq!(world.field("next", "bridge", "Gateway"), "172.17.0.1");
    ping(&world.inside("web"), "192.0.2.9", 64);
    world.host.sh("ip addr del 192.0.2.9/24 dev docker0").ok();
    // ifconfig sets the address with its classful mask first, the mask asked for afterwards
    world
        .host
        .sh("ip addr flush dev docker0 && ip addr add 11.5.0.1/8 brd + dev docker0")
        .ok();
    world
        .host
        .sh("ip addr del 11.5.0.1/8 dev docker0 && ip addr add 11.5.0.1/16 brd + dev docker0")
        .ok();
    eventually("the network has the subnet of the second step", || {
        let subnet = subnet();
        if subnet == "11.5.0.0/16" {
            Ok(())
        } else {
            Err(subnet.to_string())
        }
    });
    world.run("last", &[]);
    ping(&world.inside("last"), "11.5.0.1", 64);
    // and while no agent looks
    world.stop_agent();
    world
        .host
        .sh("ip addr del 11.5.0.1/16 dev docker0 && ip addr add 11.6.0.1/16 brd + dev docker0")
        .ok();
    world.start_agent(&[]);
    assert_eq!(subnet(), "11.6.0.0/16");
}

#[test]
fn a_bip_chooses_the_default_subnet() {
    let world = World::with_arguments(&["--bip", "10.5.0.1/24"]);
    world.run("web", &[]);
    assert_eq!(world.address("web", "bridge").to_string(), "10.5.0.2");
    ping(&world.inside("web"), "10.5.0.1", 64);
}

#[test]
fn the_default_network_keeps_clear_of_the_hosts_routes_and_devices() {
    let world = World::without_agent();
    world
        .host
        .sh("ip link add docker0 type veth peer name other && ip link set docker0 up && ip link set other up")
        .ok();
    world.host.sh("ip addr add 172.17.9.1/24 dev docker0").ok();
    world.start_agent(&[]);
    let network = world.network("bridge");
    assert_eq!(network["IPAM"]["Config"][0]["Subnet"], "172.18.0.0/16");
    assert_eq!(network["Options"]["com.docker.network.bridge.name"], "nsw0");
    world.run("web", &[]);
    ping(&world.inside("web"), "172.18.0.1", 64);
}
