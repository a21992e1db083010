//! `--internal`, `enable_icc=false`, and the world beyond the host.

use netswitch_common::address::Mac;
use tests::packet::ip;
use tests::world::{Capture, Dial, HOST, LAN, Service, Transport, World, eventually, interfaces, send};

use super::{address, drops_reach, dual, no_ping, ping};

#[test]
fn an_internal_network_ends_at_the_host() {
    let world = World::with_lan();
    world.ok(&["network", "create", "--internal", "--subnet", "10.3.0.0/24", "inner"]);
    world.run("one", &["--net", "inner"]);
    world.run("two", &["--net", "inner"]);
    let one = world.inside("one");
    ping(&one, "10.3.0.3", 64);
    ping(&one, "10.3.0.1", 64);
    ping(&world.host, "10.3.0.2", 64);
    assert_eq!(world.exec("one", &["ip", "route", "show", "default"]).ok(), "");
    let unreachable = one.sh("ping -c 1 -W 1 192.168.56.1");
    assert!(unreachable.stderr.contains("Network is unreachable"), "{unreachable:?}");
    // a route of its own does not help
    one.sh("ip route add default via 10.3.0.1").ok();
    no_ping(&one, "192.168.56.1");
    assert_eq!(world.drops("one", "inner", "internal-network"), 2);
}

#[test]
fn beyond_the_host_is_nothing_without_an_uplink() {
    let world = World::with_lan_and(&["--uplink", "none"]);
    world.run("one", &[]);
    no_ping(&world.inside("one"), "192.168.56.1");
    assert_eq!(world.drops("one", "bridge", "no-uplink"), 2);
    // the host's own addresses are the host's
    ping(&world.inside("one"), "192.168.56.99", 64);
}

#[test]
fn without_icc_containers_reach_the_host_alone() {
    let world = World::new();
    let icc = "com.docker.network.bridge.enable_icc=false";
    world.ok(&["network", "create", "-o", icc, "--subnet", "10.4.0.0/24", "quiet"]);
    world.run("one", &["--net", "quiet"]);
    world.run("two", &["--net", "quiet", "--expose", "80"]);
    let one = world.inside("one");
    no_ping(&one, "10.4.0.3");
    let counted = world.drops("one", "quiet", "icc-disabled");
    let (from, to) = (world.mac("one", "quiet"), world.mac("two", "quiet"));
    send(
        &one,
        "eth0",
        &ip((from, to), address("10.4.0.2"), address("10.4.0.3")).ping(),
    );
    eventually("the drop is counted", || {
        match world.drops("one", "quiet", "icc-disabled") {
            now if now == counted + 1 => Ok(()),
            now => Err(format!("{now} after {counted}")),
        }
    });
    ping(&one, "10.4.0.1", 64);
    ping(&world.host, "10.4.0.3", 64);
    // as in Docker, a link is a name here and no way
    world.run("three", &["--net", "quiet", "--link", "two:db"]);
    let _service = Service::start_v4(&world.inside("two"), Transport::Tcp, 80, "two");
    let _ = Dial::tcp("10.4.0.3", 80).unanswered(&world.inside("three"));
    drops_reach(&world, "three", "quiet", "icc-disabled", 1);
}

#[test]
fn the_gateways_mac_does_not_lead_to_another_network() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.4.0.0/24", "other"]);
    world.run("one", &[]);
    world.run("two", &["--net", "other"]);
    let gateway = Mac([0x02, 0x42, 172, 17, 0, 1]);
    let one = world.inside("one");
    let macs = (world.mac("one", "bridge"), gateway);
    send(
        &one,
        "eth0",
        &ip(macs, address("172.17.0.2"), address("10.4.0.2")).ping(),
    );
    drops_reach(&world, "one", "bridge", "other-network", 1);
    // but the host itself is there by whatever address it has
    ping(&one, "10.4.0.1", 64);
}

/// A network that an option closes, with a container `one`, the host's services on 7000, and a container that
/// publishes 8080 elsewhere.
fn closed(options: &[&str]) -> (World, Vec<Service>) {
    let world = World::with_lan();
    dual(&world, "shut", 66, options);
    dual(&world, "web", 67, &[]);
    world.run("one", &["--net", "shut"]);
    let ports = ["-p", "8080:80", "-p", "8080:80/udp"];
    world.run("two", &[&["--net", "web"], &ports[..]].concat());
    let places = [(&world.host, 7000, "host"), (world.lan(), 7000, "lan")];
    let mut services: Vec<_> = places
        .into_iter()
        .flat_map(|(place, port, name)| Transport::BOTH.map(|transport| Service::start(place, transport, port, name)))
        .collect();
    let two = world.inside("two");
    services.extend(Transport::BOTH.map(|transport| Service::start(&two, transport, 80, "two")));
    (world, services)
}

const GATEWAY: [&str; 2] = ["10.66.0.1", "fd66::1"];
const ONE: [&str; 2] = ["10.66.0.2", "fd66::2"];

#[track_caller]
fn is_closed(world: &World, addresses: [&str; 2], reason: &str) {
    let one = world.inside("one");
    for to in addresses {
        for transport in Transport::BOTH {
            let before = world.drops("one", "shut", reason);
            let _ = Dial::new(transport, (address(to), 7000).into()).unanswered(&one);
            drops_reach(world, "one", "shut", reason, before + 1);
        }
    }
}

#[test]
fn host_access_none_leaves_nothing_of_the_host() {
    let (world, _services) = closed(&["-o", "netswitch.host_access=none"]);
    assert_eq!(world.network("shut")["Options"]["netswitch.host_access"], "none");
    let one = world.inside("one");
    for addresses in [GATEWAY, HOST] {
        is_closed(&world, addresses, "host-access");
        for to in addresses {
            no_ping(&one, to);
        }
    }
    let before = world.drops("one", "shut", "host-access");
    for transport in Transport::BOTH {
        for to in GATEWAY {
            let _ = Dial::new(transport, (address(to), 53).into()).unanswered(&one);
        }
    }
    drops_reach(&world, "one", "shut", "host-access", before + 4);
    // the world, what others publish, and what the host begins are no services of the host's
    let inside = Transport::BOTH.map(|transport| Service::start(&one, transport, 90, "one"));
    for transport in Transport::BOTH {
        for (lan, host) in LAN.into_iter().zip(HOST) {
            assert_eq!(
                Dial::new(transport, (address(lan), 7000).into()).answered(&one).name,
                "lan"
            );
            assert_eq!(
                Dial::new(transport, (address(host), 8080).into()).answered(&one).name,
                "two"
            );
        }
        for own in ONE {
            let dial = Dial::new(transport, (address(own), 90).into()).connected();
            assert_eq!(dial.answered(&world.host).name, "one");
        }
    }
    drop(inside);
    for own in ONE {
        ping(&world.host, own, 64);
    }
}

#[test]
fn host_access_dns_leaves_the_resolver_and_the_gateways_echo() {
    let (world, _services) = closed(&["-o", "netswitch.host_access=dns"]);
    let one = world.inside("one");
    for addresses in [GATEWAY, HOST] {
        is_closed(&world, addresses, "host-access");
    }
    for to in GATEWAY {
        ping(&one, to, 64);
    }
    for to in HOST {
        no_ping(&one, to);
    }
    for (own, database) in ONE.into_iter().zip(["ahostsv4", "ahostsv6"]) {
        let found = world.exec("one", &["getent", database, "one"]);
        assert!(found.ok().contains(own));
    }
}

#[test]
fn the_host_hears_no_broadcast_where_it_is_closed() {
    let (world, _services) = closed(&[
        "-o",
        "netswitch.host_access=none",
        "-o",
        "com.docker.network.bridge.name=br-shut",
    ]);
    world.run("three", &["--net", "shut"]);
    let (one, three) = (world.inside("one"), world.inside("three"));
    let [host, neighbour] =
        [(&world.host, "br-shut"), (&three, "eth0")].map(|(place, device)| Capture::start(place, device));
    let packet = ip(
        (world.mac("one", "shut"), Mac::BROADCAST),
        address(ONE[0]),
        address("255.255.255.255"),
    );
    send(&one, "eth0", &packet.udp(5000, 7000, b"anybody?"));
    let has = |capture: &Capture| {
        capture
            .so_far()
            .iter()
            .any(|captured| captured.frame.windows(8).any(|found| found == b"anybody?"))
    };
    eventually("the neighbour hears it", || {
        if has(&neighbour) { Ok(()) } else { Err(String::new()) }
    });
    // copies leave in turn: by the second one's arrival the first has been made
    send(&one, "eth0", &packet.udp(5000, 7000, b"another1"));
    eventually("and the next", || {
        let heard = neighbour
            .so_far()
            .iter()
            .any(|captured| captured.frame.windows(8).any(|found| found == b"another1"));
        if heard { Ok(()) } else { Err(String::new()) }
    });
    assert!(!has(&host), "the host heard it");
}

#[test]
fn metadata_deny_closes_the_metadata_addresses_alone() {
    const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
    let (world, _services) = closed(&["-o", "netswitch.metadata=deny"]);
    assert_eq!(world.network("shut")["Options"]["netswitch.metadata"], "deny");
    let add = format!(
        "ip addr add {}/32 dev eth0 && ip addr add {}/128 dev eth0 nodad",
        METADATA[0], METADATA[1]
    );
    world.lan().sh(&add).ok();
    let routes = format!(
        "ip route add default via {} && ip -6 route add default via {}",
        LAN[0], LAN[1]
    );
    world.host.sh(&routes).ok();
    is_closed(&world, METADATA, "metadata");
    let (one, two) = (world.inside("one"), world.inside("two"));
    for to in METADATA {
        no_ping(&one, to);
        // another network is not concerned
        assert_eq!(Dial::tcp(to, 7000).answered(&two).name, "lan");
    }
    for to in [GATEWAY, HOST].concat() {
        assert_eq!(Dial::tcp(to, 7000).answered(&one).name, "host");
    }
}

/// The host's MAC is no secret, and a route to it is quickly made.
#[test]
fn an_isolated_network_does_not_reach_the_host_by_its_mac() {
    let modes = ["ipv4", "ipv6"].map(|family| format!("com.docker.network.bridge.gateway_mode_{family}=isolated"));
    let (world, _services) = closed(&[
        "--internal",
        "-o",
        &modes[0],
        "-o",
        &modes[1],
        "-o",
        "com.docker.network.bridge.name=br-shut",
    ]);
    let host = world.host.sh("ip -o addr show dev br-shut").ok();
    assert_eq!(host, "", "not even a link-local address");
    let one = world.inside("one");
    let mac = interfaces(&world.host)
        .into_iter()
        .find(|device| device.name == "br-shut")
        .unwrap()
        .mac;
    for (family, gateway) in ["-4", "-6"].into_iter().zip(GATEWAY) {
        let route = format!(
            "ip {family} neigh replace {gateway} lladdr {mac} dev eth0 && ip {family} route add default via {gateway} dev eth0 onlink"
        );
        one.sh(&route).ok();
    }
    is_closed(&world, HOST, "host-access");
    is_closed(&world, LAN, "internal-network");
    // what others publish at the host is no way in, and a route of the host's is none to it
    let routes = format!(
        "ip route add default via {} && ip -6 route add default via {}",
        HOST[0], HOST[1]
    );
    world.lan().sh(&routes).ok();
    let routes = format!(
        "ip route add default via {} && ip -6 route add default via {}",
        LAN[0], LAN[1]
    );
    world.host.sh(&routes).ok();
    let two = world.inside("two");
    for transport in Transport::BOTH {
        for (own, host) in ONE.into_iter().zip(HOST) {
            let before = world.drops("one", "shut", "host-access");
            let _ = Dial::new(transport, (address(host), 8080).into()).unanswered(&one);
            drops_reach(&world, "one", "shut", "host-access", before + 1);
            let before = world.drops("two", "web", "other-network");
            let _ = Dial::new(transport, (address(own), 7000).into()).unanswered(&two);
            drops_reach(&world, "two", "web", "other-network", before + 1);
            let before = world.drops("one", "shut", "not-published");
            let _ = Dial::new(transport, (address(own), 7000).into()).unanswered(world.lan());
            drops_reach(&world, "one", "shut", "not-published", before + 1);
        }
    }
}
