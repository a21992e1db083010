//! A container that takes all there is: its own share ends, nobody else's.

use std::net::UdpSocket;

use tests::world::{Dial, Service, Transport, eventually, send_all, send_repeatedly};

use super::*;
use crate::drops_reach;

/// Groups that reports of membership go to (RFC 3376, RFC 3810).
const REPORTS: [&str; 2] = ["224.0.0.22", "ff02::16"];

#[test]
fn reports_of_groups_are_limited_and_counted() {
    let field = Field::new();
    for family in FAMILIES {
        let to = multicast_mac(address(REPORTS[family]));
        let packet = field.packet(to, ATTACKER[family], REPORTS[family]).hops(1);
        let report = match family {
            0 => packet
                .options(&[0x94, 4, 0, 0])
                .protocol(2, &[&[0x22, 0, 0, 0, 0, 0, 0, 0], MARK].concat()),
            _ => packet
                .extension(0, &[5, 2, 0, 0, 1, 0])
                .icmp(143, 0, &[&[0; 4], MARK].concat()),
        };
        let one = case(Fate::Heard(&[Victim]), "a report", vec![report.clone()]);
        field.heard(&one);
        let limited = || field.world.drops("attacker", "mynet", "replication-rate");
        let before = limited();
        eventually("the sender's rate is limited", || {
            send_repeatedly(&field.attacker, "eth0", &report, 3000);
            match limited() - before {
                0 => Err("nothing was dropped".to_owned()),
                _ => Ok(()),
            }
        });
        field.monitor.expect_words("drop mynet attacker replication-rate");
        let heard = field.heard(&one);
        assert!(
            heard.contains_key(&Victim) && !heard.contains_key(&Place::Stranger),
            "{heard:?}"
        );
    }
    for name in ["victim", "stranger"] {
        assert_eq!(
            field.world.drops(
                name,
                if name == "victim" { "mynet" } else { "other" },
                "replication-rate"
            ),
            0
        );
    }
}

#[test]
fn case_14_connections_that_are_never_made_cost_others_nothing() {
    let world = World::with_lan_and(&["--flow-quota", "128"]);
    dual(&world, "mynet", 70, &[]);
    world.run("attacker", &["--net", "mynet"]);
    world.run("victim", &["--net", "mynet"]);
    let _service = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    let (attacker, victim) = (world.inside("attacker"), world.inside("victim"));
    let macs = (world.mac("attacker", "mynet"), Mac([0x02, 0x42, 10, 70, 0, 1]));
    for family in FAMILIES {
        let packet = ip(macs, address(ATTACKER[family]), address(LAN[family]));
        let frames: Vec<_> = (10_000..20_000).map(|port| packet.tcp(port, 9, &[])).collect();
        send_all(&attacker, "eth0", frames.iter().map(Vec::as_slice));
        let flows = world.ok(&["flows"]);
        let count = flows.lines().filter(|line| line.contains("attacker")).count();
        assert!(count <= 128, "{count} flows");
        Dial::tcp(LAN[family], 7).answered(&victim);
    }
    assert_eq!(world.drops("victim", "mynet", "flow-quota"), 0);
}

/// Each container leaves some ports to the others.
#[test]
fn case_12_nobody_takes_all_ports_to_a_destination() {
    let world = World::with_lan_and(&["--masquerade-ports", "10240-10751"]);
    dual(&world, "mynet", 70, &[]);
    world.run("attacker", &["--net", "mynet"]);
    world.run("victim", &["--net", "mynet"]);
    // these are published, so the attacker's sockets cannot keep them outside
    world.run("web", &["--net", "mynet", "-p", "9000-9799:9000-9799/udp"]);
    let _service = Service::start(world.lan(), Transport::Udp, 7, "lan");
    let (attacker, victim) = (world.inside("attacker"), world.inside("victim"));
    let monitor = Listener::start(&world, &["--drops"]);
    let sockets: Vec<_> = attacker.enter(|| {
        let socket = |port: u16| {
            let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            socket.connect((address(LAN[0]), 7)).unwrap();
            socket
        };
        (9_000..9_800).map(socket).collect()
    });
    for socket in &sockets {
        let _ = socket.send(b"who?");
    }
    drops_reach(&world, "attacker", "mynet", "ports-exhausted", 1);
    monitor.expect_words("drop mynet attacker (world) udp ports-exhausted");
    for port in 9_000..9_020 {
        Dial::udp(LAN[0], 7).from("0.0.0.0", port).answered(&victim);
    }
    assert_eq!(world.drops("victim", "mynet", "ports-exhausted"), 0);
}
