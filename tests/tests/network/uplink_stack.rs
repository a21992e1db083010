//! `--uplink-mode stack`: what goes between containers and the world goes through the host's own stack, and
//! its firewall has a say.

use tests::world::{
    Capture, Dial, FAR, HOST, LAN, Namespace, SECOND_HOST, SECOND_LAN, Service, Transport, World, datagrams,
    eventually, exchange, transfer,
};

use super::masquerade_fragments::{data, receive, socket};
use super::masquerade_icmp::{Probe, hop};
use super::{address, drops_reach, dual, no_ping, ping};

pub(super) const STACK: [&str; 2] = ["--uplink-mode", "stack"];
const OWN: [&str; 2] = ["10.66.0.2", "fd66::2"];

/// `one` on a network `dual`, published as 8080 over TCP and UDP, on a host of that mode.
pub(super) struct Setup {
    pub(super) world: World,
    pub(super) one: Namespace,
    _services: [Service; 2],
}

impl Setup {
    pub(super) fn new() -> Self {
        Self::of(World::with_lan_and(&STACK))
    }

    pub(super) fn of(world: World) -> Self {
        dual(&world, "dual", 66, &[]);
        world.run("one", &["--net", "dual", "-p", "8080:80", "-p", "8080:80/udp"]);
        let one = world.inside("one");
        let services = Transport::BOTH.map(|transport| Service::start(&one, transport, 80, "one"));
        Self {
            world,
            one,
            _services: services,
        }
    }

    /// Both directions, both transports, both families.
    #[track_caller]
    pub(super) fn reaches_and_is_reached(&self) {
        let lan = self.world.lan();
        let _services = Transport::BOTH.map(|transport| Service::start(lan, transport, 7, "lan"));
        for transport in Transport::BOTH {
            for (to, host) in LAN.into_iter().zip(HOST) {
                let out = Dial::new(transport, (address(to), 7).into());
                let answer = out.answered(&self.one);
                assert_eq!((answer.client.ip(), answer.peer), (address(host), out.to), "{out:?}");
                let into = Dial::new(transport, (address(host), 8080).into());
                let answer = into.answered(lan);
                assert_eq!((answer.client.ip(), answer.peer), (address(to), into.to), "{into:?}");
            }
        }
    }

    fn firewall(&self, rules: &str) {
        self.world.host.sh(&format!("nft -f - <<'RULES'\n{rules}\nRULES")).ok();
    }
}

#[test]
fn containers_reach_the_world_and_are_reached() {
    let setup = Setup::new();
    setup.reaches_and_is_reached();
    for to in LAN {
        ping(&setup.one, to, 63);
        ping(&setup.one, &format!("-s 4000 {to}"), 63);
        transfer(&setup.one, setup.world.lan(), address(to), 4 << 20);
    }
    setup.world.ok(&["publish", "one", "8081:81"]);
    for (to, own) in HOST.into_iter().zip(OWN) {
        let dialled = (address(to), 8081).into();
        exchange(
            setup.world.lan(),
            dialled,
            &setup.one,
            (address(own), 81).into(),
            4 << 20,
        );
    }
    // the host, its neighbours and itself as in every mode
    for client in [&setup.world.host, &setup.one] {
        Dial::tcp(HOST[0], 8080).answered(client);
    }
}

#[test]
fn a_firewall_of_the_hosts_sees_containers_by_their_own_addresses() {
    let setup = Setup::new();
    let lan = setup.world.lan();
    let _lan = Transport::BOTH.map(|transport| Service::start(lan, transport, 7, "lan"));
    setup.firewall(
        "table inet theirs {
            chain forward {
                type filter hook forward priority 0; policy accept;
                ip saddr 10.66.0.2 udp dport 7 drop
                ip6 saddr fd66::2 udp dport 7 drop
                ip daddr 10.66.0.2 tcp dport 80 reject with tcp reset
                ip6 daddr fd66::2 tcp dport 80 reject with tcp reset
                ip daddr 10.66.0.2 udp dport 80 reject
                ip6 daddr fd66::2 udp dport 80 reject
            }
        }",
    );
    for (to, host) in LAN.into_iter().zip(HOST) {
        Dial::udp(to, 7).unanswered(&setup.one);
        Dial::tcp(to, 7).answered(&setup.one);
        // what the firewall answers comes from the address that was dialled
        for dial in [Dial::tcp(host, 8080), Dial::udp(host, 8080).connected()] {
            let refused = dial.ask(lan).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{dial:?}");
        }
    }
    setup.world.host.sh("nft flush ruleset").ok();
    for (to, host) in LAN.into_iter().zip(HOST) {
        Dial::udp(to, 7).answered(&setup.one);
        Dial::udp(host, 8080).answered(lan);
    }
}

#[test]
fn connection_tracking_follows() {
    let setup = Setup::new();
    setup.firewall(
        "table inet theirs {
            chain forward {
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                ip daddr 10.66.0.2 tcp dport 80 accept
                ip saddr 10.66.0.0/24 accept
                ip6 daddr fd66::2 tcp dport 80 accept
                ip6 saddr fd66::/64 accept
            }
        }",
    );
    let lan = setup.world.lan();
    let _lan = Service::start(lan, Transport::Udp, 7, "lan");
    for (to, host) in LAN.into_iter().zip(HOST) {
        Dial::udp(to, 7).answered(&setup.one);
        Dial::tcp(host, 8080).answered(lan);
        Dial::udp(host, 8080).unanswered(lan);
        // reassembled by it, and cut again
        datagrams(&setup.one, lan, address(to), 8192, 20);
        let refused = Dial::udp(to, 9).connected().ask(&setup.one).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_host_is_one_hop() {
    let world = World::with_lan_and(&STACK);
    let far = world.add_far(1400);
    let setup = Setup::of(world);
    for (to, routers) in FAR.into_iter().zip([["10.66.0.1", LAN[0]], ["fd66::1", LAN[1]]]) {
        for (hops, router) in (1..).zip(routers.into_iter().chain([to])) {
            let (_, from) = setup.one.enter(|| hop(address(to), Probe::Udp, hops));
            assert_eq!(from, address(router), "hop {hops}");
        }
        transfer(&setup.one, &far, address(to), 4 << 20);
        let said = setup.one.sh(&format!("ip route get {to}")).ok();
        assert!(said.contains(" mtu 1400"), "{said}");
    }
    setup.world.ok(&["publish", "one", "8081:81"]);
    for ((to, own), far_own) in HOST.into_iter().zip(OWN).zip(FAR) {
        exchange(
            &far,
            (address(to), 8081).into(),
            &setup.one,
            (address(own), 81).into(),
            4 << 20,
        );
        let said = setup.one.sh(&format!("ip route get {far_own}")).ok();
        assert!(said.contains(" mtu 1400"), "{said}");
    }
}

#[test]
fn the_stacks_errors_are_about_what_the_world_sent() {
    let world = World::with_lan_and(&STACK);
    dual(&world, "small", 67, &["-o", "com.docker.network.driver.mtu=1300"]);
    world.run("two", &["--net", "small", "-p", "8082:82/udp"]);
    for (to, from) in HOST.into_iter().zip(LAN) {
        let client = socket(world.lan(), (address(from), 0).into());
        client.connect((address(to), 8082)).unwrap();
        eventually("the client learns the container's MTU", || {
            // an error about the one before is told here
            let _ = client.send(&[7; 1400]);
            let said = world.lan().sh(&format!("ip route get {to}")).ok();
            said.contains(" mtu 1300").then_some(()).ok_or(said)
        });
    }
}

#[test]
fn fragments_cross_both_ways() {
    let setup = Setup::new();
    let lan = setup.world.lan();
    for to in LAN {
        datagrams(&setup.one, lan, address(to), 8192, 50);
    }
    setup.world.ok(&["publish", "one", "5000:53/udp"]);
    for ((own, to), from) in OWN.into_iter().zip(HOST).zip(LAN) {
        let server = socket(&setup.one, (address(own), 53).into());
        let client = socket(lan, (address(from), 0).into());
        for _ in 0..20 {
            client.send_to(&data(), (address(to), 5000)).unwrap();
            let seen = receive(&server);
            assert_eq!(seen.ip(), address(from));
            server.send_to(&data(), seen).unwrap();
            assert_eq!(receive(&client), (address(to), 5000).into());
        }
    }
}

#[test]
fn what_is_not_published_stays_closed() {
    let setup = Setup::new();
    let (world, lan) = (&setup.world, setup.world.lan());
    let _closed = Service::start(&setup.one, Transport::Tcp, 81, "one");
    lan.sh("ip route add 10.66.0.0/24 via 192.168.56.99 && ip -6 route add fd66::/64 via 2001:db8:56::2")
        .ok();
    for to in OWN {
        for transport in Transport::BOTH {
            for port in [80, 81, 8080] {
                Dial::new(transport, (address(to), port).into()).unanswered(lan);
            }
        }
        no_ping(lan, to);
    }
    no_ping(lan, "10.66.0.1");
    drops_reach(world, "one", "dual", "not-published", 12);
    // a machine on a device that is no uplink, for which the administrator forwards
    let side = Namespace::new();
    world
        .host
        .sh(&format!(
            "ip link add side0 type veth peer name eth0 netns {} && ip link set side0 up && \
             ip addr add 192.168.58.99/24 dev side0 && echo 1 > /proc/sys/net/ipv4/conf/side0/forwarding",
            side.path()
        ))
        .ok();
    side.sh("ip link set eth0 up && ip addr add 192.168.58.1/24 dev eth0 && ip route add default via 192.168.58.99")
        .ok();
    no_ping(&side, OWN[0]);
    Dial::tcp(OWN[0], 80).unanswered(&side);
    // networks that may not reach out
    dual(world, "inner", 68, &["--internal"]);
    world.run("quiet", &["--net", "inner", "-p", "8083:80"]);
    let quiet = world.inside("quiet");
    let _quiet = Service::start(&quiet, Transport::Tcp, 80, "quiet");
    quiet.sh("ip route add default via 10.68.0.1").ok();
    no_ping(&quiet, LAN[0]);
    for to in HOST {
        assert_eq!(Dial::tcp(to, 8083).answered(lan).name, "quiet");
    }
}

#[test]
fn addresses_that_were_asked_for_are_shown() {
    let world = World::with_lan_and(&STACK);
    world.host.sh("ip addr add 192.168.56.77/24 dev up0").ok();
    dual(
        &world,
        "named",
        66,
        &["-o", "com.docker.network.host_ipv4=192.168.56.77"],
    );
    dual(
        &world,
        "plain",
        67,
        &["-o", "com.docker.network.bridge.enable_ip_masquerade=false"],
    );
    world.run("one", &["--net", "named"]);
    world.run("two", &["--net", "plain"]);
    let lan = world.lan();
    lan.sh("ip route add 10.67.0.0/24 via 192.168.56.99 && ip -6 route add fd67::/64 via 2001:db8:56::2")
        .ok();
    let _lan = Service::start(lan, Transport::Udp, 7, "lan");
    let seen = |name: &str, to: &str| Dial::udp(to, 7).answered(&world.inside(name)).client.ip();
    assert_eq!(seen("one", LAN[0]), address("192.168.56.77"));
    assert_eq!(seen("one", LAN[1]), address(HOST[1]));
    assert_eq!(seen("two", LAN[0]), address("10.67.0.2"));
    assert_eq!(seen("two", LAN[1]), address("fd67::2"));
}

#[test]
fn nothing_leaves_by_a_device_that_is_no_uplink() {
    let mut world = World::without_agent();
    world.add_lan();
    let second = world.add_uplink("up1", SECOND_HOST, SECOND_LAN);
    world.start_agent(&[&STACK[..], &["--uplink", "up0"]].concat());
    let setup = Setup::of(world);
    setup.reaches_and_is_reached();
    let heard = Capture::start(&second, "eth0");
    for to in SECOND_LAN {
        Dial::udp(to, 7).unanswered(&setup.one);
    }
    drops_reach(&setup.world, "one", "dual", "no-uplink", 2);
    let is_ours = |frame: &[u8]| frame.windows(4).any(|bytes| bytes == [10, 66, 0, 2]);
    assert!(!heard.so_far().iter().any(|captured| is_ours(&captured.frame)));
}
