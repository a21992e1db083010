//! Protocols without ports are the host's first: what its raw sockets, tunnels and transforms wait for from a peer, no
//! container gets, whoever spoke to the peer first.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tests::packet::ip;
use tests::world::{Capture, HOST, LAN, Namespace, PATIENCE, Raw, World, send_all, within};

use super::masquerade::mac;
use super::{address, drops_reach, dual};

/// Told apart by ports or identifiers, which are mapped: TCP, UDP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 4] = [6, 17, 132, 136];
/// ICMP of either family has tests of its own.
const MESSAGES: [u8; 2] = [1, 58];
/// No protocols but headers of IPv6 before one (RFC 7045).
const HEADERS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];
/// Nobody listens for IPv4's 0, and 255 is for sending alone.
const NOBODYS: [u8; 2] = [0, 255];

const OWN: [&str; 2] = ["10.66.0.2", "fd66::2"];
/// What each sender says; behind it stands the protocol's number.
const FROM_ONE: &[u8] = b"from the container";
const FROM_HOST: &[u8] = b"from the host itself";
const FROM_LAN: &[u8] = b"from the peer outside";

/// Every protocol without ports that somebody may listen for, over a family.
fn protocols(family: usize) -> Vec<u8> {
    (0..=255)
        .filter(|protocol| !WITH_PORTS.contains(protocol) && !MESSAGES.contains(protocol))
        .filter(|protocol| !NOBODYS.contains(protocol))
        .filter(|protocol| family == 0 || !HEADERS.contains(protocol))
        .collect()
}

struct Scene {
    world: World,
    one: Namespace,
    /// Whether the host has a socket for every protocol, and how many packets were refused for that.
    is_hosts: Cell<bool>,
    refused: Cell<u64>,
}

impl Scene {
    fn new() -> Self {
        let world = World::with_lan();
        dual(&world, "dual", 66, &["-o", "com.docker.network.bridge.name=br-dual"]);
        world.run("one", &["--net", "dual"]);
        let one = world.inside("one");
        Self {
            world,
            one,
            is_hosts: Cell::new(false),
            refused: Cell::new(0),
        }
    }

    /// A packet of each protocol from the container to the peer, as often as it is called. The peer gets them all, but
    /// for those that the host has begun to use.
    fn container_speaks(&self, family: usize) {
        let outside = Capture::start(self.world.lan(), "eth0");
        let macs = (self.world.mac("one", "dual"), mac(&self.world.host, "br-dual"));
        let packet = ip(macs, address(OWN[family]), address(LAN[family]));
        let frames: Vec<_> = protocols(family)
            .into_iter()
            .map(|protocol| packet.protocol(protocol, &[FROM_ONE, &[protocol]].concat()))
            .collect();
        send_all(&self.one, "eth0", frames.iter().map(Vec::as_slice));
        if self.is_hosts.get() {
            // none of them leaves
            let refused = u64::try_from(frames.len()).unwrap();
            self.refused.set(self.refused.get() + refused);
            return drops_reach(&self.world, "one", "dual", "host-protocol", self.refused.get());
        }
        // the last one has arrived: so have those before it
        outside.expect("the container's last packet", |captured| {
            captured.frame.ends_with(&[FROM_ONE, &[254]].concat())
        });
    }

    /// A raw socket of the host's for each protocol, which has spoken to the peer.
    fn host_speaks(&self, family: usize) -> Vec<(u8, Raw)> {
        let to = address(LAN[family]);
        self.is_hosts.set(true);
        let open = |protocol| {
            let socket = Raw::open(&self.world.host, to, protocol).unwrap();
            socket.send(to, &[FROM_HOST, &[protocol]].concat()).unwrap();
            (protocol, socket)
        };
        protocols(family).into_iter().map(open).collect()
    }

    /// A packet of each protocol from the peer to the host's address.
    fn peer_answers(&self, family: usize) {
        let macs = (mac(self.world.lan(), "eth0"), mac(&self.world.host, "up0"));
        let packet = ip(macs, address(LAN[family]), address(HOST[family]));
        let frames: Vec<_> = protocols(family)
            .into_iter()
            .map(|protocol| packet.protocol(protocol, &[FROM_LAN, &[protocol]].concat()))
            .collect();
        send_all(self.world.lan(), "eth0", frames.iter().map(Vec::as_slice));
    }
}

/// The protocols whose answers were heard inside.
fn heard_inside(capture: &Capture) -> BTreeSet<u8> {
    let captured = capture.so_far();
    let answers = captured.iter().filter_map(|captured| {
        let (protocol, rest) = captured.frame.split_last()?;
        (!captured.is_outgoing && rest.ends_with(FROM_LAN)).then_some(*protocol)
    });
    answers.collect()
}

/// Those whose answers the host's sockets have heard: all of them, or as many as there are in time.
fn heard_by_host(sockets: &[(u8, Raw)], patience: Duration) -> BTreeSet<u8> {
    let mut heard = BTreeSet::new();
    let _ = within(patience, || {
        for (protocol, socket) in sockets {
            let wanted = [FROM_LAN, &[*protocol]].concat();
            if socket.heard().contains(&wanted) {
                heard.insert(*protocol);
            }
        }
        if heard.len() == sockets.len() {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    heard
}

/// How long a host that gets nothing is waited for: its packets are there or they never come.
const SHORT: Duration = Duration::from_secs(3);

/// Numbers as ranges: `2-5, 7`.
fn ranges(numbers: &BTreeSet<u8>) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words = ranges.into_iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Who hears the peer's answers in this order of events, in both families; panics unless it is the host alone.
#[track_caller]
fn host_alone_hears_in(order: &str) {
    let wrong: Vec<String> = [0, 1]
        .into_iter()
        .filter_map(|family| host_alone_hears(family, order).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn host_alone_hears(family: usize, order: &str) -> Result<(), String> {
    let scene = Scene::new();
    let sockets = match order {
        "container first" => {
            scene.container_speaks(family);
            scene.host_speaks(family)
        }
        "host first" => {
            let sockets = scene.host_speaks(family);
            scene.container_speaks(family);
            sockets
        }
        _ => {
            let sockets = scene.host_speaks(family);
            scene.container_speaks(family);
            // and again, over a flow that may be there
            for (protocol, socket) in &sockets {
                let _ = socket.send(address(LAN[family]), &[FROM_HOST, &[*protocol]].concat());
            }
            scene.container_speaks(family);
            sockets
        }
    };
    let inside = Capture::start(&scene.one, "eth0");
    scene.peer_answers(family);
    let heard = heard_by_host(&sockets, SHORT);
    let taken = heard_inside(&inside);
    let all: BTreeSet<u8> = protocols(family).into_iter().collect();
    let missed: BTreeSet<u8> = all.difference(&heard).copied().collect();
    if missed.is_empty() && taken.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{order}, {}: of {} protocols the host missed {} ({}), the container heard {} ({})",
        LAN[family],
        all.len(),
        missed.len(),
        ranges(&missed),
        taken.len(),
        ranges(&taken)
    ))
}

#[test]
fn every_protocol_without_ports_is_the_hosts_after_a_container_has_used_it() {
    host_alone_hears_in("container first");
}

#[test]
fn every_protocol_without_ports_is_the_hosts_before_a_container_uses_it() {
    host_alone_hears_in("host first");
}

#[test]
fn every_protocol_without_ports_stays_the_hosts_while_both_use_it() {
    host_alone_hears_in("in turns");
}

/// Where the host has no use for a protocol, containers are answered.
#[test]
fn a_protocol_that_the_host_does_not_use_is_the_containers() {
    let scene = Scene::new();
    for family in [0, 1] {
        scene.container_speaks(family);
        let inside = Capture::start(&scene.one, "eth0");
        scene.peer_answers(family);
        let all: BTreeSet<u8> = protocols(family).into_iter().collect();
        let mut heard = BTreeSet::new();
        let result = within(PATIENCE, || {
            heard.extend(heard_inside(&inside));
            if heard == all { Ok(()) } else { Err(String::new()) }
        });
        let missed: Vec<_> = all.difference(&heard).collect();
        assert!(result.is_ok(), "family {family}: the container misses {missed:?}");
    }
}

/// A socket of the host's that is closed again holds nothing for ever.
#[test]
fn a_protocol_is_the_containers_again_once_the_host_has_done_with_it() {
    let scene = Scene::new();
    let family: IpAddr = address(LAN[0]);
    let socket = Raw::open(&scene.world.host, family, 253).unwrap();
    socket.send(family, &[FROM_HOST, &[253]].concat()).unwrap();
    drop(socket);
    let inside = Capture::start(&scene.one, "eth0");
    tests::world::eventually("the container is answered", || {
        scene.container_speaks(0);
        scene.peer_answers(0);
        if heard_inside(&inside).contains(&253) {
            Ok(())
        } else {
            Err("it hears nothing".to_owned())
        }
    });
}
