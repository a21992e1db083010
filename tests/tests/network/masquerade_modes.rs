//! How a network meets the world: without masquerade, with an address of its own, routed, isolated.

use tests::world::{Dial, LAN, Service, Transport, World};

use super::{address, dual, no_ping, ping};

const NAT: &str = "com.docker.network.bridge.enable_ip_masquerade";

/// Routes to the container networks, as an operator sets them who does without NAT.
fn with_routes() -> World {
    let world = World::with_lan();
    world
        .lan()
        .sh("ip route add 10.66.0.0/24 via 192.168.56.99 && ip -6 route add fd66::/64 via 2001:db8:56::2")
        .ok();
    world
}

#[test]
fn without_masquerade_the_world_sees_the_container() {
    let world = with_routes();
    dual(&world, "dual", 66, &["-o", &format!("{NAT}=false")]);
    world.run("one", &["--net", "dual"]);
    let one = world.inside("one");
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    for transport in Transport::BOTH {
        for (to, own) in LAN.into_iter().zip(["10.66.0.2", "fd66::2"]) {
            let dial = Dial::new(transport, (address(to), 7).into()).from(own, 5000);
            assert_eq!(dial.answered(&one).client, (address(own), 5000).into());
        }
    }
    for to in LAN {
        ping(&one, to, 63);
    }
    // that it goes out does not let others in
    let _inside = Service::start(&one, Transport::Tcp, 80, "one");
    for to in ["10.66.0.2", "fd66::2"] {
        Dial::tcp(to, 80).unanswered(world.lan());
    }
}

#[test]
fn a_network_has_a_source_address_of_its_own() {
    let world = World::with_lan();
    world
        .host
        .sh("ip addr add 192.168.56.98/24 dev up0 && ip addr add 2001:db8:56::98/64 dev up0 nodad")
        .ok();
    let own = ["192.168.56.98", "2001:db8:56::98"];
    let options = [
        "-o",
        "com.docker.network.host_ipv4=192.168.56.98",
        "-o",
        "com.docker.network.host_ipv6=2001:db8:56::98",
    ];
    dual(&world, "dual", 66, &options);
    dual(&world, "other", 67, &[]);
    world.run("one", &["--net", "dual"]);
    world.run("two", &["--net", "other"]);
    let _services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    for transport in Transport::BOTH {
        for (family, to) in LAN.into_iter().enumerate() {
            let dial = Dial::new(transport, (address(to), 7).into());
            let seen = ["one", "two"].map(|name| dial.answered(&world.inside(name)).client.ip());
            // the other's is what the host itself would take
            let route = world.host.sh(&format!("ip route get {to}")).ok();
            let source = super::words(&route)
                .into_iter()
                .skip_while(|word| *word != "src")
                .nth(1)
                .unwrap();
            assert_eq!(seen, [address(own[family]), address(source)]);
        }
    }
}

#[test]
fn case_21_a_routed_network_opens_what_it_publishes() {
    let world = with_routes();
    let modes = ["ipv4", "ipv6"].map(|family| format!("com.docker.network.bridge.gateway_mode_{family}=routed"));
    dual(&world, "dual", 66, &["-o", &modes[0], "-o", &modes[1]]);
    world.run("web", &["--net", "dual", "-p", "80", "-p", "53/udp"]);
    let web = world.inside("web");
    let _services = [
        (Transport::Tcp, 80),
        (Transport::Tcp, 81),
        (Transport::Udp, 53),
        (Transport::Udp, 54),
    ]
    .map(|(transport, port)| Service::start(&web, transport, port, "web"));
    for (to, from) in ["10.66.0.2", "fd66::2"].into_iter().zip(LAN) {
        for dial in [Dial::tcp(to, 80), Dial::udp(to, 53)] {
            assert_eq!(dial.answered(world.lan()).client.ip(), address(from));
        }
        Dial::tcp(to, 81).unanswered(world.lan());
        Dial::udp(to, 54).unanswered(world.lan());
    }
    // and goes out as it is
    let _lan = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    for (to, own) in LAN.into_iter().zip(["10.66.0.2", "fd66::2"]) {
        assert_eq!(Dial::tcp(to, 7).answered(&web).client.ip(), address(own));
    }
}

#[test]
fn an_isolated_network_has_no_host() {
    let world = World::with_lan();
    let modes = ["ipv4", "ipv6"].map(|family| format!("com.docker.network.bridge.gateway_mode_{family}=isolated"));
    let name = "com.docker.network.bridge.name=br-alone";
    dual(
        &world,
        "alone",
        66,
        &["--internal", "-o", &modes[0], "-o", &modes[1], "-o", name],
    );
    for name in ["one", "two"] {
        world.run(name, &["--net", "alone"]);
    }
    let addresses = world.host.sh("ip addr show dev br-alone").ok();
    assert!(
        !addresses.contains("10.66.0.") && !addresses.contains("fd66:"),
        "{addresses}"
    );
    let one = world.inside("one");
    let neighbour = world.address("two", "alone").to_string();
    ping(&one, &neighbour, 64);
    for gateway in ["10.66.0.1", "fd66::1"] {
        no_ping(&one, gateway);
    }
    assert_ne!(world.host.sh(&format!("ping -c 1 -W 1 {neighbour}")).status, 0);
    assert_ne!(one.sh(&format!("ping -c 1 -W 1 {}", LAN[0])).status, 0);
}
