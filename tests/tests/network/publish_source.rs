//! Who may use a published port (`from=`), and ports of networks that do not reach out themselves.

use std::io::ErrorKind;

use tests::world::{Dial, HOST, LAN, Service, Transport, World, eventually};

use super::{address, drops_reach, dual};

/// Another address of the machine on the LAN.
const OTHER: [&str; 2] = ["192.168.56.7", "2001:db8:56::7"];

fn world() -> World {
    let world = World::with_lan();
    let lan = world.lan();
    lan.sh("ip addr add 192.168.56.7/24 dev eth0 && ip addr add 2001:db8:56::7/64 dev eth0 nodad")
        .ok();
    dual(&world, "dual", 66, &[]);
    world
}

#[test]
fn only_listed_sources_get_in() {
    let world = world();
    let list = "from=192.168.56.7/32,from=2001:db8:56::7/128,from=203.0.113.0/24";
    let forms = ["tcp", "udp"].map(|protocol| format!("8080:80/{protocol},{list}"));
    world.run("web", &["--net", "dual", "-p", &forms[0], "-p", &forms[1]]);
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start(&web, transport, 80, "web"));
    for transport in Transport::BOTH {
        for family in [0, 1] {
            let dial = Dial::new(transport, (address(HOST[family]), 8080).into());
            let answer = dial.from(OTHER[family], 0).answered(world.lan());
            assert_eq!(answer.client.ip(), address(OTHER[family]));
            dial.from(LAN[family], 0).unanswered(world.lan());
        }
    }
    drops_reach(&world, "web", "dual", "source-denied", 4);
}

#[test]
fn a_list_holds_for_containers_and_changes_live() {
    let world = world();
    world.run("web", &["--net", "dual", "-p", "8080:80,from=192.168.56.0/24"]);
    dual(&world, "other", 67, &[]);
    world.run("stranger", &["--net", "other"]);
    let stranger = world.inside("stranger");
    let _service = Service::start(&world.inside("web"), Transport::Tcp, 80, "web");
    let dial = Dial::tcp(HOST[0], 8080);
    dial.answered(world.lan());
    dial.unanswered(&stranger);
    // a family that is not on the list is closed
    Dial::tcp(HOST[1], 8080).unanswered(world.lan());
    world.ok(&["unpublish", "web", "8080:80"]);
    world.ok(&["publish", "web", "8080:80,from=10.67.0.0/24"]);
    dial.answered(&stranger);
    dial.unanswered(world.lan());
    // the kernel still keeps the port
    let bound = world.host.enter(|| std::net::TcpListener::bind("0.0.0.0:8080"));
    assert_eq!(bound.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_list_that_makes_no_sense_is_refused() {
    let world = world();
    for form in [
        "8080:80,from=",
        "8080:80,from=10.0.0.0/33",
        "8080:80,from=web",
        "8080:80,to=10.0.0.1",
    ] {
        let before = world.snapshot();
        let output = world.cli(&["run", "-d", "-p", form, "--", "true"]);
        assert_eq!(output.status, 125, "{form}: {output:?}");
        assert!(output.stderr.to_lowercase().contains("invalid"), "{form}: {output:?}");
        assert_eq!(world.snapshot().difference(&before), None, "{form}");
    }
}

#[test]
fn case_29_an_internal_network_publishes_and_does_not_reach_out() {
    let world = world();
    dual(&world, "inner", 68, &["--internal"]);
    dual(&world, "other", 67, &[]);
    world.run("web", &["--net", "inner", "-p", "8080:80", "-p", "8080:80/udp"]);
    world.run("peer", &["--net", "inner"]);
    world.run("stranger", &["--net", "other"]);
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start(&web, transport, 80, "web"));
    let (stranger, peer) = (world.inside("stranger"), world.inside("peer"));
    for transport in Transport::BOTH {
        for (to, gateway) in HOST.into_iter().zip(["10.68.0.1", "fd68::1"]) {
            let dial = Dial::new(transport, (address(to), 8080).into());
            // it has no way back to them, so the gateway stands for them
            for client in [world.lan(), &stranger] {
                let answer = dial.answered(client);
                assert_eq!((answer.peer, answer.client.ip()), (dial.to, address(gateway)));
            }
            assert_eq!(dial.answered(&world.host).peer, dial.to);
        }
    }
    let _lan = Service::start(world.lan(), Transport::Udp, 53, "lan");
    for client in [&web, &peer] {
        assert_eq!(Dial::tcp(LAN[0], 53).unanswered(client), ErrorKind::NetworkUnreachable);
        // nor with a route of its own
        client.sh("ip route add default via 10.68.0.1").ok();
        Dial::udp(LAN[0], 53).unanswered(client);
        super::no_ping(client, LAN[0]);
    }
    eventually("the drops are counted", || {
        let counts = ["web", "peer"].map(|name| world.drops(name, "inner", "internal-network"));
        if counts.iter().all(|count| *count > 2) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    });
    // still open
    Dial::tcp(HOST[0], 8080).answered(world.lan());
}
