//! Which of the host's name servers is asked, and how: in their order, as the options of resolv.conf say, without what
//! a server dislikes.

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tests::name_server::{Asked, MALFORMED, NO_SUCH_NAME, NOT_IMPLEMENTED, NameServer, REFUSED, SERVER_FAILED};
use tests::question::{A, question};
use tests::world::{LAN, Transport, World, eventually};

use super::names_forward::{dig, resolving};
use super::words;

/// Servers of the LAN in the order of resolv.conf, of one family.
const SERVERS: [[&str; 3]; 2] = [
    ["192.168.56.1", "192.168.56.2", "192.168.56.3"],
    ["2001:db8:56::1", "2001:db8:56::22", "2001:db8:56::3"],
];

/// By label, what the first and the second server say (`None`: nothing), what the client hears, how many are asked.
type Failing = (&'static str, Option<u16>, Option<u16>, &'static str, usize);

/// What a server makes of a question that it dislikes, if it does: an error, or silence.
type Dislike = (&'static str, fn(&Asked) -> Option<Option<u16>>);

/// Lines of resolv.conf.
fn named<'a>(servers: impl Iterator<Item = &'a str>) -> String {
    servers.flat_map(|server| ["nameserver ", server, "\n"]).collect()
}

/// A world that asks these servers, with a container `app`; the LAN has their addresses.
fn asking(servers: &[&str], options: &str) -> World {
    let text = named(servers.iter().copied());
    let world = resolving(&format!("{text}options {options}\n"));
    for server in servers.iter().skip(1) {
        let length = if server.contains(':') { 64 } else { 24 };
        world
            .lan()
            .sh(&format!("ip addr add {server}/{length} dev eth0 nodad"))
            .ok();
    }
    world.ok(&["network", "create", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    world
}

/// Knows every name, as the first address.
fn knows(address: &'static str) -> impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static {
    move |asked| Some(asked.address(address, 60))
}

fn says(code: u16) -> impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static {
    move |asked| Some(asked.answer(code, [&[], &[], &[]]))
}

fn silent(_: &Asked) -> Option<Vec<u8>> {
    None
}

#[test]
fn the_next_server_is_for_when_one_does_not_know() {
    for family in SERVERS {
        let world = asking(&family, "");
        let lan = world.lan();
        let table: [Failing; 9] = [
            ("known", Some(0), Some(0), "192.0.2.1", 1),
            ("missing", Some(NO_SUCH_NAME), Some(0), "NXDOMAIN", 1),
            ("malformed", Some(MALFORMED), Some(0), "FORMERR", 1),
            ("failed", Some(SERVER_FAILED), Some(0), "192.0.2.2", 2),
            ("refused", Some(REFUSED), Some(0), "192.0.2.2", 2),
            ("unheard-of", Some(NOT_IMPLEMENTED), Some(0), "192.0.2.2", 2),
            ("silent", None, Some(0), "192.0.2.2", 2),
            ("both", Some(SERVER_FAILED), Some(REFUSED), "192.0.2.3", 3),
            ("missing-there", Some(REFUSED), Some(NO_SUCH_NAME), "NXDOMAIN", 2),
        ];
        let behaves = |number: usize, address: &'static str| {
            move |asked: &Asked| {
                let first = asked.name().split('.').next().unwrap().to_owned();
                let row = table.iter().find(|row| row.0 == first);
                let code = match (row, number) {
                    (Some(row), 0) => row.1,
                    (Some(row), 1) => row.2,
                    (Some(_), _) => Some(0),
                    (None, _) => Some(NO_SUCH_NAME),
                };
                Some(match code? {
                    0 => asked.address(address, 60),
                    code => asked.answer(code, [&[], &[], &[]]),
                })
            }
        };
        let servers = [
            NameServer::start(lan, family[0], behaves(0, "192.0.2.1")),
            NameServer::start(lan, family[1], behaves(1, "192.0.2.2")),
            NameServer::start(lan, family[2], behaves(2, "192.0.2.3")),
        ];
        for (label, _, _, expected, asked) in table {
            let name = format!("{label}.in.corp");
            let said = dig(&world, "app", &format!("+tries=1 +time=5 {name}"));
            assert!(said.contains(expected), "{label}: {said}");
            for (number, server) in servers.iter().enumerate() {
                assert_eq!(
                    server.names().contains(&name),
                    number < asked,
                    "{label}, server {number}"
                );
            }
        }
        // what all of them fail to know is told as the first one tells it
        drop(servers);
        let _servers = [
            NameServer::start(lan, family[0], says(REFUSED)),
            NameServer::start(lan, family[1], says(SERVER_FAILED)),
            NameServer::start(lan, family[2], says(NOT_IMPLEMENTED)),
        ];
        let said = dig(&world, "app", "+tries=1 +time=5 nobody.test");
        assert!(said.contains("status: REFUSED"), "{said}");
    }
}

#[test]
fn inner_names_stay_with_the_first_server() {
    let world = asking(&SERVERS[0], "");
    let first = NameServer::slow(
        world.lan(),
        SERVERS[0][0],
        Duration::from_millis(80),
        knows("192.0.2.1"),
    );
    let second = NameServer::start(world.lan(), SERVERS[0][1], knows("192.0.2.2"));
    let asks = "for part in 1 2 3 4; do for i in $(seq 50); do echo n$part-$i.in.corp; done > /tmp/ask$part; \
                dig +short +tries=1 +time=5 -f /tmp/ask$part & done; wait";
    let said = world.exec("app", &["sh", "-c", asks]).ok();
    assert_eq!(said.matches("192.0.2.1").count(), 200, "{said}");
    assert_eq!((first.asked().len(), second.asked().len()), (200, 0));
    // which asks from many ports, under many ids
    let mut ports: Vec<u16> = first.asked().iter().map(|asked| asked.from.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 150, "{} ports", ports.len());
}

#[test]
fn options_of_the_hosts_are_heeded() {
    let transports =
        |server: &NameServer| -> Vec<Transport> { server.asked().iter().map(|asked| asked.transport).collect() };
    // by TCP alone, whichever way the container asks
    let world = asking(&SERVERS[0][..2], "use-vc");
    let by_tcp = |asked: &Asked| (asked.transport == Transport::Tcp).then(|| asked.address("192.0.2.1", 60));
    let server = NameServer::start(world.lan(), SERVERS[0][0], by_tcp);
    for (name, way) in [("one.test", "+notcp"), ("two.test", "+tcp")] {
        assert_eq!(
            dig(&world, "app", &format!("+short +tries=1 {way} {name}")),
            "192.0.2.1"
        );
    }
    assert_eq!(transports(&server), [Transport::Tcp; 2]);
    drop((server, world));

    // in turns
    let world = asking(&SERVERS[0][..2], "rotate");
    let servers = [0, 1].map(|number| NameServer::start(world.lan(), SERVERS[0][number], knows("192.0.2.1")));
    for number in 0..6 {
        assert_eq!(dig(&world, "app", &format!("+short n{number}.test")), "192.0.2.1");
    }
    assert_eq!(servers.each_ref().map(|server| server.asked().len()), [3, 3]);
    drop((servers, world));

    // an extension, and whether the answer is authentic, is asked for; the client hears of neither
    let world = asking(&SERVERS[0][..1], "edns0 trust-ad");
    let extended = |asked: &Asked| {
        let mut answer = asked.address("192.0.2.1", 60);
        if asked.is_extended() {
            answer[11] = 1;
            answer.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        }
        Some(answer)
    };
    let server = NameServer::start(world.lan(), SERVERS[0][0], extended);
    let said = dig(&world, "app", "+noedns +noadflag +tries=1 one.test");
    assert!(said.contains("192.0.2.1") && !said.contains("EDNS"), "{said}");
    let asked = &server.asked()[0];
    assert!(asked.is_extended() && asked.flags() & 0x20 != 0, "{asked:x?}");
    drop((server, world));

    // how often a silent server is asked, and how soon the next one
    let world = asking(&SERVERS[0][..2], "timeout:1 attempts:3");
    let servers = [0, 1].map(|number| NameServer::start(world.lan(), SERVERS[0][number], silent));
    let said = dig(&world, "app", "+tries=1 +time=20 one.test");
    assert!(said.contains("status: SERVFAIL"), "{said}");
    for server in &servers {
        let mut ids: Vec<[u8; 2]> = server
            .asked()
            .iter()
            .filter(|asked| asked.transport == Transport::Udp && asked.is_extended())
            .map(|asked| [asked.bytes[0], asked.bytes[1]])
            .collect();
        assert_eq!(ids.len(), 3, "{:?}", server.asked());
        ids.dedup();
        assert_eq!(ids.len(), 3);
    }
}

#[test]
fn what_a_server_dislikes_it_is_spared() {
    let is_udp = |asked: &Asked| asked.transport == Transport::Udp;
    let table: [Dislike; 6] = [
        ("extensions are malformed", |asked| {
            asked.is_extended().then_some(Some(MALFORMED))
        }),
        ("extensions are unheard of", |asked| {
            asked.is_extended().then_some(Some(NOT_IMPLEMENTED))
        }),
        ("extensions are lost", |asked| asked.is_extended().then_some(None)),
        ("datagrams are lost", |asked| {
            (asked.transport == Transport::Udp).then_some(None)
        }),
        ("streams are lost", |asked| {
            (asked.transport == Transport::Tcp).then_some(None)
        }),
        ("extensions and datagrams are lost", |asked| {
            (asked.is_extended() || asked.transport == Transport::Udp).then_some(None)
        }),
    ];
    let world = asking(&SERVERS[0][..2], "");
    let second = NameServer::start(world.lan(), SERVERS[0][1], knows("192.0.2.2"));
    for (number, (what, dislikes)) in table.into_iter().enumerate() {
        let behaves = move |asked: &Asked| match dislikes(asked) {
            Some(Some(code)) => Some(asked.answer(code, [&[], &[], &[]])),
            Some(None) => None,
            None => Some(asked.address("192.0.2.1", 60)),
        };
        let server = NameServer::start(world.lan(), SERVERS[0][0], behaves);
        // a change of the surroundings is a new beginning
        world
            .host
            .sh(&format!("ip route add 198.18.{number}.0/24 via 192.168.56.1"))
            .ok();
        for way in ["+notcp", "+tcp"] {
            let ask = |name: &str| dig(&world, "app", &format!("+short +tries=1 +time=5 {way} {name}"));
            let kind = way.trim_start_matches('+');
            assert_eq!(
                ask(&format!("first-{number}-{kind}.test")),
                "192.0.2.1",
                "{what}, {way}"
            );
            server.forget();
            assert_eq!(
                ask(&format!("again-{number}-{kind}.test")),
                "192.0.2.1",
                "{what}, {way}"
            );
            let last = server.asked().pop().unwrap();
            assert!(dislikes(&last).is_none(), "{what}, {way}");
            // then it is known
            if way == "+notcp" {
                let asked = server.asked();
                assert!(asked.len() <= 2, "{what}: {asked:?}");
                let in_vain = asked
                    .iter()
                    .filter(|asked| dislikes(asked).is_some() && is_udp(asked))
                    .count();
                assert_eq!(in_vain, 0, "{what}: {asked:?}");
            }
        }
    }
    assert_eq!(second.names(), [""; 0]);
}

#[test]
fn a_link_local_server_is_asked_on_its_link() {
    let world = asking(&LAN[..1], "");
    world.lan().sh("ip addr add fe80::53/64 dev eth0 nodad").ok();
    let near = NameServer::start(world.lan(), "fe80::53%eth0", knows("192.0.2.1"));
    let other = NameServer::start(world.lan(), LAN[0], knows("192.0.2.2"));
    let shown = world.host.sh("ip -o link show up0").ok();
    let index = shown.split(':').next().unwrap();
    let file = world.directory.join("resolv.conf");
    for (number, (servers, expected)) in [
        (vec!["fe80::53%up0".to_owned()], "192.0.2.1"),
        (vec![format!("fe80::53%{index}")], "192.0.2.1"),
        (vec!["fe80::53%nosuch0".into(), LAN[0].into()], "192.0.2.2"),
        (vec!["fe80::53".into(), LAN[0].into()], "192.0.2.2"),
        (vec!["fe80::53%up0".into(), "192.168.56.77".into()], "192.0.2.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = named(servers.iter().map(String::as_str));
        fs::write(&file, text).unwrap();
        eventually(expected, || {
            let said = dig(&world, "app", &format!("+short +tries=1 +time=1 n{number}.test"));
            if said == expected {
                Ok(())
            } else {
                Err(format!("{servers:?}: {said}"))
            }
        });
    }
    assert!(!near.asked().is_empty() && !other.asked().is_empty());
}

#[test]
fn what_is_remembered_goes_with_what_it_depended_on() {
    let world = asking(&SERVERS[0][..2], "");
    let file = world.directory.join("resolv.conf");
    let server = NameServer::start(world.lan(), SERVERS[0][0], knows("192.0.2.1"));
    let _other = NameServer::start(world.lan(), SERVERS[0][1], knows("192.0.2.2"));
    let ask = || dig(&world, "app", "+short +nocookie one.test");
    let times = || server.names().iter().filter(|name| *name == "one.test").count();
    assert_eq!((ask(), ask(), times()), ("192.0.2.1".into(), "192.0.2.1".into(), 1));
    for (number, (what, change)) in [
        ("a route that comes", "ip route add 198.18.0.0/24 via 192.168.56.1"),
        ("a route that goes", "ip route del 198.18.0.0/24"),
        ("a link that comes", "ip link add vpn0 type veth peer name vpn1"),
        ("a link that goes up", "ip link set vpn0 up"),
        ("an address that comes", "ip addr add 198.18.1.1/24 dev vpn0"),
        ("a link that goes", "ip link del vpn0"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = times();
        world.host.sh(change).ok();
        eventually(what, || {
            assert_eq!(ask(), "192.0.2.1", "{number}");
            if times() > before {
                Ok(())
            } else {
                Err("it is remembered".into())
            }
        });
    }
    fs::write(&file, format!("nameserver {}\n", SERVERS[0][1])).unwrap();
    eventually("the other server", || {
        if ask() == "192.0.2.2" {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    let before = times();
    fs::write(&file, format!("nameserver {}\n", SERVERS[0][0])).unwrap();
    eventually("the first server, anew", || {
        if ask() == "192.0.2.1" && times() > before {
            Ok(())
        } else {
            Err(String::new())
        }
    });
}

#[test]
fn the_next_server_may_answer_before_a_slow_one_and_the_slow_one_after_it() {
    // the only one is slower than its time, and is waited for all the same
    let world = asking(&SERVERS[0][..1], "timeout:1 attempts:4");
    let _slow = NameServer::slow(
        world.lan(),
        SERVERS[0][0],
        Duration::from_millis(1500),
        knows("192.0.2.1"),
    );
    assert_eq!(dig(&world, "app", "+short +tries=1 +time=8 one.test"), "192.0.2.1");
}

/// Questions under way at a time, of one container.
const MANY: u16 = 5_000;

#[test]
fn thousands_of_questions_under_way_are_answered() {
    let world = asking(&SERVERS[0][..1], "");
    let _server = NameServer::slow(world.lan(), SERVERS[0][0], Duration::from_secs(2), knows("192.0.2.1"));
    let socket: UdpSocket = super::names_kernel::socket(&world.inside("app"), &gateway(&world));
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(16 << 20)).unwrap();
    for id in 0..MANY {
        let mut asked = question(&format!("n{id}.test"), A);
        asked[..2].copy_from_slice(&id.to_be_bytes());
        socket.send(&asked).unwrap();
        if id % 100 == 0 {
            // a moment for the agent's queue: not even a fast client sends them all in one
            std::thread::yield_now();
        }
    }
    let mut waiting: std::collections::BTreeSet<u16> = (0..MANY).collect();
    let begin = Instant::now();
    let mut answer = [0; 512];
    while !waiting.is_empty() {
        let length = socket.recv(&mut answer);
        let length =
            length.unwrap_or_else(|error| panic!("{} wait after {:?}: {error}", waiting.len(), begin.elapsed()));
        assert!(answer[..length].ends_with(&[192, 0, 2, 1]), "{:x?}", &answer[..length]);
        waiting.remove(&u16::from_be_bytes([answer[0], answer[1]]));
    }
}

fn gateway(world: &World) -> String {
    let text = world.exec("app", &["cat", "/etc/resolv.conf"]).ok();
    words(&text)[1].to_owned()
}
