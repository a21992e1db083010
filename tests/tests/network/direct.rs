//! Containers at their own addresses, from the LAN and from other networks: what a network's mode opens, and no more.

use tests::world::{Dial, Namespace, Service, Transport, World, eventually};

use super::{address, dual, no_ping, ping};

const MODE: &str = "com.docker.network.bridge.gateway_mode";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
/// `web` on a network 66 that has it alone.
const WEB: [&str; 2] = ["10.66.0.2", "fd66::2"];
const PUBLISHED: u16 = 80;
const CLOSED: u16 = 81;

/// A world whose LAN knows the way to `web`, on a network with these options, and `other` and `inner` beside it.
fn world(options: &[String]) -> (World, Vec<Service>) {
    let world = World::with_lan();
    let ways = "ip route add 10.66.0.0/24 via 192.168.56.99 && ip -6 route add fd66::/64 via 2001:db8:56::2";
    world.lan().sh(ways).ok();
    let options: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    dual(&world, "open", 66, &options);
    dual(&world, "beside", 67, &[]);
    dual(&world, "inside", 68, &["--internal"]);
    world.run("web", &["--net", "open", "-p", "80:80", "-p", "80:80/udp"]);
    world.run("other", &["--net", "beside"]);
    world.run("inner", &["--net", "inside"]);
    // it does not take what it is given
    let ways = "ip route add default via 10.68.0.1 && ip -6 route add default via fd68::1";
    world.inside("inner").sh(ways).ok();
    let web = world.inside("web");
    let services = Transport::BOTH
        .into_iter()
        .flat_map(|transport| [PUBLISHED, CLOSED].map(|port| Service::start(&web, transport, port, "web")));
    let services = services.collect();
    (world, services)
}

fn modes(mode: &str) -> Vec<String> {
    ["ipv4", "ipv6"]
        .map(|family| format!("{MODE}_{family}={mode}"))
        .to_vec()
}

fn reaches(from: &Namespace, port: u16) {
    for dial in dials(port) {
        assert_eq!(dial.answered(from).name, "web");
    }
}

fn does_not_reach(from: &Namespace, port: u16) {
    for dial in dials(port) {
        dial.unanswered(from);
    }
}

fn dials(port: u16) -> Vec<Dial> {
    let by = |to| Transport::BOTH.map(|transport| Dial::new(transport, (address(to), port).into()));
    WEB.into_iter().flat_map(by).collect()
}

#[test]
fn a_routed_network_is_open_to_other_networks_as_to_the_lan() {
    let (world, _services) = world(&modes("routed"));
    let (lan, other, inner) = (world.lan(), world.inside("other"), world.inside("inner"));
    for from in [lan, &other] {
        reaches(from, PUBLISHED);
        does_not_reach(from, CLOSED);
        for to in WEB {
            ping(from, to, 63);
        }
    }
    does_not_reach(&inner, PUBLISHED);
    for to in WEB {
        no_ping(&inner, to);
    }
    // who asks is seen as who it is
    let seen = Dial::tcp(WEB[0], PUBLISHED).answered(&other).client.ip();
    assert_eq!(seen, address("10.67.0.2"));
    // a rule closes it
    world.ok(&["policy", "default", "deny", "web", "--direction", "in"]);
    does_not_reach(lan, PUBLISHED);
    does_not_reach(&other, PUBLISHED);
}

#[test]
fn an_unprotected_network_is_open_to_all_but_internal_ones() {
    let (world, _services) = world(&modes("nat-unprotected"));
    for from in [world.lan(), &world.inside("other")] {
        reaches(from, PUBLISHED);
        reaches(from, CLOSED);
        for to in WEB {
            ping(from, to, 63);
        }
    }
    does_not_reach(&world.inside("inner"), CLOSED);
    // and it is still published at the host's
    let host = Dial::tcp("192.168.56.99", PUBLISHED);
    assert_eq!(host.answered(world.lan()).name, "web");
}

#[test]
fn a_trusted_interface_is_followed_by_its_name() {
    let (world, _services) = world(&[format!("{TRUSTED}=none0:vpn0")]);
    let option = |world: &World| {
        world.ok(&[
            "network",
            "inspect",
            "open",
            "-f",
            &format!("{{{{index .Options \"{TRUSTED}\"}}}}"),
        ])
    };
    assert_eq!(option(&world).trim(), "none0:vpn0");
    does_not_reach(world.lan(), CLOSED);
    let rename = |from: &str, to: &str| {
        let steps = format!(
            "ip link set {from} down && ip link set {from} name {to} && ip link set {to} up && \
             ip -6 addr replace 2001:db8:56::2/64 dev {to} nodad"
        );
        world.host.sh(&steps).ok();
    };
    rename("up0", "vpn0");
    eventually("the new name is known", || {
        dials(CLOSED)
            .iter()
            .try_for_each(|dial| match dial.ask_shortly(world.lan()) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{dial:?}: {error}")),
            })
    });
    does_not_reach(&world.inside("other"), CLOSED);
    world.restart_agent();
    assert_eq!(option(&world).trim(), "none0:vpn0");
    reaches(world.lan(), CLOSED);
    rename("vpn0", "up0");
    eventually("the old name is back", || {
        match dials(CLOSED)[0].ask_shortly(world.lan()) {
            Ok(answer) => Err(format!("{answer:?}")),
            Err(_) => Ok(()),
        }
    });
    does_not_reach(world.lan(), CLOSED);
}
