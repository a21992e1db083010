//! What an operator sees with the usual tools: tcpdump on both ends, interface counters.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
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

#[test]
fn stats_count_what_a_container_received_and_sent() {
    let world = World::new();
    world.run("one", &[]);
    world.run("two", &[]);
    ping(&world.inside("one"), "172.17.0.3", 64);
    let stats = world.json(&["stats", "--format", "json"]);
    for name in ["one", "two"] {
        let mut endpoints = stats.as_array().unwrap().iter();
        let endpoint = endpoints.find(|endpoint| endpoint["container"] == name).unwrap();
        for way in ["received", "sent"] {
            let count = |unit: &str| endpoint[format!("{way}_{unit}")].as_u64().unwrap();
            assert!(
                count("packets") >= 3 && count("bytes") >= 3 * 98,
                "{name} {way}: {endpoint}"
            );
        }
        assert_eq!(endpoint["flows"], 0, "neighbours need none: {endpoint}");
    }
    let table = world.ok(&["stats"]);
    assert!(table.contains("CONTAINER   NETWORK   RECEIVED   PACKETS"), "{table}");
}

#[test]
fn stats_watch_shows_them_again_until_nobody_reads() {
    let world = World::new();
    let mut watch = world.command(&["stats", "--watch", "--format", "json"]);
    watch.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        assert!(serde_json::from_str::<Value>(&line).unwrap().is_array(), "{line}");
    }
    drop(lines);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn prometheus_finds_the_counters_by_name() {
    let world = World::with_arguments(&["--metrics", "127.0.0.1:9417"]);
    world.run("one", &[]);
    world.run("two", &[]);
    ping(&world.inside("one"), "172.17.0.3", 64);
    let stream = world
        .host
        .enter(|| std::net::TcpStream::connect("127.0.0.1:9417"))
        .unwrap();
    let mut answer = String::new();
    write!(&stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    (&stream).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    let sample = |name: &str| {
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        value.unwrap_or_else(|| panic!("{name}: {answer}"))
    };
    assert!(sample(r#"netswitch_container_sent_packets_total{container="one",network="bridge"}"#) >= 3);
    assert!(sample(r#"netswitch_packets_total{verdict="peer"}"#) >= 6);
    assert_eq!(sample("netswitch_missed_events_total"), 0);
}

#[test]
fn an_address_for_metrics_that_cannot_be_had_is_an_error() {
    let world = World::without_agent();
    let output = world.cli(&["agent", "--metrics", "here"]);
    assert_ne!(output.status, 0);
    assert!(
        output.stderr.contains("must be ADDRESS:PORT, such as 127.0.0.1:9417"),
        "{output:?}"
    );
    let _taken = world
        .host
        .enter(|| std::net::TcpListener::bind("127.0.0.1:9417"))
        .unwrap();
    let directories = world.directories();
    let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
    let output = world.cli(&[&["agent", "--metrics", "127.0.0.1:9417"], &directories[..]].concat());
    assert_eq!(output.status, 1, "{output:?}");
    let text = "metrics at 127.0.0.1:9417: Address already in use (os error 98)\n";
    assert!(output.stderr.ends_with(text), "{output:?}");
    world.purge();
}
