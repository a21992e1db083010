//! `netswitch why`: the verdict of the switch in words, by name, and nothing changed.

use std::collections::BTreeMap;

use tests::world::{Dial, Object, Service, Transport, World, objects};

use super::dual;

/// Asks, and must be told this; the status says whether anything is dropped.
#[track_caller]
fn says(world: &World, from: &str, to: &str, lines: &[&str]) {
    let output = world.cli(&["why", from, to]);
    assert_eq!(output.stderr, "", "{from} {to}");
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), lines, "{from} {to}");
    let dropped = lines.iter().any(|line| line.starts_with("dropped "));
    assert_eq!(output.status, i32::from(dropped), "{from} {to}");
}

/// What packets change beside counters, which the host's own chatter moves, too.
fn flows(world: &World) -> BTreeMap<String, Object> {
    let mut objects = objects(&world.bpffs);
    let names = ["/FLOWS", "/RECORDS", "/QUOTAS", "/FRAGMENTS", "/PARKED"];
    objects.retain(|path, _| names.iter().any(|name| path.ends_with(name)));
    assert_eq!(objects.len(), names.len());
    objects
}

#[test]
fn neighbours_networks_and_rules() {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    dual(&world, "back", 8, &[]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "front"]);
    world.run("far", &["--net", "back"]);
    says(
        &world,
        "web",
        "db:80",
        &[
            "allowed: tcp 10.7.0.2 -> 10.7.0.3:80 on front, to db, not translated",
            "allowed: tcp fd7::2 -> [fd7::3]:80 on front, to db, not translated",
        ],
    );
    says(
        &world,
        "web",
        "far",
        &[
            "dropped other-network: icmp 10.7.0.2 -> 10.8.0.2 on front",
            "dropped other-network: icmp fd7::2 -> fd8::2 on front",
        ],
    );
    says(
        &world,
        "web",
        "fd8::1",
        &["allowed: icmp fd7::2 -> fd8::1 on front, to (host), not translated"],
    );
    says(
        &world,
        "web",
        "10.7.0.9:80/udp",
        &["dropped no-such-neighbour: udp 10.7.0.2 -> 10.7.0.9:80 on front"],
    );
    says(
        &world,
        "10.7.0.2",
        "10.7.0.1",
        &["allowed: icmp 10.7.0.2 -> 10.7.0.1 on front, to (host), not translated"],
    );
    says(
        &world,
        "host",
        "[fd7::2]:80",
        &["allowed: tcp fd7::1 -> [fd7::2]:80 on front, to web, not translated"],
    );
    world.ok(&["policy", "default", "deny", "db", "--direction", "in"]);
    let allow = world.ok(&["policy", "allow", "web", "db:80"]);
    let across = world.ok(&["policy", "allow", "web", "far/icmp"]);
    let (allow, across) = (allow.trim(), across.trim());
    says(
        &world,
        "web",
        "10.7.0.3:80",
        &[&format!(
            "allowed: tcp 10.7.0.2 -> 10.7.0.3:80 on front, to db, not translated; rule {allow}: allow web db:80/tcp"
        )],
    );
    says(
        &world,
        "web",
        "10.7.0.3:81",
        &["dropped policy-denied: tcp 10.7.0.2 -> 10.7.0.3:81 on front; no rule allows it (default deny)"],
    );
    says(
        &world,
        "web",
        "10.8.0.2",
        &[&format!(
            "allowed: icmp 10.7.0.2 -> 10.8.0.2 on front, to far, not translated; rule {across}: allow web far/icmp"
        )],
    );
    world.ok(&["policy", "rm", allow]);
    let deny = world.ok(&["policy", "deny", "web", "db:80-90"]);
    let deny = deny.trim();
    says(
        &world,
        "web",
        "10.7.0.3:80",
        &[&format!(
            "dropped policy-denied: tcp 10.7.0.2 -> 10.7.0.3:80 on front; rule {deny}: deny web db:80-90/tcp"
        )],
    );
    let answer = world.cli(&["why", "--format", "json", "web", "10.7.0.3:80"]);
    let row: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(
        (answer.status, &row[0]["allowed"], &row[0]["reason"]),
        (1, &false.into(), &"policy-denied".into())
    );
    assert_eq!(row[0]["rule"]["number"].to_string(), deny);
}

#[test]
fn what_isolation_closes() {
    let world = World::with_lan();
    let icc = "com.docker.network.bridge.enable_icc=false";
    dual(&world, "quiet", 4, &["-o", icc]);
    dual(&world, "inner", 5, &["--internal"]);
    for (name, network) in [("one", "quiet"), ("two", "quiet"), ("three", "inner")] {
        world.run(name, &["--net", network]);
    }
    says(
        &world,
        "one",
        "two:80",
        &[
            "dropped icc-disabled: tcp 10.4.0.2 -> 10.4.0.3:80 on quiet",
            "dropped icc-disabled: tcp fd4::2 -> [fd4::3]:80 on quiet",
        ],
    );
    says(
        &world,
        "three",
        "192.168.56.1:80",
        &["dropped internal-network: tcp 10.5.0.2 -> 192.168.56.1:80 on inner"],
    );
}

#[test]
fn what_closes_the_host() {
    let world = World::with_lan();
    let [v4, v6] = ["4", "6"].map(|family| format!("com.docker.network.bridge.gateway_mode_ipv{family}=isolated"));
    dual(
        &world,
        "dns",
        4,
        &["-o", "netswitch.host_access=dns", "-o", "netswitch.metadata=deny"],
    );
    dual(&world, "off", 5, &["--internal", "-o", &v4, "-o", &v6]);
    world.run("one", &["--net", "dns"]);
    world.run("two", &["--net", "off"]);
    let closed = "the host is closed to it (netswitch.host_access, gateway mode isolated, or --egress)";
    says(
        &world,
        "one",
        "host:22",
        &[
            &format!("dropped host-access: tcp 10.4.0.2 -> 10.4.0.1:22 on dns; {closed}"),
            &format!("dropped host-access: tcp fd4::2 -> [fd4::1]:22 on dns; {closed}"),
        ],
    );
    says(
        &world,
        "two",
        "host",
        &[
            &format!("dropped host-access: icmp 10.5.0.2 -> 192.168.56.99 on off; {closed}"),
            &format!("dropped host-access: icmp fd5::2 -> 2001:db8:56::2 on off; {closed}"),
        ],
    );
    says(
        &world,
        "one",
        "10.4.0.1:53/udp",
        &["allowed: udp 10.4.0.2 -> 10.4.0.1:53 on dns, to (host), translated"],
    );
    says(
        &world,
        "one",
        "169.254.169.254:80",
        &[
            "dropped metadata: tcp 10.4.0.2 -> 169.254.169.254:80 on dns; metadata services are closed to it \
             (netswitch.metadata, or --egress)",
        ],
    );
}

#[test]
fn to_the_world_and_from_it() {
    let world = World::with_lan();
    dual(&world, "front", 7, &[]);
    world.run("web", &["--net", "front", "-p", "8080:80"]);
    let _service = Service::start(&world.inside("web"), Transport::Tcp, 80, "web");
    Dial::tcp("192.168.56.99", 8080).answered(world.lan());
    let before = (world.snapshot(), flows(&world));
    says(
        &world,
        "web",
        "192.168.56.1:443",
        &["allowed: tcp 10.7.0.2 -> 192.168.56.1:443 on front, to (world) by up0, translated"],
    );
    says(
        &world,
        "web",
        "world/icmp",
        &[
            "dropped no-route: icmp 10.7.0.2 -> 192.0.2.1 on front",
            "dropped no-route: icmp fd7::2 -> 2001:db8::1 on front",
        ],
    );
    says(
        &world,
        "world",
        "web:80",
        &[
            "allowed: tcp 192.0.2.1 -> 192.168.56.99:8080, to web by up0, translated",
            "allowed: tcp 2001:db8::1 -> [2001:db8:56::2]:8080, to web by up0, translated",
        ],
    );
    says(
        &world,
        "192.168.56.1",
        "web:81",
        &["dropped not-published: tcp 192.168.56.1 -> 10.7.0.2:81 by up0"],
    );
    says(
        &world,
        "192.168.56.1",
        "10.7.0.9",
        &["dropped not-published: icmp 192.168.56.1 -> 10.7.0.9 by up0"],
    );
    says(
        &world,
        "192.168.56.1",
        "host:22",
        &["allowed: tcp 192.168.56.1 -> 192.168.56.99:22, to (host) by up0, not translated"],
    );
    assert_eq!(flows(&world), before.1);
    assert_eq!(world.snapshot().difference(&before.0), None);
    for reason in ["no-route", "not-published"] {
        assert_eq!(world.drops("web", "front", reason), 0);
    }
}

#[test]
fn what_cannot_be_answered() {
    let world = World::new();
    world.run("web", &[]);
    world.run("none", &["--net", "none"]);
    let refused = |from: &str, to: &str, text: &str| world.refuses(&["why", from, to], 125, text);
    refused("web", "nobody", "Error response from daemon: No such container: nobody");
    refused("web", "web:70000", "\"web:70000\" names no port from 1 to 65535");
    refused(
        "web",
        "none",
        "Error response from daemon: container none is on no network",
    );
    refused(
        "host",
        "world",
        "Error response from daemon: no packet between these two passes the switch",
    );
    refused(
        "web",
        "fd00::9",
        "Error response from daemon: these two have no address family in common",
    );
    refused("world", "web:80", "Error response from daemon: the host has no uplink");
}
