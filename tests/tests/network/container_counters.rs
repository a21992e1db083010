//! What a container receives is counted where those look who watch containers: in `/metrics`, under the names that
//! container dashboards ask for (cAdvisor's). The host's end of the container's device counts nothing of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tests::world::{LAN, World, eventually, transfer};

use super::{address, drops_reach, dual, no_ping};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:9417"];
const SIZE: u64 = 4 << 20;

/// `GET /metrics`.
fn metrics(world: &World) -> String {
    let stream = world.host.enter(|| TcpStream::connect(METRICS[1])).unwrap();
    let mut answer = String::new();
    write!(&stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    (&stream).read_to_string(&mut answer).unwrap();
    answer
}

/// The samples of `container_network_NAME_total`: labels and value.
fn samples(text: &str, name: &str) -> Vec<(String, u64)> {
    let family = format!("container_network_{name}_total{{");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&family));
    let sample = |line: &str| {
        let (labels, value) = line.rsplit_once("} ").unwrap();
        (labels.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

/// The sample of an interface of container `one` reaches a number.
#[track_caller]
fn reaches(world: &World, name: &str, interface: &str, least: u64) {
    let one = world.json(&["inspect", "one"]);
    let id = one[0]["Id"].as_str().unwrap();
    let wanted = format!(r#"id="{id}",interface="{interface}",name="one""#);
    eventually(name, || {
        let samples = samples(&metrics(world), name);
        match samples.iter().find(|(labels, _)| *labels == wanted) {
            Some((_, count)) if *count >= least => Ok(()),
            _ => Err(format!("{wanted} is not {least} in {samples:?}")),
        }
    });
}

#[test]
fn dashboards_see_what_containers_receive_and_send() {
    let world = World::with_lan_and(&METRICS);
    dual(&world, "dual", 66, &[]);
    for name in ["one", "two"] {
        world.run(name, &["--net", "dual"]);
    }
    let (one, two) = (world.inside("one"), world.inside("two"));
    let size = usize::try_from(SIZE).unwrap();
    transfer(&one, world.lan(), address(LAN[0]), size);
    transfer(&two, &one, address("fd66::2"), size);
    for way in ["receive", "transmit"] {
        reaches(&world, &format!("{way}_bytes"), "eth0", SIZE);
        reaches(&world, &format!("{way}_packets"), "eth0", 100);
        reaches(&world, &format!("{way}_packets_dropped"), "eth0", 0);
        reaches(&world, &format!("{way}_errors"), "eth0", 0);
    }
}

#[test]
fn dashboards_see_what_is_dropped_of_a_container_s_packets() {
    let world = World::with_arguments(&METRICS);
    world.ok(&["network", "create", "other"]);
    world.run("one", &[]);
    world.run("two", &["--net", "other"]);
    no_ping(&world.inside("one"), &world.address("two", "other").to_string());
    drops_reach(&world, "one", "bridge", "other-network", 1);
    reaches(&world, "transmit_packets_dropped", "eth0", 1);
}

#[test]
fn every_interface_has_a_sample_until_its_container_is_gone() {
    let world = World::with_arguments(&METRICS);
    world.ok(&["network", "create", "second"]);
    world.run("one", &[]);
    world.ok(&["network", "connect", "second", "one"]);
    for interface in ["eth0", "eth1"] {
        reaches(&world, "receive_bytes", interface, 0);
    }
    world.ok(&["rm", "-f", "one"]);
    eventually("it has gone from /metrics", || {
        match samples(&metrics(&world), "receive_bytes").as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
}
