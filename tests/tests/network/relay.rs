//! Clients of the host that cannot be led to the container when they dial: the agent passes on what they say.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV6, UdpSocket};

use tests::world::{Dial, HOST, Namespace, PATIENCE, Service, Transport, World, eventually};

use super::{address, dual};

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

fn serve(world: &World, network: &str) -> [Service; 2] {
    world.run("web", &["--net", network, "-p", "8080:80", "-p", "8080:80/udp"]);
    let web = world.inside("web");
    Transport::BOTH.map(|transport| Service::start(&web, transport, 80, "web"))
}

#[test]
fn a_client_bound_to_loopback_is_relayed() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let _services = serve(&world, "dual");
    for transport in Transport::BOTH {
        for (family, gateway) in ["10.66.0.1", "fd66::1"].into_iter().enumerate() {
            for to in [LOOPBACK[family], HOST[family]] {
                let dial = Dial::new(transport, (address(to), 8080).into()).from(LOOPBACK[family], 0);
                for dial in [dial, dial.connected()] {
                    let answer = dial.answered(&world.host);
                    assert_eq!(answer.peer, dial.to);
                    assert_eq!(answer.client.ip(), address(gateway), "{dial:?}");
                }
            }
        }
    }
}

#[test]
fn an_ipv6_client_reaches_a_container_without_ipv6() {
    let world = World::with_lan();
    world.ok(&["network", "create", "--subnet", "10.66.0.0/24", "four"]);
    world.run("web", &["--net", "four", "-p", "8080:80", "-p", "8080:80/udp"]);
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&web, transport, 80, "web"));
    for transport in Transport::BOTH {
        for to in ["::1", HOST[1]] {
            let dial = Dial::new(transport, (address(to), 8080).into());
            for dial in [dial, dial.from("::1", 0)] {
                let answer = dial.answered(&world.host);
                assert_eq!(answer.peer.ip().to_canonical(), dial.to.ip(), "{dial:?}");
                assert_eq!(answer.client.ip(), address("10.66.0.1"), "{dial:?}");
            }
        }
    }
}

#[test]
fn a_relayed_client_may_end_its_half_first() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80"]);
    let listener = world.inside("web").enter(|| std::net::TcpListener::bind("0.0.0.0:80"));
    let listener = listener.unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let dial = Dial::tcp("127.0.0.1", 8080).from("127.0.0.1", 0);
    let mut stream = world.host.enter(|| dial.open(PATIENCE)).unwrap();
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(1_000_000).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == sent);
    server.join().unwrap();
}

#[test]
fn what_is_relayed_ends_with_its_publication() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let _services = serve(&world, "dual");
    let tcp = Dial::tcp("127.0.0.1", 8080).from("127.0.0.1", 0);
    let mut stream = world.host.enter(|| tcp.open(PATIENCE)).unwrap();
    let udp = Dial::udp("127.0.0.1", 8080).from("127.0.0.1", 0);
    udp.answered(&world.host);
    world.ok(&["unpublish", "web", "8080:80"]);
    world.ok(&["unpublish", "web", "8080:80/udp"]);
    // a close or a reset, but nothing more is said
    assert!(!matches!(stream.read(&mut [0; 8]), Ok(1..)));
    assert_eq!(tcp.unanswered(&world.host), ErrorKind::ConnectionRefused);
    udp.unanswered(&world.host);
    eventually("the port is free", || {
        let bound = world.host.enter(|| UdpSocket::bind("127.0.0.1:8080"));
        bound.map(|_| ()).map_err(|error| error.to_string())
    });
}

#[test]
fn a_server_that_refuses_is_seen_to_refuse() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80"]);
    let dial = Dial::tcp("127.0.0.1", 8080).from("127.0.0.1", 0);
    let kind = dial.unanswered(&world.host);
    assert!(
        matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{kind}"
    );
}

#[test]
fn published_ports_are_listed_as_listening() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let ports = [
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1:53:53/udp",
        "-p",
        "9000-9009:9000-9009",
    ];
    world.run("web", &[&["--net", "dual"], &ports[..]].concat());
    let listed = || world.host.sh("ss -Hlntu | awk '{print $1, $5}'").ok();
    let now = listed();
    for line in ["tcp 0.0.0.0:8080", "tcp [::]:8080", "udp 127.0.0.1:53"] {
        assert!(now.lines().any(|listed| listed == line), "{line}: {now}");
    }
    world.ok(&["unpublish", "web", "8080:80"]);
    assert!(!listed().contains(":8080"));
    // the agent's own sockets do not hold it against the next publication
    world.ok(&["publish", "web", "8080:80"]);
    assert!(listed().contains("tcp 0.0.0.0:8080"));
}

#[test]
fn the_next_agent_relays_on() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let _services = serve(&world, "dual");
    world.kill_agent();
    let dial = Dial::tcp("127.0.0.1", 8080).from("127.0.0.1", 0);
    assert_eq!(dial.unanswered(&world.host), ErrorKind::ConnectionRefused);
    world.start_agent(&[]);
    dial.answered(&world.host);
    Dial::udp("::1", 8080).from("::1", 0).answered(&world.host);
    assert!(world.host.sh("ss -Hlnt").ok().contains("0.0.0.0:8080"));
}

#[test]
fn a_thousand_ports_are_listed() {
    let world = World::with_lan();
    let forms: Vec<String> = (0..500).map(|n| format!("{}:{}", 10_000 + 2 * n, 100 + n)).collect();
    let ports = forms.iter().flat_map(|form| ["-p", form]);
    world.run("web", &ports.collect::<Vec<&str>>());
    let count = || world.host.sh("ss -Hlnt 'sport >= 10000 && sport < 11000' | wc -l").ok();
    assert_eq!(count().trim(), "1000");
    world.ok(&["rm", "-f", "web"]);
    assert_eq!(count().trim(), "0");
}

/// An address that means something on its link alone cannot be a container's peer, so that whoever dials it or from it
/// is relayed.
#[track_caller]
fn link_local_addresses_lead_to_ports(arguments: &[&str]) {
    let world = World::with_lan_and(arguments);
    dual(&world, "dual", 66, &[]);
    let host = link_local(&world.host, "up0");
    let there = format!("[{}]:8081:80", host.ip());
    let _services = serve(&world, "dual");
    world.ok(&["publish", "web", &there]);
    world.ok(&["publish", "web", &format!("{there}/udp")]);
    let mut to = host;
    to.set_scope_id(link_local(world.lan(), "eth0").scope_id());
    for transport in Transport::BOTH {
        for port in [8080, 8081] {
            to.set_port(port);
            let dial = Dial::new(transport, to.into());
            let answer = dial.answered(world.lan());
            assert_eq!(answer.peer, dial.to);
            assert_eq!(answer.client.ip(), address("fd66::1"), "{dial:?}");
        }
    }
    // a port that is published at another address is closed here
    world.ok(&["publish", "web", &format!("[{}]:8082:80", HOST[1])]);
    to.set_port(8082);
    assert_eq!(
        Dial::new(Transport::Tcp, to.into()).unanswered(world.lan()),
        ErrorKind::ConnectionRefused
    );
}

/// A device's own link-local address and its scope.
fn link_local(namespace: &Namespace, device: &str) -> SocketAddrV6 {
    let line = format!("ip -6 -oneline addr show dev {device} scope link -tentative");
    let said = eventually("a link-local address", || {
        let said = namespace.sh(&line).ok();
        if said.contains("inet6") { Ok(said) } else { Err(said) }
    });
    let words: Vec<&str> = said.split_whitespace().collect();
    let (ip, _) = words[3].split_once('/').unwrap();
    SocketAddrV6::new(
        ip.parse().unwrap(),
        0,
        0,
        words[0].trim_end_matches(':').parse().unwrap(),
    )
}

#[test]
fn ports_are_reached_at_link_local_addresses() {
    link_local_addresses_lead_to_ports(&[]);
}

#[test]
fn ports_are_reached_at_link_local_addresses_in_xdp_mode() {
    link_local_addresses_lead_to_ports(&["--uplink-mode", "xdp"]);
}

#[test]
fn ports_are_reached_at_link_local_addresses_in_stack_mode() {
    link_local_addresses_lead_to_ports(&["--uplink-mode", "stack"]);
}
