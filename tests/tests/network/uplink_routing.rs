//! The way to the world is what the host's routing says, by the container's own address.

use tests::world::{Dial, LAN, Namespace, SECOND_HOST, SECOND_LAN, Service, Transport, World, eventually};

use super::{FAMILIES, address, at_once, dual, no_way::fails};

/// Behind both LANs, by different machines.
const FAR: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];
/// No container's.
const NOBODY: [&str; 2] = ["192.0.2.1", "2001:db8:2::1"];
/// The second uplink's table.
const TABLE: u32 = 57;

/// A host whose main table leads to the LAN and whose table 57 leads to the second one; `one` and `two` on a network.
struct Setup {
    world: World,
    _services: Vec<Service>,
    _second: Namespace,
}

impl Setup {
    fn new() -> Self {
        let mut world = World::without_agent();
        world.add_lan();
        let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
        let mut services = Vec::new();
        for (machine, name) in [(world.lan(), "first"), (&second, "second")] {
            for (family, far) in FAMILIES.into_iter().zip(FAR) {
                machine
                    .sh(&format!("ip {family} addr add {far} dev lo{}", at_once(family)))
                    .ok();
            }
            for (transport, port) in [
                (Transport::Tcp, 7),
                (Transport::Tcp, 8),
                (Transport::Udp, 7),
                (Transport::Udp, 8),
            ] {
                for far in FAR {
                    services.push(Service::at(machine, transport, (address(far), port).into(), name));
                }
            }
        }
        for (family, (first, second)) in FAMILIES.into_iter().zip(LAN.into_iter().zip(SECOND_LAN)) {
            world
                .host
                .sh(&format!("ip {family} route add default via {first}"))
                .ok();
            let line = format!("ip {family} route add default via {second} table {TABLE}");
            world.host.sh(&line).ok();
        }
        world.start_agent(&[]);
        dual(&world, "dual", 66, &[]);
        world.run("one", &["--net", "dual"]);
        world.run("two", &["--net", "dual"]);
        Self {
            world,
            _services: services,
            _second: second,
        }
    }

    fn addresses(&self, name: &str) -> [String; 2] {
        let v6 = self.world.field(name, "dual", "GlobalIPv6Address");
        [self.world.address(name, "dual").to_string(), v6]
    }

    /// Who answers a container.
    fn who(&self, name: &str, dial: Dial) -> Result<String, String> {
        let asked = dial.ask_shortly(&self.world.inside(name));
        asked.map(|answer| answer.name).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn leads(&self, name: &str, transport: Transport, family: usize, port: u16, to: &str) {
        let dial = || Dial::new(transport, (address(FAR[family]), port).into());
        eventually("the rule is followed", || match self.who(name, dial()) {
            Ok(who) if who == to => Ok(()),
            other => Err(format!(
                "{name} {transport:?} port {port} family {family}: {other:?}, not {to}"
            )),
        });
    }
}

/// Whether a rule takes a packet to the second uplink.
type Takes = fn(Transport, u16) -> bool;

#[test]
fn rules_go_by_the_containers_own_packets() {
    let setup = Setup::new();
    let one = setup.addresses("one");
    for (family, option) in FAMILIES.into_iter().enumerate() {
        let own = &one[family];
        let rules: [(String, Takes); 5] = [
            (format!("from {own}"), |_, _| true),
            (format!("from {own} ipproto udp"), |transport, _| {
                transport == Transport::Udp
            }),
            (format!("from {own} ipproto tcp dport 8"), |transport, port| {
                transport == Transport::Tcp && port == 8
            }),
            (format!("from {own} to {}", FAR[family]), |_, _| true),
            (format!("from {}", NOBODY[family]), |_, _| false),
        ];
        for (rule, takes) in rules {
            let rule = format!("{option} rule {{}} {rule} lookup {TABLE}");
            setup.world.host.sh(&format!("ip {}", rule.replace("{}", "add"))).ok();
            for transport in Transport::BOTH {
                for port in [7, 8] {
                    let to = if takes(transport, port) { "second" } else { "first" };
                    setup.leads("one", transport, family, port, to);
                    setup.leads("two", transport, family, port, "first");
                }
            }
            setup.world.host.sh(&format!("ip {}", rule.replace("{}", "del"))).ok();
        }
        for transport in Transport::BOTH {
            setup.leads("one", transport, family, 7, "first");
        }
    }
}

/// A kill switch is told, and stops a flow that is open.
#[test]
fn a_rule_that_refuses_a_container_stops_it_and_nobody_else() {
    let setup = Setup::new();
    let one = setup.addresses("one");
    for (kind, family) in [("unreachable", 0), ("prohibit", 0), ("unreachable", 1), ("prohibit", 1)] {
        let own = &one[family];
        let option = FAMILIES[family];
        // one socket's address and port all the time: its flow lives longer than the test
        let open = || setup.who("one", Dial::udp(FAR[family], 7).from(own, 4000));
        eventually("a flow is open", open);
        setup
            .world
            .host
            .sh(&format!("ip {option} rule add from {own} {kind}"))
            .ok();
        fails(
            &setup.world.inside("one"),
            FAR[family],
            &[libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES],
        );
        eventually("the open flow is stopped", || match open() {
            Err(_) => Ok(()),
            Ok(who) => Err(who),
        });
        setup.leads("two", Transport::Tcp, family, 7, "first");
        setup
            .world
            .host
            .sh(&format!("ip {option} rule del from {own} {kind}"))
            .ok();
        setup.leads("one", Transport::Tcp, family, 7, "first");
    }
}

/// An uplink without an address of its own: packets show one of the loopback device's, or the route's.
#[test]
fn an_unnumbered_uplink_shows_another_address_of_the_host() {
    let mut world = World::without_agent();
    world.add_lan();
    world.start_agent(&[]);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual", "-p", "8080:80"]);
    let inside = world.inside("one");
    let _published = Service::start(&inside, Transport::Tcp, 80, "one");
    let _lan = Service::start(world.lan(), Transport::Udp, 7, "lan");
    world
        .host
        .sh("ip addr flush dev up0 scope global && ip addr add 198.51.100.77/32 dev lo")
        .ok();
    world
        .host
        .sh("ip route add 192.168.56.1 dev up0 && ip route add default via 192.168.56.1")
        .ok();
    world.lan().sh("ip route add 198.51.100.77 dev eth0").ok();
    eventually("the uplink is one still", || {
        match Dial::udp(LAN[0], 7).ask_shortly(&inside) {
            Ok(answer) if answer.client.ip() == address("198.51.100.77") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    eventually("the port is published there", || {
        let answer = Dial::tcp("198.51.100.77", 8080).ask_shortly(world.lan());
        answer.map(drop).map_err(|error| error.to_string())
    });
}
