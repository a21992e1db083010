//! Rules of the host's that matter to containers: `netswitch doctor` names them.

use tests::world::{World, eventually};

/// What a shell line sets up is all that `doctor` finds, in these words, until it is gone.
#[track_caller]
fn finds(world: &World, line: &str, text: &str) {
    world.host.sh(line).ok();
    let doctor = world.cli(&["doctor"]);
    assert_eq!(doctor.status, 1, "{doctor:?}");
    let problem = format!("problem  firewall: {text}\n");
    assert!(doctor.stdout.ends_with(&problem), "{doctor:?}");
    world.host.sh("nft flush ruleset").ok();
    let doctor = world.ok(&["doctor"]);
    assert!(doctor.contains("ok       firewall: no rules in the way"), "{doctor}");
}

#[test]
fn a_host_without_rules_has_no_finding() {
    let world = World::with_lan();
    let doctor = world.ok(&["doctor"]);
    assert!(doctor.contains("ok       firewall: no rules in the way"), "{doctor}");
}

#[test]
fn rules_of_iptables_are_found() {
    let world = World::with_lan();
    finds(
        &world,
        "iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER && iptables -A DOCKER-USER -s 192.0.2.1 -j DROP",
        "iptables: chain DOCKER-USER has rules, which packets on the eBPF path do not meet\n\
         hint: agent --uplink-mode stack",
    );
    finds(
        &world,
        "ip6tables -P FORWARD DROP",
        "ip6tables: policy of chain FORWARD is DROP, which packets on the eBPF path do not meet\n\
         hint: agent --uplink-mode stack",
    );
}

#[test]
fn rules_of_nft_are_found() {
    let world = World::with_lan();
    finds(
        &world,
        "nft add table inet theirs && nft add chain inet theirs out '{ type filter hook forward priority 0 ; }' && \
         nft add rule inet theirs out iifname '{ docker0, up0 }' tcp dport 25 counter drop",
        "nft: chain out of inet theirs has rules, which packets on the eBPF path do not meet\n\
         hint: agent --uplink-mode stack",
    );
    finds(
        &world,
        "nft add table ip mine && nft add chain ip mine in '{ type filter hook input priority 0 ; policy drop ; }' && \
         nft add rule ip mine in iifname lo accept",
        "nft: policy of chain in of ip mine is DROP: \
         it has to accept what containers ask of the host",
    );
}

#[test]
fn a_start_warns_of_rules() {
    let mut world = World::without_agent();
    world.add_lan();
    world.host.sh("iptables -P FORWARD DROP").ok();
    world.start_agent(&[]);
    eventually("the agent warns", || {
        let log = world.log();
        let warns = log.contains("iptables: policy of chain FORWARD is DROP");
        warns.then_some(()).ok_or(log)
    });
}

#[test]
fn a_qdisc_on_an_endpoints_device_is_named_until_it_is_gone() {
    let world = World::with_lan();
    let id = world.run("web", &[]);
    world.run("db", &[]);
    let device = world.host_device("web", "eth0").name;
    for qdisc in [
        "tbf rate 1mbit burst 10kb latency 50ms",
        "netem delay 1ms",
        "fq_codel",
        "pfifo",
    ] {
        let add = world.host.sh(&format!("tc qdisc add dev {device} root {qdisc}"));
        if add.status != 0 {
            // not every kernel has every discipline; each has one of these
            assert!(!qdisc.starts_with("pfifo"), "{add:?}");
            continue;
        }
        let kind = qdisc.split(' ').next().unwrap();
        let doctor = world.cli(&["doctor"]);
        let problem = format!(
            "problem  shaping: {device} has qdisc {kind}, which what reaches eth0 of container web passes by\n\
             hint: netswitch update --rate RATE CONTAINER, or a qdisc inside the container\n"
        );
        assert!(
            doctor.status == 1 && doctor.stdout.contains(&problem),
            "{id}: {doctor:?}"
        );
        world.host.sh(&format!("tc qdisc del dev {device} root")).ok();
        let doctor = world.ok(&["doctor"]);
        assert!(
            doctor.contains("ok       shaping: no qdisc on an endpoint's device"),
            "{doctor}"
        );
    }
}
