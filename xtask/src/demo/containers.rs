//! The tutorial's first half: docker0, containers on it, `--link`.

use anyhow::Result;

use super::stage::{Stage, first};

/// What stands in for the tutorial's tomcat, on its port: any program of the host runs as a container.
const SERVICE: &str = "redis-server --port 8080 --protected-mode no";

pub fn host_alone(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("A host before its first container", "S01");
    stage
        .screen
        .note("The host is a network namespace of the demo's own, enp0s3 its network card.");
    let seen = stage.show_lines("ip addr", 40)?;
    let docker0 = device(&seen, "docker0");
    stage.prove(
        docker0.contains("inet 172.17.0.1/16 brd 172.17.255.255 scope global") && docker0.contains("link/ether 02:42:"),
        "docker0 is there before any container: 172.17.0.1/16, MAC 02:42:…",
    )?;
    stage.prove(
        docker0.lines().next().is_some_and(|flags| flags.contains("NO-CARRIER")),
        "and has no carrier while its network is empty",
    )?;
    stage.prove(
        device(&seen, "enp0s3").contains("inet 192.168.56.99/24"),
        "the host's own card is untouched",
    )
}

pub fn first_container(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("The first container", "S02 – S06");
    stage
        .screen
        .note("A Redis server on tomcat's port 8080 stands in for the tutorial's tomcat.");
    start(stage, "tomcat01", "")?;
    let inside = stage.show("netswitch exec tomcat01 ip addr")?;
    let eth0 = device(&inside, "eth0");
    stage.prove(
        eth0.contains("inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0"),
        "eth0 has the first free address, 172.17.0.2/16",
    )?;
    stage.prove(
        eth0.contains("link/ether 02:42:ac:11:00:02"),
        "its MAC is 02:42 and the four bytes of the address",
    )?;
    let devices = stage.show("ip -brief link show type veth")?;
    stage.prove(
        paired(eth0, &devices),
        "on the host, one more veth: the other end of that eth0",
    )?;
    let pinged = stage.show("ping -c 3 -i 0.2 172.17.0.2")?;
    stage.prove(
        answered(&pinged, 3),
        "the host reaches the container by its address, ttl 64",
    )
}

pub fn second_container(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("Two containers reach each other", "S06 – S10");
    start(stage, "tomcat02", "")?;
    let pinged = stage.show("netswitch exec tomcat02 ping -c 3 -i 0.2 172.17.0.2")?;
    stage.prove(
        answered(&pinged, 3),
        "tomcat01 answers tomcat02, ttl 64: one segment, no router between them",
    )?;
    let bridges = stage.show("ip link show type bridge")?;
    stage.prove(
        bridges.is_empty(),
        "and no kernel bridge either: eBPF programs on the veths forward the frames",
    )
}

pub fn default_network(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("The networks that exist from the start", "S18 – S21");
    let list = stage.show("netswitch network ls")?;
    let names: Vec<&str> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    stage.prove(names == ["bridge", "host", "none"], "bridge, host and none")?;
    let id = list
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or_default();
    let bridge = first(&stage.show_lines(&format!("netswitch network inspect {id}"), 60)?)?;
    let members = bridge["Containers"].as_object().map_or(0, serde_json::Map::len);
    stage.prove(
        bridge["Options"]["com.docker.network.bridge.name"] == "docker0" && members == 2,
        "bridge is docker0's network, and both containers are on it",
    )
}

pub fn link(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("--link: a name in /etc/hosts", "S13 – S17, S22");
    let pinged = stage.show_failing("netswitch exec tomcat01 ping -c 1 tomcat02")?;
    stage.prove(pinged.contains("tomcat02: "), "the default network has no names")?;
    start(stage, "tomcat03", "--link tomcat02 ")?;
    let hosts = stage.show("netswitch exec tomcat03 cat /etc/hosts")?;
    let linked = hosts.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.starts_with(&["172.17.0.3", "tomcat02"])
    });
    stage.prove(linked, "tomcat02 stands there with its address")?;
    let pinged = stage.show("netswitch exec tomcat03 ping -c 3 -i 0.2 tomcat02")?;
    let named = pinged.contains("64 bytes from tomcat02 (172.17.0.3)");
    stage.prove(answered(&pinged, 3) && named, "tomcat03 reaches tomcat02 by name")?;
    let pinged = stage.show_failing("netswitch exec tomcat02 ping -c 1 tomcat03")?;
    stage.prove(
        pinged.contains("tomcat03: "),
        "and not the other way round: a link is one-way",
    )
}

/// `netswitch run -d -P` of the stand-in service.
pub fn start(stage: &mut Stage, name: &str, options: &str) -> Result<()> {
    let id = stage.show(&format!(
        "netswitch run -d -P --expose 8080 {options}--name {name} -- {SERVICE}"
    ))?;
    let id = id.trim();
    anyhow::ensure!(
        id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "`netswitch run -d` answered {id:?}: a container's id has 64 hexadecimal digits"
    );
    Ok(())
}

/// All echo requests came back with the TTL that they were sent with.
pub fn answered(ping: &str, count: usize) -> bool {
    ping.lines().filter(|line| line.contains(" ttl=64 ")).count() == count && ping.contains(" 0% packet loss")
}

/// One device's paragraph of `ip addr`; empty if there is none of that name.
pub fn device<'a>(addresses: &'a str, name: &str) -> &'a str {
    let is_heading = |line: &str| !line.starts_with(char::is_whitespace);
    let is_it = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|word| word.trim_end_matches(':').split('@').next() == Some(name))
    };
    let mut start = None;
    let mut at = 0;
    for line in addresses.split_inclusive('\n') {
        if is_heading(line) {
            if let Some(start) = start {
                return &addresses[start..at];
            }
            if is_it(line) {
                start = Some(at);
            }
        }
        at += line.len();
    }
    start.map_or("", |start| &addresses[start..])
}

/// `eth0@ifN` inside and `veth…@ifM` outside name each other. In `ip -brief link` the index of a
/// device itself is not shown, so it is the container's that must be found there.
fn paired(eth0: &str, devices: &str) -> bool {
    let Some((index, _)) = eth0.split_once(':') else {
        return false;
    };
    let other_end = format!("@if{index} ");
    devices
        .lines()
        .any(|line| line.starts_with("veth") && line.contains(&other_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
91: eth0@if92: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 172.17.0.2/16 scope global eth0
";

    #[test]
    fn a_device_is_its_own_paragraph() {
        assert_eq!(device(ADDRESSES, "lo").lines().count(), 2);
        assert!(device(ADDRESSES, "eth0").contains("172.17.0.2/16"));
        assert_eq!(device(ADDRESSES, "eth1"), "");
    }

    #[test]
    fn ends_of_a_pair_name_each_other() {
        let eth0 = device(ADDRESSES, "eth0");
        assert!(paired(eth0, "vethabcdefg@if91 UP 00:00:00:00:00:01 <UP>\n"));
        assert!(!paired(eth0, "vethabcdefg@if9 UP 00:00:00:00:00:01 <UP>\n"));
    }

    #[test]
    fn a_lost_or_routed_reply_is_no_answer() {
        let reply = "64 bytes from 172.17.0.2: icmp_seq=1 ttl=64 time=0.05 ms\n";
        assert!(answered(
            &format!("{reply}1 packets transmitted, 1 received, 0% packet loss, time 0ms"),
            1
        ));
        assert!(!answered(
            &format!("{reply}2 packets transmitted, 1 received, 50% packet loss, time 9ms"),
            1
        ));
        let routed = reply.replace("64 time", "63 time");
        assert!(!answered(
            &format!("{routed}1 packets transmitted, 1 received, 0% packet loss, time 0ms"),
            1
        ));
    }
}
