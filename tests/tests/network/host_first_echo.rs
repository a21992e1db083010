//! Echo requests with the identifier 0, which is an identifier like any other (RFC 792): whoever asks hears the answers to
//! what it asked, and only these.

use std::net::IpAddr;
use std::time::Duration;

use netswitch_common::checksum;
use tests::world::{LAN, Namespace, Raw, World, within};

use super::{address, dual};

/// Types of an echo request and of its answer.
fn kinds(family: IpAddr) -> (u8, u8) {
    if family.is_ipv4() { (8, 0) } else { (128, 129) }
}

/// Somebody who pings with an identifier.
struct Pinger {
    socket: Raw,
    to: IpAddr,
    identifier: u16,
    name: &'static str,
}

impl Pinger {
    fn new(namespace: &Namespace, to: IpAddr, identifier: u16, name: &'static str) -> Self {
        let protocol = if to.is_ipv4() { 1 } else { 58 };
        let socket = Raw::open(namespace, to, protocol).unwrap();
        Self {
            socket,
            to,
            identifier,
            name,
        }
    }

    fn ask(&self, sequence: u16) {
        let header = [u16::from(kinds(self.to).0) << 8, 0, self.identifier, sequence];
        let mut message = [&header.map(u16::to_be_bytes).concat(), self.name.as_bytes()].concat();
        // the kernel does it for ICMPv6
        let sum = checksum::fold(checksum::sum(&message, 0));
        message[2..4].copy_from_slice(&sum.to_ne_bytes());
        self.socket.send(self.to, &message).unwrap();
    }

    /// The data of the answers to its identifier that have come so far.
    fn answers(&self) -> Vec<String> {
        let heard = self.socket.heard().into_iter().filter(|message| {
            message.len() > 8 && message[0] == kinds(self.to).1 && message[4..6] == self.identifier.to_be_bytes()
        });
        heard
            .map(|message| String::from_utf8_lossy(&message[8..]).into_owned())
            .collect()
    }
}

const ROUNDS: u16 = 5;
/// An answer to each, and none of another's.
const OWN_ALONE: (usize, usize) = (ROUNDS as usize, 0);

/// How many of its own answers each hears, and how many of the other's, when both ask in this order.
fn ask(pingers: [&Pinger; 2]) -> [(usize, usize); 2] {
    for sequence in 0..ROUNDS {
        for pinger in pingers {
            pinger.ask(sequence);
        }
    }
    let mut heard = [(0, 0); 2];
    let _ = within(Duration::from_secs(3), || {
        for (pinger, (own, others)) in pingers.into_iter().zip(&mut heard) {
            for data in pinger.answers() {
                *(if data == pinger.name { &mut *own } else { &mut *others }) += 1;
            }
        }
        if heard.iter().all(|(own, _)| *own == OWN_ALONE.0) {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    heard
}

#[test]
fn host_and_container_ping_with_identifier_0() {
    let mut wrong = Vec::new();
    for is_host_first in [true, false] {
        let world = World::with_lan();
        dual(&world, "dual", 66, &[]);
        world.run("one", &["--net", "dual"]);
        let one = world.inside("one");
        for to in LAN.map(address) {
            let host = Pinger::new(&world.host, to, 0, "the host");
            let container = Pinger::new(&one, to, 0, "the container");
            let pingers = if is_host_first {
                [&host, &container]
            } else {
                [&container, &host]
            };
            let heard = ask(pingers);
            for (pinger, (own, others)) in pingers.into_iter().zip(heard) {
                if (own, others) != OWN_ALONE {
                    wrong.push(format!(
                        "{to}, {} first: {} heard {own} of {ROUNDS} answers of its own and {others} of the other's",
                        pingers[0].name, pinger.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn two_containers_ping_with_identifier_0() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let inside = ["one", "two"].map(|name| {
        world.run(name, &["--net", "dual"]);
        world.inside(name)
    });
    for to in LAN.map(address) {
        let [one, two] = ["one", "two"];
        let (one, two) = (Pinger::new(&inside[0], to, 0, one), Pinger::new(&inside[1], to, 0, two));
        assert_eq!(ask([&one, &two]), [OWN_ALONE; 2], "{to}");
    }
}

/// Messages without an identifier are no flow's: neighbour discovery least of all.
#[test]
fn a_containers_ping_takes_no_neighbour_discovery() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let one = world.inside("one");
    let container = Pinger::new(&one, address(LAN[1]), 0, "the container");
    for sequence in 0..ROUNDS {
        container.ask(sequence);
        world.host.sh("ip -6 neigh flush dev up0").ok();
        container.ask(sequence);
        // with its own address it asks the peer's MAC, and is answered to that address
        let host = Pinger::new(&world.host, address(LAN[1]), 77, "the host");
        let heard = within(Duration::from_secs(5), || {
            host.ask(sequence);
            host.answers()
                .pop()
                .ok_or_else(|| world.host.sh("ip -6 neigh show dev up0").stdout)
        });
        assert_eq!(heard.as_deref(), Ok("the host"), "round {sequence}");
    }
}
