//! Uplinks whose packets have no Ethernet headers: tunnels.

use tests::world::{
    Capture, Captured, Dial, HOST, LAN, Service, TUNNEL_HOST, TUNNEL_PEER, Transport, World, addresses, echoes,
    eventually,
};

use super::{FAMILIES, address, at_once, dual};

/// What the world behind the tunnel must see, and reach.
fn works(arguments: &[&str]) {
    let mut world = World::without_agent();
    world.add_lan();
    let tunnel = world.add_tunnel(1400);
    world.start_agent(arguments);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual", "-p", "8080:80", "-p", "8080:80/udp"]);
    let inside = world.inside("one");
    let _published = Transport::BOTH.map(|transport| Service::start(&inside, transport, 80, "one"));
    let _beyond = Transport::BOTH.map(|transport| Service::start(&tunnel.peer, transport, 7, "peer"));
    for peer in addresses(TUNNEL_PEER) {
        inside.enter(|| echoes(&[peer])).expect("the peer answers");
        // two fragments each way; of the first packet the container learns how long they may be
        world
            .exec("one", &["ping", "-c3", "-W2", "-s", "2000", &peer.to_string()])
            .ok();
        // what is longer than the tunnel takes is told
        let told = world.exec(
            "one",
            &["ping", "-c1", "-W1", "-M", "do", "-s", "1440", &peer.to_string()],
        );
        let says = told.stdout + &told.stderr;
        assert!(says.contains("mtu") && says.contains("1400"), "{says}");
    }
    for transport in Transport::BOTH {
        for (peer, host) in TUNNEL_PEER.into_iter().zip(TUNNEL_HOST) {
            let dial = Dial::new(transport, (address(peer), 7).into());
            assert_eq!(dial.answered(&inside).client.ip(), address(host), "{dial:?}");
            let dial = Dial::new(transport, (address(host), 8080).into());
            let answer = dial.answered(&tunnel.peer);
            assert_eq!(
                (answer.client.ip(), answer.name.as_str()),
                (address(peer), "one"),
                "{dial:?}"
            );
        }
        // the host's own sockets, and the uplink with Ethernet beside it
        let _own = Service::start(&world.host, transport, 9, "host");
        for own in TUNNEL_HOST {
            assert_eq!(
                Dial::new(transport, (address(own), 9).into())
                    .answered(&tunnel.peer)
                    .name,
                "host"
            );
        }
        for own in HOST {
            assert_eq!(
                Dial::new(transport, (address(own), 8080).into())
                    .answered(world.lan())
                    .name,
                "one"
            );
        }
    }
}

#[test]
fn a_tunnel_is_an_uplink_by_itself() {
    works(&[]);
}

#[test]
fn a_tunnel_is_an_uplink_by_its_name() {
    works(&["--uplink", "up0", "--uplink", "vpn0"]);
}

#[test]
fn a_tunnel_is_an_uplink_beside_xdp() {
    works(&["--uplink-mode", "xdp"]);
}

#[test]
fn containers_are_closed_to_a_tunnel() {
    let world = World::with_lan();
    let tunnel = world.add_tunnel(1400);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let _service = Service::start(&world.inside("one"), Transport::Tcp, 80, "one");
    let one = world.address("one", "dual");
    tunnel.peer.sh(&format!("ip route add {one} dev vpn0")).ok();
    // the host forwards, as one does on which Docker has run
    world.host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward").ok();
    eventually("the tunnel is an uplink", || {
        match Dial::tcp(TUNNEL_PEER[0], 9).ask_shortly(&world.inside("one")) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    Dial::tcp(&one.to_string(), 80).unanswered(&tunnel.peer);
}

/// Nothing leaves untranslated where nothing translates it.
#[test]
fn a_tunnel_is_no_uplink_in_stack_mode() {
    let mut world = World::without_agent();
    world.add_lan();
    let tunnel = world.add_tunnel(1400);
    world.start_agent(&["--uplink-mode", "stack"]);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let capture = Capture::start(&tunnel.peer, "vpn0");
    for peer in TUNNEL_PEER {
        Dial::udp(peer, 7).unanswered(&world.inside("one"));
    }
    let own = |frame: &Captured| frame.frame.windows(4).any(|bytes| bytes == [10, 66, 0, 2]);
    assert!(!capture.so_far().iter().any(own));
    let said = world.cli(&["doctor"]).stdout;
    assert!(said.contains("not vpn0: it has no Ethernet headers"), "{said}");
}

/// A tunnel that comes and goes while the agent runs.
#[test]
fn the_way_follows_a_tunnel() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let inside = world.inside("one");
    for (family, lan) in FAMILIES.into_iter().zip(LAN) {
        world.host.sh(&format!("ip {family} route add default via {lan}")).ok();
    }
    for (peer, far) in TUNNEL_PEER.into_iter().zip(["203.0.113.9", "2001:db8:113::9"]) {
        let family = if far.contains(':') { "-6" } else { "-4" };
        world
            .lan()
            .sh(&format!("ip {family} addr add {far} dev lo{}", at_once(family)))
            .ok();
        let at = |machine, name| Service::at(machine, Transport::Udp, (address(far), 7).into(), name);
        let _lan = at(world.lan(), "lan");
        let dial = Dial::udp(far, 7);
        assert_eq!(dial.answered(&inside).name, "lan");
        let tunnel = world.add_tunnel(1400);
        tunnel
            .peer
            .sh(&format!("ip {family} addr add {far} dev lo{}", at_once(family)))
            .ok();
        let _peer = at(&tunnel.peer, "peer");
        world
            .host
            .sh(&format!("ip {family} route add {far} via {peer} dev vpn0"))
            .ok();
        let by = |name: &str| {
            eventually("the way is the route's", || match dial.ask_shortly(&inside) {
                Ok(answer) if answer.name == name => Ok(()),
                other => Err(format!("{other:?}")),
            });
        };
        by("peer");
        drop(tunnel);
        by("lan");
    }
}
