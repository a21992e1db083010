//! Containers on the default network, seen from inside, from the host and from each other.

use tests::world::{World, interfaces};

use super::ping;

#[test]
fn s02_run_prints_a_full_id_and_assigns_an_address() {
    let world = World::new();
    let id = world.run("tomcat01", &[]);
    assert_eq!(id.len(), 64);
    assert!(id.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')), "{id}");
    assert_eq!(world.inspect("tomcat01")["Id"], id.as_str());
    assert_eq!(world.address("tomcat01", "bridge").to_string(), "172.17.0.2");
}

#[test]
fn s03_s04_a_container_sees_lo_and_eth0_with_a_mac_that_tells_its_address() {
    let world = World::new();
    world.run("tomcat01", &[]);
    let said = world.exec("tomcat01", &["ip", "addr"]).ok();
    let lines: Vec<Vec<&str>> = said.lines().map(super::words).collect();
    let heads: Vec<_> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(heads.len(), 2, "{said}");
    assert!(heads[0].starts_with("1: lo: <LOOPBACK,UP,LOWER_UP>"), "{said}");
    let from = lines.iter().position(|line| line[1].starts_with("eth0@if")).unwrap();
    assert_eq!(
        lines[from][2..9],
        [
            "<BROADCAST,MULTICAST,UP,LOWER_UP>",
            "mtu",
            "1500",
            "qdisc",
            "noqueue",
            "state",
            "UP"
        ]
    );
    let ether = "link/ether 02:42:ac:11:00:02 brd ff:ff:ff:ff:ff:ff link-netnsid 0";
    assert_eq!(lines[from + 1], super::words(ether));
    let inet = "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0";
    assert_eq!(lines[from + 2], super::words(inet));
    assert!(!said.contains("inet6"), "no IPv6 on a network without it:\n{said}");
}

#[test]
fn s05_s08_host_and_peer_answer_with_ttl_64() {
    let world = World::new();
    world.run("tomcat01", &[]);
    world.run("tomcat02", &[]);
    ping(&world.host, "172.17.0.2", 64);
    let said = world
        .exec("tomcat02", &["ping", "-c", "1", "-W", "5", "172.17.0.2"])
        .ok();
    assert!(
        said.contains("64 bytes from 172.17.0.2: icmp_seq=1 ttl=64 time="),
        "{said}"
    );
    ping(&world.inside("tomcat01"), "172.17.0.3", 64);
    ping(&world.inside("tomcat01"), "172.17.0.1", 64);
}

#[test]
fn s06_s10_each_container_has_one_host_side_veth_that_goes_with_it() {
    let world = World::new();
    let outer = || {
        let devices = interfaces(&world.host).into_iter().map(|found| found.name);
        devices.filter(|name| name.starts_with("veth")).collect::<Vec<_>>()
    };
    assert_eq!(outer(), [""; 0]);
    world.run("tomcat01", &[]);
    assert_eq!(outer().len(), 1);
    world.run("tomcat02", &[]);
    assert_eq!(outer().len(), 2);
    // finding it checks that the indexes pair up: eth0@ifM, vethX@ifN
    let devices = ["tomcat01", "tomcat02"].map(|name| world.host_device(name, "eth0").name);
    assert_ne!(devices[0], devices[1]);
    assert_eq!(world.ok(&["rm", "-f", "tomcat01"]), "tomcat01");
    assert_eq!(outer(), devices[1..]);
    world.ok(&["rm", "-f", "tomcat02"]);
    assert_eq!(outer(), [""; 0]);
}

#[test]
fn what_a_container_had_goes_with_it() {
    let world = World::new();
    world.ok(&["network", "create", "--ipv6", "mynet"]);
    world.run("first", &["--net", "mynet"]);
    world.ok(&["rm", "-f", "first"]);
    let before = world.snapshot();
    world.run("web", &["--net", "mynet"]);
    ping(&world.inside("web"), &world.field("web", "mynet", "Gateway"), 64);
    world.ok(&["rm", "-f", "web"]);
    assert_eq!(
        world.snapshot().difference(&before),
        None,
        "veth, address, neighbours and map entries"
    );
}

#[test]
fn s22_s23_a_link_writes_hosts_and_nothing_else() {
    let world = World::new();
    world.run("tomcat01", &[]);
    let other = world.run("tomcat02", &[]);
    let own = world.run("tomcat03", &["--link", "tomcat02"]);
    let expected = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n\
         172.17.0.3\ttomcat02 {}\n172.17.0.4\t{}\n",
        &other[..12],
        &own[..12]
    );
    assert_eq!(world.exec("tomcat03", &["cat", "/etc/hosts"]).stdout, expected);
    let other = world.exec("tomcat02", &["cat", "/etc/hosts"]).ok();
    assert!(!other.contains("tomcat03"), "a link goes one way:\n{other}");
    let said = world.exec("tomcat03", &["ping", "-c", "1", "-W", "5", "tomcat02"]).ok();
    assert!(said.contains("PING tomcat02 (172.17.0.3)"), "{said}");
    assert!(
        world.exec("tomcat03", &["hostname"]).ok() == own[..12],
        "the hostname is the short id"
    );
}
