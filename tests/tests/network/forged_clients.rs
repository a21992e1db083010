//! A stranger asks a published port under addresses that hear nothing, and the container answers each: that costs neither
//! honest clients nor the container's own connections anything, with an agent and without.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tests::packet::ip;
use tests::records::Records;
use tests::world::{Capture, Captured, Dial, HOST, LAN, Namespace, Service, Transport, World, send_all, within};

use super::masquerade::mac;
use super::{address, dual};

const QUOTA: u16 = 128;
const FORGED: u16 = 300;
const HONEST: usize = 10;
/// Forged clients that ask before the first of them is answered.
const AT_ONCE: u16 = 50;

/// A client behind the router on the LAN, which hears nothing.
fn forged(family: usize, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        0 => Ipv4Addr::new(198, 18, high, low).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, number).into(),
    }
}

/// A published container, a stranger on its LAN, and what comes of it.
struct Scene {
    world: World,
    web: Namespace,
    transport: Transport,
    _services: Vec<Service>,
    /// Clients that there were so far.
    forged: u16,
}

impl Scene {
    fn new(transport: Transport) -> Self {
        let world = World::with_lan_and(&["--flow-quota", &QUOTA.to_string()]);
        dual(&world, "dual", 66, &[]);
        for (family, router) in ["-4", "-6"].into_iter().zip(LAN) {
            world
                .host
                .sh(&format!("ip {family} route add default via {router} dev up0"))
                .ok();
        }
        let published = format!("8080:80/{}", transport.name());
        world.run("web", &["--net", "dual", "-p", &published]);
        let web = world.inside("web");
        let services = vec![
            Service::start(&web, transport, 80, "web"),
            Service::start(world.lan(), transport, 7, "lan"),
        ];
        Self {
            world,
            web,
            transport,
            _services: services,
            forged: 0,
        }
    }

    /// So many more forged clients ask; how many of them are answered.
    fn flood(&mut self, family: usize, count: u16) -> usize {
        let lan = self.world.lan();
        let macs = (mac(lan, "eth0"), mac(&self.world.host, "up0"));
        let first = self.forged;
        self.forged += count;
        let frames: Vec<_> = (first..self.forged)
            .map(|number| {
                let packet = ip(macs, forged(family, number), address(HOST[family]));
                match self.transport {
                    Transport::Tcp => packet.syn(5000, 8080),
                    Transport::Udp => packet.udp(5000, 8080, b"who?"),
                }
            })
            .collect();
        let heard = Capture::start(lan, "eth0");
        let mut answered = BTreeSet::new();
        // as fast as they are answered; whom the switch refuses is not, so all are not waited for
        for frames in frames.chunks(usize::from(AT_ONCE)) {
            send_all(lan, "eth0", frames.iter().map(Vec::as_slice));
            let wanted = answered.len() + frames.len();
            let _ = within(Duration::from_millis(500), || {
                answered.extend(heard.so_far().iter().filter_map(|captured| receiver(captured, family)));
                if answered.len() >= wanted {
                    Ok(())
                } else {
                    Err(String::new())
                }
            });
        }
        answered.len()
    }

    /// Of ten honest clients, and of three connections of the container's own, how many are served.
    fn served(&self, family: usize) -> (usize, usize) {
        let to = Dial::new(self.transport, (address(HOST[family]), 8080).into());
        let honest = (0..HONEST).filter(|_| to.ask_shortly(self.world.lan()).is_ok()).count();
        let out = Dial::new(self.transport, (address(LAN[family]), 7).into());
        let own = (0..3).filter(|_| out.ask_shortly(&self.web).is_ok()).count();
        (honest, own)
    }

    fn pass(&self, seconds: u64) {
        Records::of(&self.world).pass(Duration::from_secs(seconds));
    }
}

/// Whom an answer of the published port goes to.
fn receiver(captured: &Captured, family: usize) -> Option<Vec<u8>> {
    let frame = &captured.frame;
    let (address, port) = match family {
        0 => (frame.get(30..34)?, frame.get(34..36)?),
        _ => (frame.get(38..54)?, frame.get(54..56)?),
    };
    let is_answer = !captured.is_outgoing && port == 8080_u16.to_be_bytes();
    (is_answer && address != local(family)).then(|| address.to_vec())
}

fn local(family: usize) -> Vec<u8> {
    match address(LAN[family]) {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// What a stranger's flood leaves to others, at once, 70 seconds later, and while it goes on.
#[track_caller]
fn nobody_suffers(transport: Transport, is_agent_alive: bool) {
    let mut scene = Scene::new(transport);
    if !is_agent_alive {
        scene.world.kill_agent();
    }
    let mut wrong = Vec::new();
    let all = (HONEST, 3);
    for family in [0, 1] {
        let name = format!("{transport:?} to {}", HOST[family]);
        let answered = scene.flood(family, FORGED);
        assert!(
            answered >= usize::from(QUOTA) / 2,
            "{name}: {answered} forged clients were answered"
        );
        let at_once = scene.served(family);
        scene.pass(70);
        let later = scene.served(family);
        if at_once != all || later != all {
            wrong.push(format!(
                "{name}: {answered} of {FORGED} forged clients were answered; of {HONEST} honest clients and 3 \
                 connections of the container's {at_once:?} were served at once, {later:?} 70 s later"
            ));
        }
        // five seconds of 20 a second, twelve times
        let mut refused = Vec::new();
        for round in 0..12 {
            scene.flood(family, 100);
            scene.pass(5);
            let out = Dial::new(transport, (address(HOST[family]), 8080).into());
            if out.ask_shortly(scene.world.lan()).is_err() {
                refused.push(round);
            }
        }
        if !refused.is_empty() {
            wrong.push(format!(
                "{name}: rounds in which an honest client was not served: {refused:?}"
            ));
        }
        scene.pass(24 * 3600);
    }
    if !is_agent_alive {
        scene.world.start_agent(&["--flow-quota", &QUOTA.to_string()]);
    }
    let refused = scene.world.drops("web", "dual", "flow-quota");
    if refused > 0 {
        wrong.push(format!("{refused} flow-quota"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn forged_connections_cost_others_nothing() {
    nobody_suffers(Transport::Tcp, true);
}

#[test]
fn forged_questions_cost_others_nothing() {
    nobody_suffers(Transport::Udp, true);
}

#[test]
fn forged_connections_cost_others_nothing_without_an_agent() {
    nobody_suffers(Transport::Tcp, false);
}

#[test]
fn forged_questions_cost_others_nothing_without_an_agent() {
    nobody_suffers(Transport::Udp, false);
}
