//! Rules, sysctls and devices of the host are as before, except our own (DESIGN: zero footprint).

use std::collections::BTreeSet;

use tests::world::{Dial, HOST, LAN, Service, Transport, World, eventually};

use super::dual;

/// Devices of ours, as the middle of a sysctl's name.
const OURS: [&str; 5] = [".docker0.", ".br-", ".sw-", ".veth", ".nsw0."];

/// What other tools see of the host: rules as text, network sysctls by line.
fn seen(world: &World) -> (String, BTreeSet<String>) {
    let rules = world
        .host
        .sh("nft list ruleset && iptables-save && ip6tables-save && ip rule && ip -6 rule && tc qdisc show dev up0")
        .ok();
    // iptables-save says when it ran
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    let sysctls = world.host.sh("sysctl -a 2>/dev/null | grep '^net\\.'").ok();
    (rules.join("\n"), sysctls.lines().map(str::to_owned).collect())
}

fn is_ours(line: &str) -> bool {
    OURS.iter().any(|device| line.contains(device)) || line.starts_with("net.ipv4.ip_local_reserved_ports")
}

#[test]
fn nothing_of_the_host_is_changed_and_a_purge_leaves_nothing() {
    let mut world = World::without_agent();
    world.add_lan();
    world
        .host
        .sh(
            "nft add table inet theirs && nft add chain inet theirs input '{ type filter hook input priority 0 ; }' && \
             nft add rule inet theirs input tcp dport 9 drop && iptables -N DOCKER-USER && \
             iptables -A DOCKER-USER -s 192.0.2.1 -j DROP && \
             echo 45000,47000-47010 > /proc/sys/net/ipv4/ip_local_reserved_ports",
        )
        .ok();
    let (snapshot, before) = (world.snapshot(), seen(&world));
    world.start_agent(&[]);
    dual(&world, "dual", 66, &[]);
    dual(&world, "inner", 67, &["--internal"]);
    let ports = [
        "-p",
        "8080:80",
        "-p",
        "50000-50300:1-301",
        "-p",
        "127.0.0.1:8081:80",
        "-P",
        "--expose",
        "53/udp",
    ];
    world.run("web", &[&["--net", "dual"], &ports[..]].concat());
    world.run("plain", &["-p", "8082:80"]);
    world.run("quiet", &["--net", "inner", "-p", "8083:80,from=192.168.56.0/24"]);
    world.ok(&["publish", "plain", "8084:80"]);
    let _services = ["web", "plain", "quiet"].map(|name| Service::start(&world.inside(name), Transport::Tcp, 80, name));
    let _lan = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    for (port, to) in [(8080, HOST[1]), (8082, HOST[0]), (8083, HOST[0]), (8084, HOST[0])] {
        Dial::tcp(to, port).answered(world.lan());
        Dial::tcp(to, port).answered(&world.host);
    }
    Dial::tcp(LAN[0], 7).answered(&world.inside("plain"));
    Dial::tcp(LAN[1], 7).answered(&world.inside("web"));

    let during = seen(&world);
    assert_eq!(during.0, before.0, "rules while it runs");
    let changed: Vec<_> = during.1.symmetric_difference(&before.1).collect();
    let foreign: Vec<_> = changed.iter().filter(|line| !is_ours(line)).collect();
    assert!(foreign.is_empty(), "sysctls of others: {foreign:#?}");
    let reserved = world.host.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").ok();
    assert!(
        reserved.contains("45000") && reserved.contains("47000-47010"),
        "{reserved}"
    );

    world.kill_agent();
    world.purge().ok();
    // the kernel takes devices away when it finds the time
    eventually("the host is as it was", || {
        let now = seen(&world);
        let difference: Vec<_> = now.1.symmetric_difference(&before.1).collect();
        if now.0 == before.0 && difference.is_empty() {
            Ok(())
        } else {
            Err(format!("{difference:#?}\n{}", now.0))
        }
    });
    assert_eq!(world.snapshot().difference(&snapshot), None);
}

#[test]
fn case_33_a_flushed_ruleset_changes_nothing() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80"]);
    let _service = Service::start_v4(&world.inside("web"), Transport::Tcp, 80, "web");
    Dial::tcp(HOST[0], 8080).answered(world.lan());
    world.host.sh("nft flush ruleset").ok();
    Dial::tcp(HOST[0], 8080).answered(world.lan());
    world.lan().sh("ip route add 172.17.0.0/16 via 192.168.56.99").ok();
    Dial::tcp("172.17.0.2", 80).unanswered(world.lan());
}
