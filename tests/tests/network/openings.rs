//! What an endpoint may do beyond the usual when it is let: forward, have a reserved address, have more copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netswitch_common::address::Mac;
use serde_json::json;
use tests::{
    packet::{Arp, ip, multicast_mac},
    world::{Capture, World, eventually, send, send_repeatedly},
};

use super::{address, words};

const NETWORK: &str = "network create --ipv6 --subnet 10.5.0.0/24 --subnet fd05::/64 --aux-address vip=10.5.0.100 \
                       --aux-address six=fd05::100";
const SHARED_V4: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 100);
const SHARED_V6: Ipv6Addr = Ipv6Addr::new(0xfd05, 0, 0, 0, 0, 0, 0, 0x100);
const GATEWAYS: [&str; 2] = ["10.5.0.1", "fd05::1"];
const BEYOND: [&str; 2] = ["192.0.2.10", "2001:db8:9::10"];

fn world(network: &str, options: &[&str]) -> World {
    let world = World::new();
    world.ok(&words(&format!("{NETWORK} {network} n")));
    world.run("one", &[&["--network", "n"], options].concat());
    world.run("two", &["--network", "n"]);
    world
}

fn mac(world: &World, name: &str) -> Mac {
    world.mac(name, "n")
}

fn own(world: &World, name: &str) -> [IpAddr; 2] {
    let v6 = world.field(name, "n", "GlobalIPv6Address");
    [world.address(name, "n"), v6.parse().unwrap()]
}

#[test]
fn a_router_says_what_comes_from_beyond_and_nothing_else() {
    for (network, options, is_router) in [
        ("", &[][..], false),
        ("", &["--router"], true),
        ("-o netswitch.router=true", &[], true),
    ] {
        let world = world(network, options);
        let (sender, receiver) = (world.inside("one"), world.inside("two"));
        let (from, to) = (mac(&world, "one"), mac(&world, "two"));
        let gateway: Mac = Mac::of_v4([10, 5, 0, 1]);
        let hears = Capture::start(&receiver, "eth0");
        let addresses = own(&world, "two");
        let refused = || world.drops("one", "n", "spoofed-address");
        for family in 0..2 {
            let before = refused();
            let beyond = ip((from, to), address(BEYOND[family]), addresses[family]).udp(7, 7, b"beyond");
            send(&sender, "eth0", &beyond);
            if is_router {
                hears.expect("what was forwarded", |captured| captured.frame == beyond);
                assert_eq!(refused(), before);
            } else {
                eventually("it is counted", || {
                    (refused() > before).then_some(()).ok_or("no drop".into())
                });
            }
            // the gateway's, a neighbour's, an address that may be anybody's tomorrow; to the host; to everybody
            let unknown = [address("10.5.0.77"), address("fd05::77")][family];
            let group: IpAddr = [address("224.0.0.251"), address("ff02::fb")][family];
            let outside: IpAddr = address(BEYOND[family]);
            for (what, macs, from, to) in [
                (
                    "the gateway's",
                    (from, to),
                    address(GATEWAYS[family]),
                    addresses[family],
                ),
                (
                    "a neighbour's",
                    (from, to),
                    own(&world, "two")[family],
                    own(&world, "one")[family],
                ),
                ("nobody's yet", (from, to), unknown, addresses[family]),
                ("to the host", (from, gateway), outside, address(GATEWAYS[family])),
                (
                    "to the world",
                    (from, gateway),
                    outside,
                    address(["198.51.100.9", "2001:db8:7::9"][family]),
                ),
                ("to everybody", (from, multicast_mac(group)), outside, group),
            ] {
                let before = refused();
                send(&sender, "eth0", &ip(macs, from, to).udp(7, 7, what.as_bytes()));
                eventually(what, || (refused() > before).then_some(()).ok_or("no drop".into()));
            }
        }
        let arp = world.drops("one", "n", "spoofed-arp");
        send(
            &sender,
            "eth0",
            &Arp::reply((from, Ipv4Addr::new(10, 5, 0, 1)), (to, SHARED_V4)).frame(from, to),
        );
        assert_eq!(world.drops("one", "n", "spoofed-arp"), arp + 1);
    }
}

#[test]
fn a_reserved_address_is_with_whoever_announces_it() {
    for network in ["", "-o netswitch.addresses=10.5.0.100,fd05::100"] {
        let world = World::new();
        world.ok(&words(&format!("{NETWORK} {network} n")));
        let options: &[&str] = if network.is_empty() {
            &["--extra-address", "10.5.0.100,fd05::100"]
        } else {
            &[]
        };
        for name in ["one", "two"] {
            world.run(name, &[&["--network", "n"], options].concat());
        }
        world.run("client", &["--network", "n"]);
        if network.is_empty() {
            let shown = &world.inspect("one")["NetworkSettings"]["Networks"]["n"]["DriverOpts"];
            assert_eq!(*shown, json!({"netswitch.addresses": "10.5.0.100,fd05::100"}));
        }
        let client = world.inside("client");
        let [one, two] = ["one", "two"].map(|name| world.inside(name));
        let macs = ["one", "two"].map(|name| mac(&world, name));
        for (name, holder, has_agent) in [("one", &one, true), ("two", &two, true), ("one", &one, false)] {
            if !has_agent {
                world.kill_agent(); // the address moves without it
            }
            holder
                .sh("ip addr add 10.5.0.100/32 dev eth0 && ip addr add fd05::100/128 dev eth0 nodad")
                .ok();
            let own = macs[usize::from(name == "two")];
            send(
                holder,
                "eth0",
                &Arp::request((own, SHARED_V4), SHARED_V4).frame(own, Mac::BROADCAST),
            );
            let everyone: Ipv6Addr = "ff02::1".parse().unwrap();
            let announces = ip((own, multicast_mac(everyone)), SHARED_V6, everyone).hops(255);
            send(holder, "eth0", &announces.advertise(0x20, SHARED_V6, Some(own)));
            for asker in [&client, &world.host] {
                for to in ["10.5.0.100", "fd05::100"] {
                    eventually(&format!("{to} answers from {name}"), || {
                        let seen = Capture::start(holder, "eth0");
                        if asker.sh(&format!("ping -c1 -W1 {to}")).status != 0 {
                            return Err("no answer".into());
                        }
                        let heard = seen.so_far().iter().any(|captured| captured.is_outgoing);
                        heard.then_some(()).ok_or("another answered".into())
                    });
                }
            }
            holder
                .sh("ip addr del 10.5.0.100/32 dev eth0; ip addr del fd05::100/128 dev eth0")
                .ok();
        }
    }
}

#[test]
fn a_reserved_address_is_refused_to_all_others() {
    let world = world("", &[]);
    let (sender, from, to) = (world.inside("one"), mac(&world, "one"), mac(&world, "two"));
    let counted = |reason: &'static str, frame: &[u8]| {
        let before = world.drops("one", "n", reason);
        send(&sender, "eth0", frame);
        eventually(reason, || {
            (world.drops("one", "n", reason) > before)
                .then_some(())
                .ok_or("no drop".into())
        });
    };
    let everyone: Ipv6Addr = "ff02::1".parse().unwrap();
    let [v4, v6] = own(&world, "two");
    counted(
        "spoofed-arp",
        &Arp::request((from, SHARED_V4), SHARED_V4).frame(from, Mac::BROADCAST),
    );
    counted(
        "spoofed-arp",
        &Arp::reply((from, SHARED_V4), (to, SHARED_V4)).frame(from, to),
    );
    counted(
        "spoofed-arp",
        &Arp::request((from, Ipv4Addr::UNSPECIFIED), SHARED_V4).frame(from, Mac::BROADCAST),
    );
    counted("spoofed-address", &ip((from, to), SHARED_V4, v4).udp(7, 7, b"x"));
    counted("spoofed-address", &ip((from, to), SHARED_V6, v6).udp(7, 7, b"x"));
    let claim = ip((from, multicast_mac(everyone)), own(&world, "one")[1], everyone).hops(255);
    counted("spoofed-neighbour", &claim.advertise(0x20, SHARED_V6, Some(from)));
    let probe = ip((from, multicast_mac(everyone)), Ipv6Addr::UNSPECIFIED, everyone).hops(255);
    counted("spoofed-neighbour", &probe.solicit(SHARED_V6, None));

    let refuses = |address: &str| {
        let message = format!(
            "Error response from daemon: address {address} is not reserved on network n: reserve it with --aux-address"
        );
        let options = format!("network connect --extra-address {address} n three");
        world.refuses(&words(&options), 1, &message);
    };
    world.run("three", &[]);
    for address in ["10.5.0.1", "10.5.0.50", "fd05::50", "10.6.0.1"] {
        refuses(address);
    }
    world.ok(&words("network connect --extra-address 10.5.0.100 --router n three"));
}

#[test]
fn copies_have_the_rate_that_was_asked_for() {
    for (network, option, few) in [
        ("", "", false),
        ("-o netswitch.replication_rate=100", "", true),
        (
            "-o netswitch.replication_rate=100",
            "netswitch.replication_rate=100000",
            false,
        ),
        ("", "netswitch.replication_rate=100", true),
    ] {
        let world = World::new();
        world.ok(&words(&format!("{NETWORK} {network} n")));
        world.run("one", &[]);
        let connect = match option {
            "" => "network connect n one".to_owned(),
            _ => format!("network connect --driver-opt {option} n one"),
        };
        world.ok(&words(&connect));
        world.restart_agent();
        let sender = world.inside("one");
        let group: IpAddr = address("239.1.1.1");
        let frame = ip((mac(&world, "one"), multicast_mac(group)), own(&world, "one")[0], group).udp(7, 7, b"x");
        send_repeatedly(&sender, "eth1", &frame, 3_000);
        let dropped = || world.drops("one", "n", "replication-rate");
        if few {
            eventually("copies are limited", || {
                (dropped() > 1_000).then_some(()).ok_or(dropped().to_string())
            });
        } else {
            assert_eq!(dropped(), 0);
        }
    }
}
