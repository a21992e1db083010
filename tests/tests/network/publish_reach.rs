//! Every way to a published port, over TCP and UDP, IPv4 and IPv6 (conformance cases 22, 24, 25).

use std::net::IpAddr;

use tests::world::{Dial, HOST, LAN, Namespace, Service, Transport, World};

use super::{address, dual};

/// Whom the server may see.
enum Seen {
    /// The client as it is.
    Kept([&'static str; 2]),
    /// The gateway of the server's network.
    Gateway,
    /// The host by one of its own addresses: the one dialled or the gateway.
    Host,
}

/// One way to the port, in both families.
struct Way {
    name: &'static str,
    client: &'static str,
    from: Option<[&'static str; 2]>,
    to: [&'static str; 2],
    seen: Seen,
}

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];
const GATEWAY: [&str; 2] = ["10.66.0.1", "fd66::1"];
const PEER: [&str; 2] = ["10.66.0.3", "fd66::3"];
const STRANGER: [&str; 2] = ["10.67.0.2", "fd67::2"];

const fn way(name: &'static str, client: &'static str, to: [&'static str; 2], seen: Seen) -> Way {
    Way {
        name,
        client,
        from: None,
        to,
        seen,
    }
}

const fn bound(name: &'static str, from: [&'static str; 2], to: [&'static str; 2], seen: Seen) -> Way {
    Way {
        name,
        client: "host",
        from: Some(from),
        to,
        seen,
    }
}

const WAYS: [Way; 11] = [
    way("from the LAN", "lan", HOST, Seen::Kept(LAN)),
    way("from the host by its own address", "host", HOST, Seen::Host),
    way("from the host by the gateway's address", "host", GATEWAY, Seen::Host),
    way("from the host by loopback", "host", LOOPBACK, Seen::Gateway),
    bound("bound to loopback, by loopback", LOOPBACK, LOOPBACK, Seen::Gateway),
    bound("bound to loopback, by its address", LOOPBACK, HOST, Seen::Gateway),
    bound("bound to its address, by its address", HOST, HOST, Seen::Host),
    way("from the same network", "peer", HOST, Seen::Kept(PEER)),
    way(
        "from the same network by its gateway",
        "peer",
        GATEWAY,
        Seen::Kept(PEER),
    ),
    way("from the container itself", "web", HOST, Seen::Gateway),
    way("from another network", "stranger", HOST, Seen::Kept(STRANGER)),
];

/// `web` (10.66.0.2) publishes 8080, `peer` shares its network, `stranger` does not.
struct Reach {
    world: World,
    _services: Vec<Service>,
}

impl Reach {
    fn new() -> Self {
        let world = World::with_lan();
        dual(&world, "dual", 66, &[]);
        dual(&world, "other", 67, &[]);
        let ports = ["-p", "8080:80", "-p", "8080:80/udp"];
        world.run("web", &[&["--net", "dual"], &ports[..]].concat());
        world.run("peer", &["--net", "dual"]);
        world.run("stranger", &["--net", "other"]);
        let web = world.inside("web");
        let services = Transport::BOTH.map(|transport| Service::start(&web, transport, 80, "web"));
        Self {
            world,
            _services: services.into(),
        }
    }

    fn client(&self, name: &str) -> Namespace {
        match name {
            "lan" => Namespace::open(&self.world.lan().path()),
            "host" => Namespace::open(&self.world.host.path()),
            container => self.world.inside(container),
        }
    }

    /// What is wrong with one way in one family.
    fn fault(&self, way: &Way, family: usize, transport: Transport, connected: bool) -> Option<String> {
        let mut dial = Dial::new(transport, (address(way.to[family]), 8080).into());
        dial.connected = connected;
        dial.from = way.from.map(|from| (address(from[family]), 0).into());
        let fault = match dial.ask(&self.client(way.client)) {
            Err(error) => Some(error.to_string()),
            Ok(answer) if answer.peer != dial.to => Some(format!("answered by {}", answer.peer)),
            Ok(answer) if answer.name != "web" => Some(format!("reached {}", answer.name)),
            Ok(answer) if !is_seen(&way.seen, family, answer.client.ip()) => Some(format!("seen as {}", answer.client)),
            Ok(_) => None,
        };
        let connected = if connected { ", connected" } else { "" };
        fault.map(|fault| {
            let to = way.to[family];
            format!("{}, {} to {to}{connected}: {fault}", way.name, transport.name())
        })
    }

    /// All ways at once: a test that fails says which of them do not work.
    #[track_caller]
    fn works(&self, transport: Transport, connected: bool) {
        let faults = WAYS
            .iter()
            .flat_map(|way| [0, 1].map(|family| self.fault(way, family, transport, connected)));
        let faults: Vec<String> = faults.flatten().collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

fn is_seen(seen: &Seen, family: usize, client: IpAddr) -> bool {
    match seen {
        Seen::Kept(addresses) => client == address(addresses[family]),
        Seen::Gateway => client == address(GATEWAY[family]),
        Seen::Host => [HOST, GATEWAY].iter().any(|own| client == address(own[family])),
    }
}

#[test]
fn case_22_24_25_tcp_from_everywhere() {
    Reach::new().works(Transport::Tcp, false);
}

#[test]
fn case_22_24_25_udp_from_everywhere_is_answered_by_whom_it_was_sent_to() {
    Reach::new().works(Transport::Udp, false);
}

#[test]
fn case_25_connected_udp_knows_its_peer() {
    Reach::new().works(Transport::Udp, true);
}

#[test]
fn every_way_works_without_the_agent_but_the_relayed_one() {
    let reach = Reach::new();
    // the containers' namespaces are found through the agent
    let clients = WAYS.each_ref().map(|way| reach.client(way.client));
    reach.world.kill_agent();
    for (way, client) in WAYS.iter().zip(&clients) {
        if way.from == Some(LOOPBACK) {
            continue;
        }
        for (transport, to) in Transport::BOTH.into_iter().flat_map(|one| way.to.map(|to| (one, to))) {
            let mut dial = Dial::new(transport, (address(to), 8080).into());
            dial.from = way
                .from
                .map(|from| (address(from[usize::from(to.contains(':'))]), 0).into());
            assert_eq!(dial.answered(client).peer, dial.to, "{}", way.name);
        }
    }
    reach.world.start_agent(&[]);
    reach.works(Transport::Tcp, false);
}

#[test]
fn ipv6_clients_reach_a_container_without_ipv6() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["-p", "8081:80", "-p", "8081:80/udp"]);
    world.run("peer", &["--net", "dual"]);
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&web, transport, 80, "web"));
    let peer = world.inside("peer");
    for transport in Transport::BOTH {
        for (client, to) in [
            (world.lan(), HOST[1]),
            (&world.host, HOST[1]),
            (&world.host, "::1"),
            (&peer, HOST[1]),
        ] {
            let dial = Dial::new(transport, (address(to), 8081).into());
            let answer = dial.answered(client);
            assert_eq!(answer.peer, dial.to, "{transport:?} to {to}");
            assert_eq!(answer.client.ip(), address("172.17.0.1"), "{transport:?} to {to}");
        }
        // IPv4 beside it keeps its client
        let dial = Dial::new(transport, (address(HOST[0]), 8081).into());
        assert_eq!(dial.answered(world.lan()).client.ip(), address(LAN[0]));
    }
}

#[test]
fn large_datagrams_and_long_streams_reach_a_published_port() {
    let reach = Reach::new();
    let (world, web) = (&reach.world, reach.world.inside("web"));
    world.ok(&["publish", "web", "9000:90"]);
    for (family, own) in ["0.0.0.0", "::"].into_iter().enumerate() {
        for (client, to) in [(world.lan(), HOST), (&world.host, HOST), (&world.host, LOOPBACK)] {
            let dialled = (address(to[family]), 9000).into();
            tests::world::exchange(client, dialled, &web, (address(own), 90).into(), 4 << 20);
        }
    }
}
