//! What a container receives is counted where those look who watch containers: at its device on the host, or in
//! `/metrics` under the names that container dashboards ask for (cAdvisor's).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tests::world::{LAN, World, eventually, transfer};

use super::{address, dual};

const SIZE: usize = 4 << 20;

/// `GET /metrics`.
fn metrics(world: &World) -> String {
    let stream = world.host.enter(|| TcpStream::connect("127.0.0.1:9417")).unwrap();
    let mut answer = String::new();
    write!(&stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    (&stream).read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a container's sample, if there is one.
fn sample(text: &str, name: &str, container: &str) -> Option<u64> {
    let wanted = format!("name=\"{container}\"");
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let line = lines.find(|line| line.contains(&wanted) && line.contains("interface=\"eth0\""))?;
    line.rsplit_once("} ")?.1.trim().parse().ok()
}

/// What the host's end of a container's device says that it has sent and received, in bytes.
fn device(world: &World, container: &str) -> (u64, u64) {
    let name = world.host_device(container, "eth0").name;
    let text = world.host.sh(&format!("ip -s -j link show {name}")).ok();
    let said: Value = serde_json::from_str(&text).unwrap();
    let count = |way: &str| said[0]["stats64"][way]["bytes"].as_u64().unwrap();
    (count("tx"), count("rx"))
}

#[test]
fn dashboards_see_what_containers_receive() {
    let world = World::with_lan_and(&["--metrics", "127.0.0.1:9417"]);
    dual(&world, "dual", 66, &[]);
    for name in ["one", "two"] {
        world.run(name, &["--net", "dual"]);
    }
    let one = world.inside("one");
    transfer(&one, world.lan(), address(LAN[0]), SIZE);
    transfer(&world.inside("two"), &one, address("fd66::2"), SIZE);
    let (sent, received) = device(&world, "one");
    let least = 2 * SIZE as u64;
    assert!(received >= least, "the device has received {received}");
    let mut missing = Vec::new();
    for (name, least) in [
        ("container_network_receive_bytes_total", least),
        ("container_network_transmit_bytes_total", least),
        ("container_network_receive_packets_total", 100),
        ("container_network_transmit_packets_total", 100),
        ("container_network_receive_packets_dropped_total", 0),
        ("container_network_transmit_packets_dropped_total", 0),
        ("container_network_receive_errors_total", 0),
        ("container_network_transmit_errors_total", 0),
    ] {
        let found = eventually_at_least(&world, name, least);
        if let Err(found) = found {
            missing.push(format!("{name}: {found:?}"));
        }
    }
    assert!(
        missing.is_empty(),
        "the host's end has sent {sent} bytes into a container that received {least}; /metrics: {missing:#?}"
    );
}

/// Whether a sample reaches a number; else what it is.
fn eventually_at_least(world: &World, name: &str, least: u64) -> Result<(), Option<u64>> {
    let found = sample(&metrics(world), name, "one");
    match found {
        Some(count) if count >= least => Ok(()),
        None => Err(None),
        Some(_) => {
            eventually(name, || match sample(&metrics(world), name, "one") {
                Some(count) if count >= least => Ok(()),
                other => Err(format!("{other:?}")),
            });
            Ok(())
        }
    }
}
