//! `netswitch monitor`: what is told, by whose name, and that nothing is where nobody listens.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;

use netswitch_common::address::Mac;
use serde_json::Value;
use tests::packet::ip;
use tests::world::{Listener, Service, Transport, World, send};

use super::{address, dual, ping};

/// A network with two containers, `one` and `two`.
fn pair() -> World {
    let world = World::new();
    dual(&world, "mynet", 7, &[]);
    world.run("one", &["--net", "mynet"]);
    world.run("two", &["--net", "mynet"]);
    world
}

#[test]
fn a_drop_is_told_with_container_and_reason() {
    let world = pair();
    let listener = Listener::start(&world, &["--drops"]);
    let one = world.inside("one");
    ping(&one, "10.7.0.3", 64);
    let macs = (Mac([2, 0, 0, 0, 0, 9]), world.mac("two", "mynet"));
    let frame = ip(macs, address("10.7.0.2"), address("10.7.0.3")).udp(1, 9, b"hello");
    send(&one, "eth0", &frame);
    listener.expect_words("drop mynet one two udp 10.7.0.2:1 -> 10.7.0.3:9 47 spoofed-mac (02:00:00:00:00:09");
    let macs = (world.mac("one", "mynet"), world.mac("two", "mynet"));
    let frame = ip(macs, address("fd7::9"), address("fd7::3")).udp(1, 9, b"hello");
    send(&one, "eth0", &frame);
    let line = listener.expect("a drop", |line| !line.contains("spoofed-mac"));
    let words: Vec<&str> = line.split_whitespace().skip(1).take(6).collect();
    assert_eq!(words, ["drop", "mynet", "one", "two", "udp", "[fd7::9]:1"], "{line}");
    assert!(line.contains("spoofed-address"), "and not the pings before: {line}");
}

#[test]
fn neighbours_and_new_flows_are_told_by_name() {
    let world = pair();
    world.ok(&["publish", "two", "8080:80"]);
    let listener = Listener::start(&world, &["--from", "one"]);
    let one = world.inside("one");
    ping(&one, "10.7.0.3", 64);
    listener.expect_words("peer mynet one two icmp 10.7.0.2 -> 10.7.0.3 98");
    let two = world.inside("two");
    let _service = Service::start(&two, Transport::Tcp, 80, "two");
    let stream = one.enter(|| TcpStream::connect("10.7.0.1:8080")).unwrap();
    listener.expect_words("open mynet one two tcp");
    drop(stream);
}

#[test]
fn json_names_its_fields() {
    let world = pair();
    let titles = Listener::start(&world, &[]);
    let mut command = world.command(&["monitor", "--to", "two", "--format", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let one = world.inside("one");
    let done = thread::scope(|scope| {
        let output = child.stdout.take().unwrap();
        let reader = scope.spawn(|| BufReader::new(output).read_line(&mut line).unwrap());
        while !reader.is_finished() {
            one.sh("ping -n -c 1 -W 1 10.7.0.3").ok();
        }
        reader.join().unwrap()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(done > 0);
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["verdict"], "peer", "{event}");
    assert_eq!(
        (&event["from"], &event["to"], &event["network"]),
        (&"one".into(), &"two".into(), &"mynet".into())
    );
    assert_eq!(
        (&event["source"], &event["protocol"]),
        (&"10.7.0.2".into(), &"icmp".into())
    );
    drop(titles);
}

#[test]
fn who_is_unknown_is_an_error() {
    let world = World::new();
    let output = world.cli(&["monitor", "--from", "nobody"]);
    assert_eq!(output.status, 1);
    assert_eq!(output.stderr, "Error: No such container: nobody\n");
}

#[test]
fn the_agent_ends_at_once_although_somebody_listens() {
    let world = pair();
    let mut listener = Listener::start(&world, &[]);
    world.stop_agent();
    assert_eq!(listener.wait().code(), Some(1));
    // one that was killed leaves nothing turned on, either: the next one's listeners hear of everything
    world.start_agent(&[]);
    let killed = Listener::start(&world, &[]);
    world.kill_agent();
    world.start_agent(&[]);
    drop(killed);
    let listener = Listener::start(&world, &[]);
    ping(&world.inside("one"), "10.7.0.3", 64);
    listener.expect_words("peer mynet one two icmp");
}
