//! What publishing does not open: other addresses of the host, container addresses, loopback from
//! outside, other networks (conformance cases 20 to 23).

use std::io::ErrorKind;

use netswitch_common::address::Mac;
use tests::packet::ip;
use tests::world::{Capture, Dial, HOST, LAN, Namespace, Service, Transport, World, interfaces, send};

use super::{address, drops_reach, dual};

/// The MAC of a device.
fn mac(namespace: &Namespace, device: &str) -> Mac {
    let found = interfaces(namespace).into_iter().find(|found| found.name == device);
    netswitch::model::endpoint::parse_mac(&found.unwrap().mac).unwrap()
}

/// A network `dual` (10.66.0.0/24, `fd66::/64`) with a container `web` that serves TCP and UDP on 80 and 81.
fn web(ports: &[&str]) -> (World, Vec<Service>) {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &[&["--net", "dual"], ports].concat());
    let inside = world.inside("web");
    let services = [80, 81]
        .into_iter()
        .flat_map(|port| Transport::BOTH.map(|transport| Service::start(&inside, transport, port, "web")))
        .collect();
    (world, services)
}

#[test]
fn case_20_a_port_on_loopback_is_closed_to_the_lan() {
    let (world, _services) = web(&["-p", "127.0.0.1:8080:80", "-p", "127.0.0.1:8080:80/udp"]);
    for transport in Transport::BOTH {
        let answer = Dial::new(transport, (address("127.0.0.1"), 8080).into()).answered(&world.host);
        assert_eq!(answer.name, "web");
        let dial = Dial::new(transport, (address(HOST[0]), 8080).into()).connected();
        assert_eq!(
            dial.unanswered(&world.host),
            ErrorKind::ConnectionRefused,
            "{transport:?}"
        );
        dial.unanswered(world.lan());
    }
    // a neighbour that writes the frame itself
    let lan = world.lan();
    let heard = Capture::start(&world.inside("web"), "eth0");
    let packet = ip(
        (mac(lan, "eth0"), mac(&world.host, "up0")),
        address(LAN[0]),
        address("127.0.0.1"),
    );
    send(lan, "eth0", &packet.udp(5000, 8080, b"who?"));
    send(lan, "eth0", &packet.tcp(5000, 8080, b"who?"));
    // the next thing that the container hears is what is allowed
    Dial::tcp("127.0.0.1", 8080).answered(&world.host);
    let from_lan = |frame: &[u8]| frame.windows(4).any(|four| four == [192, 168, 56, 1]);
    assert!(!heard.so_far().iter().any(|captured| from_lan(&captured.frame)));
}

#[test]
fn case_21_container_and_gateway_addresses_are_closed_to_the_lan() {
    let (world, _services) = web(&["-p", "8080:80", "-p", "8080:80/udp"]);
    let lan = world.lan();
    let _host = Service::start(&world.host, Transport::Tcp, 22, "host");
    lan.sh("ip route add 10.66.0.0/24 via 192.168.56.99 && ip -6 route add fd66::/64 via 2001:db8:56::2")
        .ok();
    let targets = ["10.66.0.2", "fd66::2"];
    for to in targets {
        for transport in Transport::BOTH {
            // neither the published port nor the other one
            for port in [80, 81, 8080] {
                Dial::new(transport, (address(to), port).into()).unanswered(lan);
            }
        }
    }
    for to in ["10.66.0.1", "fd66::1"] {
        for port in [22, 8080] {
            Dial::new(Transport::Tcp, (address(to), port).into()).unanswered(lan);
        }
    }
    super::no_ping(lan, "10.66.0.1");
    super::no_ping(lan, "10.66.0.2");
    drops_reach(&world, "web", "dual", "not-published", 12);
    drops_reach(&world, "", "dual", "not-published", 4);
    // the host's service is there for those who may
    Dial::tcp(HOST[0], 22).answered(lan);
}

#[test]
fn case_22_another_network_gets_in_by_the_host_alone() {
    let (world, _services) = web(&["-p", "8080:80", "-p", "8080:80/udp"]);
    dual(&world, "other", 67, &[]);
    world.run("stranger", &["--net", "other"]);
    let stranger = world.inside("stranger");
    for transport in Transport::BOTH {
        for to in ["10.66.0.2", "fd66::2"] {
            for port in [80, 8080] {
                Dial::new(transport, (address(to), port).into()).unanswered(&stranger);
            }
        }
        // the other network's gateway is the host, too
        for to in [HOST[0], HOST[1], "10.66.0.1", "fd66::1"] {
            Dial::new(transport, (address(to), 8080).into()).answered(&stranger);
        }
    }
    drops_reach(&world, "stranger", "other", "other-network", 8);
}

#[test]
fn case_23_a_port_of_one_address_is_closed_on_the_others() {
    let world = World::with_lan();
    world.host.sh("ip addr add 192.168.56.98/24 dev up0").ok();
    world.run(
        "web",
        &["-p", "192.168.56.98:8080:80", "-p", "192.168.56.98:8080:80/udp"],
    );
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&web, transport, 80, "web"));
    for transport in Transport::BOTH {
        for client in [world.lan(), &world.host] {
            let dial = |to: &str| Dial::new(transport, (address(to), 8080).into()).connected();
            assert_eq!(dial("192.168.56.98").answered(client).name, "web");
            assert_eq!(
                dial("192.168.56.99").unanswered(client),
                ErrorKind::ConnectionRefused,
                "{transport:?}"
            );
        }
        let dial = Dial::new(transport, (address("127.0.0.1"), 8080).into()).connected();
        assert_eq!(dial.unanswered(&world.host), ErrorKind::ConnectionRefused);
        Dial::new(transport, (address(HOST[1]), 8080).into()).unanswered(world.lan());
    }
}

#[test]
fn a_port_of_an_ipv6_address_is_closed_to_ipv4() {
    let (world, _services) = web(&["-p", "[2001:db8:56::2]:8080:80"]);
    Dial::tcp(HOST[1], 8080).answered(world.lan());
    Dial::tcp(HOST[1], 8080).answered(&world.host);
    for client in [world.lan(), &world.host] {
        assert_eq!(
            Dial::tcp(HOST[0], 8080).unanswered(client),
            ErrorKind::ConnectionRefused
        );
    }
    assert_eq!(
        Dial::tcp("::1", 8080).unanswered(&world.host),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn the_hosts_own_services_are_the_hosts_own() {
    let (world, _services) = web(&["-p", "8080:80"]);
    let _host = Transport::BOTH.map(|transport| Service::start(&world.host, transport, 80, "host"));
    for transport in Transport::BOTH {
        for to in HOST {
            let dial = Dial::new(transport, (address(to), 80).into());
            assert_eq!(dial.answered(world.lan()).name, "host");
            assert_eq!(dial.answered(&world.host).name, "host");
        }
    }
    assert_eq!(Dial::tcp(HOST[0], 8080).answered(world.lan()).name, "web");
}
