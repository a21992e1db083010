//! Questions that the switch answers itself: as the agent would, and without it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tests::question::{A, AAAA, ANY, ASKED, PTR, TXT, message, question};
use tests::random::Random;
use tests::world::{Namespace, PATIENCE, World};

use super::dual;

const SEED: u64 = 0x6e61_6d65;
const QUESTIONS: usize = 10_000;

/// Names on two networks, asked by `app`, which is on both; an agent with nobody to ask itself.
fn world(options: &[&str]) -> World {
    let world = World::without_agent();
    start(&world, options);
    dual(&world, "First", 66, &[]);
    dual(&world, "second", 67, &[]);
    world.run("web", &["--net", "First", "--network-alias", "www"]);
    world.run("Db", &["--net", "second"]);
    for name in ["pool1", "pool2"] {
        world.run(name, &["--net", "second", "--network-alias", "pool"]);
    }
    world.run("app", &["--net", "First"]);
    world.ok(&["network", "connect", "second", "app"]);
    world
}

fn start(world: &World, options: &[&str]) {
    let file = world.directory.join("resolv.conf");
    std::fs::write(&file, "").unwrap();
    let file = format!("--resolv-conf={}", file.display());
    world.start_agent(&[&[file.as_str()], options].concat());
}

/// A socket in a namespace that asks this address.
pub(super) fn socket(inside: &Namespace, server: &str) -> UdpSocket {
    let server = SocketAddr::new(server.parse().unwrap(), 53);
    let any: IpAddr = if server.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = inside.enter(|| UdpSocket::bind((any, 0))).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[track_caller]
pub(super) fn ask(socket: &UdpSocket, asked: &[u8]) -> Vec<u8> {
    let mut answer = [0; 2_000];
    socket.send(asked).unwrap();
    let length = socket
        .recv(&mut answer)
        .unwrap_or_else(|error| panic!("{asked:x?}: {error}"));
    answer[..length].to_vec()
}

/// What a resolver and others may ask.
fn questions(world: &World) -> Vec<Vec<u8>> {
    let web = world.inspect("web");
    let short = &web["Id"].as_str().unwrap()[..12];
    let known = [
        "web",
        "www",
        "db",
        "pool",
        "app",
        "web.first",
        "db.second",
        "pool.second",
        short,
        "2.0.66.10.in-addr.arpa",
        "3.0.67.10.in-addr.arpa",
        "2.0.67.10.in-addr.arpa",
        "nobody",
        "web.second",
        "db.first",
        "web.first.lan",
        "99.0.66.10.in-addr.arpa",
        "wwww",
        "first",
        "",
    ];
    let kinds = [A, AAAA, PTR, A, AAAA, TXT, ANY, 33, 15];
    let mut random = Random(SEED);
    let mut questions = Vec::new();
    while questions.len() < QUESTIONS {
        let name: String = random
            .pick(&known)
            .chars()
            .map(|letter| match random.below(4) {
                0 => letter.to_ascii_uppercase(),
                _ => letter,
            })
            .collect();
        // RD, AD, CD
        let flags = [ASKED, 0, ASKED | 0x20, ASKED | 0x10][random.below(4)];
        let mut asked = message(flags, 0, &name, *random.pick(&kinds), &[]);
        if random.below(10) == 0 {
            // behind the header, which says that it is a question
            let at = 4 + random.below(asked.len() - 4);
            asked[at] ^= 1 << random.below(8);
        }
        questions.push(asked);
    }
    questions
}

/// All answers of one server, the turns of a shared name aside.
fn answers(world: &World, server: &str, questions: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let socket = socket(&world.inside("app"), server);
    let sorted = |mut answer: Vec<u8>| {
        if u16::from_be_bytes([answer[6], answer[7]]) > 1 {
            answer.sort_unstable();
        }
        answer
    };
    questions.iter().map(|asked| sorted(ask(&socket, asked))).collect()
}

#[test]
fn the_switch_and_the_agent_answer_alike() {
    let world = world(&[]);
    let inside = world.inside("app");
    // questions with a finished checksum: the receiving stack looks at the answers'
    inside
        .sh("ethtool -K eth0 tx off rx off && ethtool -K eth1 tx off rx off")
        .ok();
    let questions = questions(&world);
    let servers = ["10.66.0.1", "fd67::1"];
    let by_switch = servers.map(|server| answers(&world, server, &questions));
    let count = world.path("answer-name");
    assert!(count > QUESTIONS as u64 / 5, "{count}");
    let errors = inside.sh("nstat -asz UdpInCsumErrors Udp6InCsumErrors").ok();
    for line in errors.lines().filter(|line| line.starts_with("Udp")) {
        assert_eq!(line.split_whitespace().nth(1), Some("0"), "{errors}");
    }
    world.stop_agent();
    start(&world, &["--kernel-names", "off"]);
    let by_agent = servers.map(|server| answers(&world, server, &questions));
    assert_eq!(world.path("answer-name"), count);
    for (number, server) in servers.into_iter().enumerate() {
        for ((asked, switch), agent) in questions.iter().zip(&by_switch[number]).zip(&by_agent[number]) {
            assert!(switch == agent, "{server}: {asked:x?}\n{switch:x?}\n{agent:x?}");
        }
    }
}

#[test]
fn names_are_answered_without_the_agent() {
    let world = world(&[]);
    let inside = world.inside("app");
    world.kill_agent();
    let socket = socket(&inside, "10.66.0.1");
    for (name, kind, data) in [
        ("web", A, &[10, 66, 0, 2][..]),
        ("Db.second", A, &[10, 67, 0, 2]),
        ("2.0.66.10.in-addr.arpa", PTR, b"\x03web\x05First\x00"),
    ] {
        let answer = ask(&socket, &question(name, kind));
        assert!(answer.ends_with(data), "{name}: {answer:x?}");
    }
}

#[test]
fn the_switch_knows_no_more_than_the_asker_may() {
    let world = world(&[]);
    world.run("outsider", &["--net", "second", "--link", "Db:data"]);
    let inside = world.inside("outsider");
    let outsider = socket(&inside, "10.67.0.1");
    let app = socket(&world.inside("app"), "10.67.0.1");
    let finds = |socket: &UdpSocket, name: &str| {
        let answer = ask(socket, &question(name, A));
        u16::from_be_bytes([answer[6], answer[7]])
    };
    assert_eq!((finds(&outsider, "web"), finds(&app, "web")), (0, 1));
    // a private name is its owner's, and the agent's to answer
    let before = world.path("answer-name");
    assert_eq!((finds(&outsider, "data"), finds(&outsider, "db")), (1, 1));
    assert_eq!(world.path("answer-name"), before);
    assert_eq!(finds(&app, "data"), 0);
    // live: a name that has moved, and one that is gone
    world.ok(&["network", "disconnect", "First", "web"]);
    assert_eq!(finds(&app, "web"), 0);
    world.ok(&["network", "connect", "--ip", "10.67.0.77", "second", "web"]);
    assert!(ask(&app, &question("web", A)).ends_with(&[10, 67, 0, 77]));
}
