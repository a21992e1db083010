//! `network connect` and `disconnect` of running containers, and what was out of reach before.

use tests::world::{World, interfaces};

use super::{no_ping, ping, words};

#[test]
fn s39_s40_s41_connect_brings_a_running_container_into_reach() {
    let world = World::new();
    world.ok(&words(
        "network create --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    world.run("tomcat-net-01", &["--net", "mynet"]);
    world.run("tomcat-net-02", &["--net", "mynet"]);
    let id = world.run("tomcat01", &[]);
    let inside = world.inside("tomcat01");
    no_ping(&inside, "192.168.0.2");
    assert_eq!(world.drops("tomcat01", "bridge", "other-network"), 2);
    // the host is there by that address, too (for-linux#264)
    ping(&inside, "192.168.0.1", 64);
    no_ping(&world.inside("tomcat-net-01"), "172.17.0.2");
    let before = world.inspect("tomcat01")["State"].take();

    let output = world.cli(&["network", "connect", "mynet", "tomcat01"]);
    assert_eq!(
        (output.status, output.stdout.as_str(), output.stderr.as_str()),
        (0, "", "")
    );
    assert_eq!(world.inspect("tomcat01")["State"], before, "it runs on");
    let endpoint = world.network("mynet")["Containers"][&id].take();
    assert_eq!(endpoint["Name"], "tomcat01");
    assert_eq!(endpoint["IPv4Address"], "192.168.0.4/16");
    assert_eq!(endpoint["MacAddress"], "02:42:c0:a8:00:04");
    ping(&inside, "192.168.0.2", 64);
    ping(&world.inside("tomcat-net-02"), "192.168.0.4", 64);
    ping(&inside, "172.17.0.1", 64);
    let hosts = world.exec("tomcat01", &["cat", "/etc/hosts"]).ok();
    assert!(hosts.ends_with(&format!("192.168.0.4\t{}", &id[..12])), "{hosts}");
    assert_eq!(
        world
            .exec("tomcat01", &["ip", "-4", "-o", "addr", "show", "eth1"])
            .ok()
            .matches("192.168.0.4/16")
            .count(),
        1
    );
}

#[test]
fn disconnect_takes_the_interface_and_its_route() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.9.0.0/24", "aaa"]);
    world.run("web", &[]);
    let default = || world.exec("web", &["ip", "route", "show", "default"]).ok();
    assert_eq!(default().trim_end(), "default via 172.17.0.1 dev eth0");
    // the engine takes the first by name
    world.ok(&["network", "connect", "aaa", "web"]);
    assert_eq!(default().trim_end(), "default via 10.9.0.1 dev eth1");
    world.ok(&["network", "disconnect", "aaa", "web"]);
    assert_eq!(default().trim_end(), "default via 172.17.0.1 dev eth0");
    let names: Vec<_> = interfaces(&world.inside("web"))
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(names, ["lo", "eth0"]);
    ping(&world.inside("web"), "172.17.0.1", 64);
}

#[test]
fn a_stopped_container_is_connected_from_its_next_start() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.9.0.0/24", "mynet"]);
    world.run("web", &[]);
    world.ok(&["stop", "web"]);
    world.ok(&["network", "connect", "--ip", "10.9.0.77", "mynet", "web"]);
    world.ok(&["start", "web"]);
    assert_eq!(world.address("web", "mynet").to_string(), "10.9.0.77");
    ping(&world.host, "10.9.0.77", 64);
    ping(&world.host, &world.address("web", "bridge").to_string(), 64);
}

#[test]
fn several_networks_at_run() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.8.0.0/24", "zzz"]);
    world.ok(&["network", "create", "--subnet", "10.9.0.0/24", "--internal", "aaa"]);
    world.run("web", &["--network", "zzz", "--network", "aaa", "--ip", "10.8.0.50"]);
    assert_eq!(world.address("web", "zzz").to_string(), "10.8.0.50");
    let route = world.exec("web", &["ip", "route", "show", "default"]).ok();
    assert!(
        route.starts_with("default via 10.8.0.1 "),
        "not by the internal network: {route}"
    );
    for gateway in ["10.8.0.1", "10.9.0.1"] {
        ping(&world.inside("web"), gateway, 64);
    }
}
