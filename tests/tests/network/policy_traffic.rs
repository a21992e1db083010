//! A policy on the wire: who may begin to speak with whom, and what becomes of those who already do.

use std::net::TcpStream;
use std::time::Duration;

use tests::world::{Dial, HOST, LAN, Output, PATIENCE, Service, Transport, World, ask_stream};

use super::{address, drops_reach, dual, no_ping, ping};

/// Whether a connection still carries an answer.
fn is_alive(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    ask_stream(stream).is_ok()
}

#[test]
fn nothing_passes_but_what_a_rule_allows() {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "front"]);
    let (web, db) = (world.inside("web"), world.inside("db"));
    let _services = [5432, 5433].map(|port| Service::start(&db, Transport::Tcp, port, "db"));
    let _datagrams = Service::start(&db, Transport::Udp, 5432, "db");
    world.ok(&["policy", "default", "deny", "db", "--direction", "in"]);
    for host in ["10.7.0.3", "fd7::3"] {
        Dial::tcp(host, 5432).unanswered(&web);
        Dial::udp(host, 5432).unanswered(&web);
        no_ping(&web, host);
    }
    assert_ne!(world.drops("web", "front", "policy-denied"), 0);
    world.ok(&["policy", "allow", "web", "db:5432/tcp"]);
    for host in ["10.7.0.3", "fd7::3"] {
        assert_eq!(Dial::tcp(host, 5432).answered(&web).name, "db");
        Dial::tcp(host, 5433).unanswered(&web);
        Dial::udp(host, 5432).unanswered(&web);
    }
    // what the container begins itself is answered
    ping(&db, "10.7.0.2", 64);
    ping(&db, "10.7.0.1", 64);
    no_ping(&world.host, "10.7.0.3");
    world.ok(&["policy", "allow", "host", "db/icmp"]);
    ping(&world.host, "10.7.0.3", 64);
}

#[test]
fn a_change_reaches_connections_that_are_open() {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "front"]);
    let (web, db) = (world.inside("web"), world.inside("db"));
    let _service = Service::start(&db, Transport::Tcp, 80, "db");
    let before = web.enter(|| Dial::tcp("10.7.0.3", 80).open(PATIENCE)).unwrap();
    assert!(is_alive(&before));
    // it began when nobody kept count, and either side may have begun it
    world.ok(&["policy", "default", "deny", "db", "--direction", "in"]);
    let rule = world.ok(&["policy", "allow", "web", "db:80"]);
    assert!(is_alive(&before));
    let later = web.enter(|| Dial::tcp("10.7.0.3", 80).open(PATIENCE)).unwrap();
    assert!(is_alive(&later));
    // the agent has no part in it
    world.kill_agent();
    assert!(is_alive(&later));
    assert_eq!(Dial::tcp("10.7.0.3", 80).answered(&web).name, "db");
    world.start_agent(&[]);
    assert!(is_alive(&later));
    world.ok(&["policy", "rm", rule.trim()]);
    assert!(!is_alive(&later));
    world.ok(&["policy", "default", "allow", "db"]);
    world.ok(&["policy", "deny", "any", "db:80"]);
    Dial::tcp("10.7.0.3", 80).unanswered(&web);
}

#[test]
fn a_plan_names_the_flows_it_would_cut_and_cuts_none() {
    let world = World::with_lan();
    dual(&world, "front", 7, &[]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "front"]);
    let (web, db) = (world.inside("web"), world.inside("db"));
    let _services = [80, 81].map(|port| Service::start(&db, Transport::Tcp, port, "db"));
    let _outside = Service::start(world.lan(), Transport::Tcp, 80, "lan");
    world.ok(&["policy", "allow", "web", "db:80-81"]);
    let open = |host, port| {
        let stream = web.enter(|| Dial::tcp(host, port).open(PATIENCE)).unwrap();
        assert!(is_alive(&stream));
        stream
    };
    let near = [open("10.7.0.3", 80), open("fd7::3", 80)];
    let kept = open("10.7.0.3", 81);
    let far = open(LAN[0], 80);
    let rule = |to: &str, port| {
        format!("[[rule]]\naction = \"deny\"\nfrom = \"web\"\nto = \"{to}\"\nprotocol = \"tcp\"\nports = [{port}]\n\n")
    };
    let file = rule("db", 80) + &rule("world", 80);
    let command = |verb| Output::with_input(&mut world.command(&["policy", verb, "-"]), &file).ok();
    let before = world.snapshot();
    let planned = command("plan");
    assert_eq!(world.snapshot().difference(&before), None);
    let cuts = |stream: &TcpStream, to: &str, rule: &str| {
        let from = stream.local_addr().unwrap();
        format!("cuts tcp web ({from}) -> {to}: {rule}")
    };
    let mut expected = [
        "- allow web db:80-81/tcp".to_owned(),
        "+ deny web db:80/tcp".to_owned(),
        "+ deny web world:80/tcp".to_owned(),
        cuts(&near[0], "db (10.7.0.3:80)", "deny web db:80/tcp"),
        cuts(&near[1], "db ([fd7::3]:80)", "deny web db:80/tcp"),
        cuts(&far, &format!("world ({}:80)", LAN[0]), "deny web world:80/tcp"),
    ];
    let mut planned: Vec<&str> = planned.lines().collect();
    // flows come in no order
    expected.sort_unstable();
    planned.sort_unstable();
    assert_eq!(planned, expected);
    assert!(near.iter().chain([&kept, &far]).all(is_alive));
    command("apply");
    assert!(!near.iter().chain([&far]).any(is_alive));
    assert!(is_alive(&kept));
    assert_eq!(command("plan"), "nothing changes");
}

#[test]
fn a_rule_opens_what_isolation_closes() {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    dual(&world, "back", 8, &[]);
    world.ok(&[
        "network",
        "create",
        "-o",
        "com.docker.network.bridge.enable_icc=false",
        "--subnet",
        "10.9.0.0/24",
        "quiet",
    ]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "back"]);
    world.run("one", &["--net", "quiet"]);
    world.run("two", &["--net", "quiet"]);
    let (web, db, one, two) = (
        world.inside("web"),
        world.inside("db"),
        world.inside("one"),
        world.inside("two"),
    );
    let _service = Service::start(&db, Transport::Tcp, 80, "db");
    let _other = Service::start(&two, Transport::Tcp, 80, "two");
    Dial::tcp("10.8.0.2", 80).unanswered(&web);
    Dial::tcp("10.9.0.3", 80).unanswered(&one);
    world.ok(&["policy", "allow", "web", "db:80"]);
    let rule = world.ok(&["policy", "allow", "one", "two:80"]);
    for host in ["10.8.0.2", "fd8::2"] {
        let answer = Dial::tcp(host, 80).answered(&web);
        assert_eq!(answer.name, "db");
    }
    // routed, not masqueraded: it is seen as who it is
    assert_eq!(
        Dial::tcp("10.8.0.2", 80).answered(&web).client.ip(),
        address("10.7.0.2")
    );
    assert_eq!(Dial::tcp("10.9.0.3", 80).answered(&one).name, "two");
    no_ping(&web, "10.8.0.2");
    no_ping(&db, "10.7.0.2");
    no_ping(&one, "10.9.0.3");
    world.ok(&["policy", "rm", rule.trim()]);
    Dial::tcp("10.9.0.3", 80).unanswered(&one);
}

#[test]
fn the_world_has_rules_too() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80"]);
    let web = world.inside("web");
    let _inside = Service::start_v4(&web, Transport::Tcp, 80, "web");
    let _outside = [80, 81].map(|port| Service::start(world.lan(), Transport::Tcp, port, "lan"));
    assert_eq!(Dial::tcp(LAN[0], 80).answered(&web).name, "lan");
    assert_eq!(Dial::tcp(HOST[0], 8080).answered(world.lan()).name, "web");
    world.ok(&["policy", "default", "deny", "web"]);
    Dial::tcp(LAN[0], 80).unanswered(&web);
    Dial::tcp(HOST[0], 8080).unanswered(world.lan());
    let network = format!("{}/32", LAN[0]);
    world.ok(&["policy", "allow", "web", &format!("{network}:80")]);
    // the container's own port, not the published one
    world.ok(&["policy", "allow", &network, "web:80"]);
    assert_eq!(Dial::tcp(LAN[0], 80).answered(&web).name, "lan");
    Dial::tcp(LAN[0], 81).unanswered(&web);
    assert_eq!(Dial::tcp(HOST[0], 8080).answered(world.lan()).name, "web");
    world.ok(&["policy", "deny", "world", "any"]);
    Dial::tcp(HOST[0], 8080).unanswered(world.lan());
    drops_reach(&world, "web", "bridge", "policy-denied", 1);
}
