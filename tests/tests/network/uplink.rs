//! Uplinks: several at once, later ones, those that go and those that change their address
//! (conformance case 35).

use tests::world::{
    Dial, HOST, LAN, Namespace, SECOND_HOST, SECOND_LAN, Service, Transport, World, eventually, interfaces,
};

use super::{address, drops_reach, dual};

/// `one` on a network `dual`, published as 8080 over TCP and UDP.
fn one(world: &World) -> (Namespace, [Service; 2]) {
    dual(world, "dual", 66, &[]);
    world.run("one", &["--net", "dual", "-p", "8080:80", "-p", "8080:80/udp"]);
    let inside = world.inside("one");
    let services = Transport::BOTH.map(|transport| Service::start(&inside, transport, 80, "one"));
    (inside, services)
}

/// Polls until a client is answered.
fn answered_at_last(dial: Dial, client: &Namespace) {
    eventually("the uplink is noticed", || {
        dial.ask_shortly(client)
            .map(drop)
            .map_err(|error| format!("{dial:?}: {error}"))
    });
}

#[test]
fn case_35_answers_leave_by_the_uplink_that_was_asked() {
    let mut world = World::without_agent();
    world.add_lan();
    let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
    // everything unknown is behind up0, except for whom asks by up1
    world
        .host
        .sh("ip route add default via 192.168.56.1 && ip -6 route add default via 2001:db8:56::1")
        .ok();
    world
        .host
        .sh("ip route add default via 192.168.57.1 table 57 && ip rule add from 192.168.57.99 lookup 57")
        .ok();
    world
        .host
        .sh("ip -6 route add default via 2001:db8:57::1 table 57 && ip -6 rule add from 2001:db8:57::2 lookup 57")
        .ok();
    world
        .host
        .sh("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter && echo 1 > /proc/sys/net/ipv4/conf/up1/rp_filter")
        .ok();
    let client = ["203.0.113.5", "2001:db8:200::5"];
    second
        .sh("ip addr add 203.0.113.5/32 dev lo && ip addr add 2001:db8:200::5/128 dev lo nodad")
        .ok();
    world.start_agent(&[]);
    let (_inside, _services) = one(&world);
    for transport in Transport::BOTH {
        for (family, to) in SECOND_HOST.into_iter().enumerate() {
            let dial = Dial::new(transport, (address(to), 8080).into()).from(client[family], 0);
            let answer = dial.answered(&second);
            assert_eq!((answer.client.ip(), answer.peer), (address(client[family]), dial.to));
            let neighbour = Dial::new(transport, dial.to).answered(&second);
            assert_eq!(neighbour.client.ip(), address(SECOND_LAN[family]));
            Dial::new(transport, (address(HOST[family]), 8080).into()).answered(world.lan());
        }
    }
}

#[test]
fn each_destination_is_reached_by_its_uplink() {
    let mut world = World::without_agent();
    world.add_lan();
    let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
    world.start_agent(&[]);
    let (inside, _services) = one(&world);
    let lans = [(world.lan(), LAN, HOST), (&second, SECOND_LAN, SECOND_HOST)];
    for transport in Transport::BOTH {
        for (lan, machine, host) in lans {
            let _service = Service::start(lan, transport, 7, "lan");
            for (to, own) in machine.into_iter().zip(host) {
                let dial = Dial::new(transport, (address(to), 7).into());
                assert_eq!(dial.answered(&inside).client.ip(), address(own));
            }
        }
    }
}

#[test]
fn an_uplink_that_comes_later_serves_and_one_that_goes_is_forgotten() {
    let world = World::with_lan();
    let (inside, _services) = one(&world);
    for round in 0..2 {
        let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
        let _lan = Service::start(&second, Transport::Udp, 7, "second");
        for (to, own) in SECOND_LAN.into_iter().zip(SECOND_HOST) {
            answered_at_last(Dial::udp(to, 7), &inside);
            assert_eq!(Dial::udp(to, 7).answered(&inside).client.ip(), address(own));
            answered_at_last(Dial::tcp(own, 8080), &second);
        }
        world.host.sh("ip link del up1").ok();
        for to in HOST {
            assert_eq!(Dial::tcp(to, 8080).answered(world.lan()).name, "one", "round {round}");
        }
        let before = world.drops("one", "dual", "no-route");
        Dial::udp(SECOND_LAN[0], 7).unanswered(&inside);
        drops_reach(&world, "one", "dual", "no-route", before + 1);
    }
}

#[test]
fn an_uplinks_new_address_is_the_one_that_is_used() {
    let world = World::with_lan();
    let (inside, _services) = one(&world);
    let _lan = Service::start(world.lan(), Transport::Udp, 7, "lan");
    let new = ["192.168.56.77", "2001:db8:56::77"];
    for (to, own) in LAN.into_iter().zip(HOST) {
        assert_eq!(Dial::udp(to, 7).answered(&inside).client.ip(), address(own));
    }
    world
        .host
        .sh("ip addr del 192.168.56.99/24 dev up0 && ip addr add 192.168.56.77/24 brd + dev up0")
        .ok();
    world
        .host
        .sh("ip addr del 2001:db8:56::2/64 dev up0 && ip addr add 2001:db8:56::77/64 dev up0 nodad")
        .ok();
    for (to, own) in LAN.into_iter().zip(new) {
        eventually("the new address is used", || {
            match Dial::udp(to, 7).ask_shortly(&inside) {
                Ok(answer) if answer.client.ip() == address(own) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        for dial in [Dial::tcp(own, 8080), Dial::udp(own, 8080)] {
            answered_at_last(dial, world.lan());
        }
    }
}

#[test]
fn an_uplink_that_is_named_is_the_only_one() {
    let mut world = World::without_agent();
    world.add_lan();
    let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
    world.start_agent(&["--uplink", "up0"]);
    let (inside, _services) = one(&world);
    Dial::tcp(HOST[0], 8080).answered(world.lan());
    let _lan = Service::start(&second, Transport::Udp, 7, "second");
    Dial::udp(SECOND_LAN[0], 7).unanswered(&inside);
    drops_reach(&world, "one", "dual", "no-uplink", 1);
}

#[test]
fn a_second_address_of_an_uplink_answers_as_itself() {
    let world = World::with_lan();
    world.host.sh("ip addr add 192.168.56.98/24 dev up0").ok();
    let (_inside, _services) = one(&world);
    for dial in [Dial::udp("192.168.56.98", 8080), Dial::tcp("192.168.56.98", 8080)] {
        for client in [world.lan(), &world.host] {
            assert_eq!(dial.answered(client).peer, dial.to);
        }
    }
}

#[test]
fn forwarding_and_addresses_of_the_uplink_are_not_touched() {
    let mut world = World::without_agent();
    world.add_lan();
    let sysctls = || {
        world.host.sh("cd /proc/sys/net && cat ipv4/ip_forward ipv4/conf/*/rp_filter ipv6/conf/all/forwarding ipv4/conf/up0/* ipv6/conf/up0/* 2>/dev/null").stdout
    };
    let before = (sysctls(), interfaces(&world.host));
    world.start_agent(&[]);
    let devices = || {
        let mut devices = interfaces(&world.host);
        devices.retain(|found| ["lo", "up0"].contains(&found.name.as_str()));
        devices
    };
    assert_eq!(devices(), before.1);
    let own = world
        .host
        .sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")
        .ok();
    assert_eq!(own, "0\n0");
    assert_eq!(
        world
            .host
            .sh("cat /proc/sys/net/ipv4/conf/up0/forwarding /proc/sys/net/ipv6/conf/up0/forwarding")
            .ok(),
        "0\n0"
    );
    world.stop_agent();
    world.purge().ok();
    assert_eq!((sysctls(), interfaces(&world.host)), before);
}

#[test]
fn a_next_hop_that_changes_its_mac_is_followed() {
    let world = World::with_lan();
    let (inside, _services) = one(&world);
    let _lan = Service::start(world.lan(), Transport::Udp, 7, "lan");
    let own = ["10.66.0.2", "fd66::2"];
    let dials = [0, 1].map(|family| Dial::udp(LAN[family], 7).from(own[family], 4000));
    for dial in dials {
        dial.answered(&inside);
        dial.answered(&inside);
    }
    world
        .lan()
        .sh("ip link set eth0 address 02:00:00:00:77:01 && ip neigh flush dev eth0")
        .ok();
    // as the kernel learns it from an announcement
    for to in LAN {
        world
            .host
            .sh(&format!(
                "ip neigh replace {to} lladdr 02:00:00:00:77:01 nud reachable dev up0"
            ))
            .ok();
    }
    for dial in dials {
        answered_at_last(dial, &inside);
    }
}
