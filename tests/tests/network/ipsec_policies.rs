//! `IPsec` policies of the host: what one covers is never seen in the clear on the wire, out or in; what none covers
//! passes. A plain Linux router says what each covers.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tests::site::{CONTAINERS, FAMILIES, Gate, Kind, SUBNET, Site};
use tests::world::{Capture, Dial, Namespace, Transport, any, within};

use super::address;

/// How a datagram in the clear is known.
const SECRET: &[u8] = b"plainly readable";
const COUNT: usize = 5;
const PORT: u16 = 7000;

/// Policies by `ip xfrm policy`, for what containers send. HOST, SUBNET, ONE, GOAL as they say; the tunnel's keys are
/// nowhere, so that nothing that is covered can leave.
const OUT: [(&str, &str); 6] = [
    ("by the host's address", "src HOST dst GOAL dir out TUNNEL"),
    ("by the containers' subnet", "src SUBNET dst GOAL dir out TUNNEL"),
    ("by the container's address", "src ONE dst GOAL dir out TUNNEL"),
    (
        "by protocol and port",
        "src EVERY dst EVERY proto udp dport 7000 dir out TUNNEL",
    ),
    ("that blocks", "src EVERY dst GOAL dir out action block"),
    ("that blocks the subnet", "src SUBNET dst GOAL dir out action block"),
];

/// And for what comes to a published port.
const IN: [(&str, &str); 3] = [
    ("by the host's address", "src PEER dst HOST dir fwd TUNNEL"),
    ("by protocol", "src PEER dst EVERY proto udp dir fwd TUNNEL"),
    ("that blocks", "src PEER dst EVERY dir fwd action block"),
];

struct Scene {
    site: Site,
}

impl Scene {
    fn new(gate: &Gate) -> Self {
        let site = Site::new(gate, &[Kind::Veth], |host, uplinks| uplinks[0].lead(host));
        Self { site }
    }

    fn policy(&self, what: &str, policy: &str, family: usize) {
        let uplink = &self.site.uplinks[0];
        let (host, peer) = (&uplink.host[family], &uplink.peer[family]);
        let policy = policy
            .replace("HOST", host)
            .replace("PEER", peer)
            .replace("SUBNET", SUBNET[family])
            .replace("ONE", CONTAINERS[0][family])
            .replace("EVERY", ["0.0.0.0/0", "::/0"][family])
            .replace("GOAL", &uplink.target[family]);
        let direction = if policy.contains("dir out") {
            format!("tmpl src {host} dst {peer}")
        } else {
            format!("tmpl src {peer} dst {host}")
        };
        let tunnel = format!("{direction} proto esp mode tunnel");
        let policy = match what {
            "add" => policy.replace("TUNNEL", &tunnel),
            _ => policy.replace("TUNNEL", "").replace("action block", ""),
        };
        let line = format!("ip xfrm policy {what} {policy}");
        self.site.host().sh(&line).ok();
    }

    /// A container's socket, and the machine's.
    fn sender(&self, family: usize) -> UdpSocket {
        let any = any(address(CONTAINERS[0][family]));
        bound(self.site.gateway.one(), (any, 0).into())
    }

    /// How many of five datagrams to a goal are seen in the clear on the wire.
    fn seen(&self, sender: &UdpSocket, goal: IpAddr) -> usize {
        let capture = Capture::start(&self.site.uplinks[0].machine, "up0");
        for _ in 0..COUNT {
            // a refusal is one way to obey
            let _ = sender.send_to(SECRET, (goal, PORT));
        }
        let captured = capture.during(Duration::from_millis(300));
        let clear = captured.iter().filter(|captured| !captured.is_outgoing);
        clear.filter(|captured| contains(&captured.frame)).count()
    }

    /// How many of five datagrams to the published port reach the container.
    fn taken(&self, sender: &UdpSocket, inside: &UdpSocket, family: usize) -> usize {
        let to = (address(&self.site.uplinks[0].host[family]), 8081);
        for _ in 0..COUNT {
            let _ = sender.send_to(SECRET, to);
        }
        let mut taken = 0;
        while inside.recv(&mut [0; 100]).is_ok() {
            taken += 1;
        }
        taken
    }

    fn goal(&self, family: usize) -> IpAddr {
        address(&self.site.uplinks[0].target[family])
    }

    /// Where no policy leads.
    fn elsewhere(&self, family: usize) -> IpAddr {
        address(&self.site.uplinks[0].far[family])
    }
}

fn bound(namespace: &Namespace, at: SocketAddr) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind(at)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

fn contains(frame: &[u8]) -> bool {
    frame.windows(SECRET.len()).any(|window| window == SECRET)
}

/// A policy may take a moment to be heard of; from then on nothing passes.
fn settled(count: impl Fn() -> usize) -> usize {
    let _ = within(Duration::from_secs(10), || match count() {
        0 => Ok(()),
        some => Err(some.to_string()),
    });
    count()
}

/// What is wrong behind a gate.
fn failures(gate: &Gate) -> Vec<String> {
    let scene = Scene::new(gate);
    let mut wrong = Vec::new();
    let mut check = |what: String, count: usize, expected: usize| {
        if count != expected {
            wrong.push(format!("{what}: {count} of {COUNT} in the clear, not {expected}"));
        }
    };
    for family in [0, 1] {
        let version = ["IPv4", "IPv6"][family];
        let (goal, elsewhere) = (scene.goal(family), scene.elsewhere(family));
        let open = scene.sender(family);
        check(format!("{version}, no policy"), scene.seen(&open, goal), COUNT);
        for (name, policy) in OUT {
            scene.policy("add", policy, family);
            let new = scene.sender(family);
            check(
                format!("{version}, {name}, new flow"),
                settled(|| scene.seen(&new, goal)),
                0,
            );
            check(
                format!("{version}, {name}, open flow"),
                settled(|| scene.seen(&open, goal)),
                0,
            );
            if policy.contains("GOAL") {
                let passes = scene.seen(&scene.sender(family), elsewhere);
                check(format!("{version}, {name}, not covered"), passes, COUNT);
            } else {
                let dial = Dial::new(Transport::Tcp, (goal, 7).into());
                let passes = if dial.ask_shortly(scene.site.gateway.one()).is_ok() {
                    COUNT
                } else {
                    0
                };
                check(format!("{version}, {name}, TCP is not covered"), passes, COUNT);
            }
            scene.policy("delete", policy, family);
        }
        let outside = bound(
            &scene.site.uplinks[0].machine,
            (address(&scene.site.uplinks[0].peer[family]), 0).into(),
        );
        let inside = bound(scene.site.gateway.one(), (address(CONTAINERS[0][family]), 81).into());
        check(
            format!("{version}, inwards, no policy"),
            scene.taken(&outside, &inside, family),
            COUNT,
        );
        for (name, policy) in IN {
            scene.policy("add", policy, family);
            let taken = settled(|| scene.taken(&outside, &inside, family));
            check(format!("{version}, inwards, {name}"), taken, 0);
            scene.policy("delete", policy, family);
        }
        // and all is as it was
        let back = within(Duration::from_secs(10), || {
            match scene.seen(&scene.sender(family), goal) {
                COUNT => Ok(COUNT),
                less => Err(less.to_string()),
            }
        });
        check(format!("{version}, no policy any more"), back.unwrap_or(0), COUNT);
    }
    wrong
}

#[track_caller]
fn obeys(gate: &Gate) {
    let wrong = failures(gate);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_plain_router_obeys() {
    obeys(&Gate::Router);
}

#[test]
fn the_switch_obeys() {
    obeys(&Gate::Switch(&[]));
}

#[test]
fn the_switch_obeys_beside_xdp() {
    obeys(&Gate::Switch(&["--uplink-mode", "xdp"]));
}

#[test]
fn the_switch_obeys_by_the_stack() {
    obeys(&Gate::Switch(&["--uplink-mode", "stack"]));
}

#[test]
fn doctor_names_policies() {
    let scene = Scene::new(&Gate::Switch(&[]));
    let world = scene.site.gateway.world().unwrap();
    let doctor = || {
        let said = world.cli(&["doctor"]);
        (said.stdout + &said.stderr).to_lowercase()
    };
    assert!(!doctor().contains("ipsec"), "{}", doctor());
    for family in 0..FAMILIES.len() {
        scene.policy("add", OUT[1].1, family);
        assert!(doctor().contains("ipsec"), "{}", doctor());
        scene.policy("delete", OUT[1].1, family);
    }
}
