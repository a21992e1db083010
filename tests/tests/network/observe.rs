//! What an operator sees with the usual tools: tcpdump on both ends, interface counters.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::Value;
use tests::world::{Capture, Captured, Namespace, World, eventually};

use super::{address, ping};

fn is_echo(captured: &Captured, kind: u8) -> bool {
    captured.frame.len() > 34
        && captured.frame[12..14] == [8, 0]
        && captured.frame[23] == 1
        && captured.frame[34] == kind
}

#[test]
fn each_end_shows_what_passes_it() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    let (one, two) = (world.inside("one"), world.inside("two"));
    let outer = Capture::start(&world.host, &world.host_device("one", "eth0").name);
    let inner = Capture::start(&two, "eth0");
    let gateway = Capture::start(&world.host, "docker0");
    ping(&one, "172.17.0.3", 64);
    outer.expect("request at the host-side veth", |captured| {
        is_echo(captured, 8) && !captured.is_outgoing
    });
    inner.expect("request at eth0", |captured| {
        is_echo(captured, 8) && !captured.is_outgoing
    });
    inner.expect("answer at eth0", |captured| {
        is_echo(captured, 0) && captured.is_outgoing
    });
    assert!(
        !gateway.so_far().iter().any(|captured| is_echo(captured, 8)),
        "the host has nothing to do with it"
    );
    ping(&world.host, "172.17.0.2", 64);
    gateway.expect("the host's request", |captured| {
        is_echo(captured, 8) && captured.is_outgoing
    });
    gateway.expect("its answer", |captured| is_echo(captured, 0) && !captured.is_outgoing);
}

#[test]
fn tcpdump_works_on_a_host_side_veth() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    let device = world.host_device("one", "eth0").name;
    let mut tcpdump = world.host.command("timeout");
    tcpdump
        .args([
            &super::patience(),
            "tcpdump",
            "-n",
            "-l",
            "-c",
            "1",
            "-i",
            &device,
            "icmp",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut tcpdump = tcpdump.spawn().unwrap();
    let mut said = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
    assert!(
        said.any(|line| line.unwrap().starts_with("listening on")),
        "tcpdump listens"
    );
    ping(&world.inside("one"), "172.17.0.3", 64);
    let mut line = String::new();
    tcpdump.stdout.take().unwrap().read_to_string(&mut line).unwrap();
    assert!(line.contains("IP 172.17.0.2 > 172.17.0.3: ICMP echo request"), "{line}");
    tcpdump.wait().unwrap();
}

/// Received and sent packets of `eth0`.
fn packets(namespace: &Namespace) -> (u64, u64) {
    let text = namespace.sh("ip -s -j link show eth0").ok();
    let value: Value = serde_json::from_str(&text).unwrap();
    let count = |way: &str| value[0]["stats64"][way]["packets"].as_u64().unwrap();
    (count("rx"), count("tx"))
}

#[test]
fn the_containers_counters_rise_both_ways() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    let two = world.inside("two");
    let before = packets(&two);
    ping(&world.inside("one"), "172.17.0.3", 64);
    let after = packets(&two);
    assert!(
        after.0 >= before.0 + 3 && after.1 >= before.1 + 3,
        "{before:?} {after:?}"
    );
}

#[test]
fn the_peer_redirect_accounts_for_every_packet() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    let one = world.inside("one");
    one.enter(|| tests::world::echoes(&[address("172.17.0.3")])).unwrap();
    let before = world.path("peer");
    let flood = tests::world::Flood::start(&one, address("172.17.0.3"));
    eventually("a thousand packets", || match world.path("peer") - before {
        now if now > 1000 => Ok(()),
        now => Err(now.to_string()),
    });
    let (sent, lost) = flood.stop();
    assert_eq!(lost, 0);
    let count = world.path("peer") - before;
    // every request and every answer; the kernel may confirm a neighbour in between, which is answered, not forwarded
    assert_eq!(count, u64::from(sent) * 2);
}
