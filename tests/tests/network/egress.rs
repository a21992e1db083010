//! `--egress`: a container on a leash begins to speak with whom it names, and with nobody else.

use std::time::Duration;

use tests::world::{Dial, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, ask_stream};

use super::names_forward::{dig, resolving, serve_names};
use super::{address, drops_reach, dual, no_ping, ping, words};

/// Further addresses of the machine on the LAN.
const SECOND: [&str; 2] = ["192.168.56.2", "2001:db8:56::22"];
const THIRD: &str = "192.168.56.8";

/// A LAN where a name server answers for `api.test` and below `example.test`, and services at all its addresses.
fn world() -> (World, Vec<Service>) {
    let world = resolving(&format!("nameserver {}\n", LAN[0]));
    let lan = world.lan();
    for more in [SECOND[0], THIRD] {
        lan.sh(&format!("ip addr add {more}/24 dev eth0")).ok();
    }
    lan.sh(&format!("ip addr add {}/64 dev eth0 nodad", SECOND[1])).ok();
    let names = [
        format!("--address=/api.test/{}", LAN[0]),
        format!("--address=/api.test/{}", LAN[1]),
        format!("--address=/example.test/{}", SECOND[0]),
        format!("--address=/example.test/{}", SECOND[1]),
        format!("--address=/169.test/{METADATA}"),
    ];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    serve_names(&world, lan, LAN[0], "192.0.2.1", &names);
    let both = |port| Transport::BOTH.map(|transport| Service::start(lan, transport, port, "lan"));
    let services = [80, 81].into_iter().flat_map(both).collect();
    (world, services)
}

const METADATA: &str = "169.254.169.254";
const LEASH: &str = "api.test:80,api.test:81/udp,*.example.test:81,192.168.56.8:80,db:80,169.254.0.0/16,169.test";

fn status(world: &World, container: &str, question: &str) -> String {
    let said = dig(world, container, question);
    let status = said.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    status.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[track_caller]
fn closed(world: &World, dial: &Dial) {
    let before = world.drops("box", "front", "egress");
    let _ = dial.unanswered(&world.inside("box"));
    drops_reach(world, "box", "front", "egress", before + 1);
}

#[test]
fn a_leash_lets_pass_what_it_names() {
    let (world, _services) = world();
    dual(&world, "front", 7, &[]);
    world.run("box", &["--net", "front", "--egress", LEASH]);
    let inside = world.inside("box");
    // a prefix is known beforehand, a name once it was asked for
    assert_eq!(Dial::tcp(THIRD, 80).answered(&inside).name, "lan");
    closed(&world, &Dial::tcp(THIRD, 81));
    for to in LAN {
        closed(&world, &Dial::tcp(to, 80));
    }
    assert_eq!(dig(&world, "box", "+short api.test"), LAN[0]);
    assert_eq!(Dial::tcp(LAN[0], 80).answered(&inside).name, "lan");
    closed(&world, &Dial::tcp(LAN[1], 80));
    assert_eq!(dig(&world, "box", "+short API.test AAAA"), LAN[1]);
    assert_eq!(Dial::tcp(LAN[1], 80).answered(&inside).name, "lan");
    assert_eq!(Dial::udp(LAN[0], 81).answered(&inside).name, "lan");
    for to in LAN {
        closed(&world, &Dial::tcp(to, 81));
        closed(&world, &Dial::udp(to, 80));
        no_ping(&inside, to);
    }
    // below a name, and its ports alone
    dig(&world, "box", "a.b.example.test");
    dig(&world, "box", "a.b.example.test AAAA");
    for to in SECOND {
        assert_eq!(Dial::tcp(to, 81).answered(&inside).name, "lan");
        closed(&world, &Dial::tcp(to, 80));
        closed(&world, &Dial::udp(to, 81));
    }
}

#[test]
fn names_beside_the_leash_are_not_even_asked_for() {
    let (world, _services) = world();
    dual(&world, "front", 7, &[]);
    world.run("box", &["--net", "front", "--egress", LEASH]);
    world.run("free", &["--net", "front"]);
    for name in [
        "one.test",
        "example.test",
        "secret.of.mine.one.test",
        "1.56.168.192.in-addr.arpa PTR",
    ] {
        assert_eq!(status(&world, "box", name), "NXDOMAIN", "{name}");
    }
    assert_eq!(status(&world, "box", "one.test +tcp"), "NXDOMAIN");
    assert_eq!(status(&world, "box", "api.test"), "NOERROR");
    assert_eq!(status(&world, "box", "free"), "NOERROR");
    assert_eq!(status(&world, "free", "one.test"), "NOERROR");
    // nor can others be asked
    closed(&world, &Dial::udp(LAN[0], 53));
    closed(&world, &Dial::tcp(LAN[0], 53));
}

#[test]
fn the_host_and_metadata_are_closed_to_a_leash() {
    let (world, _services) = world();
    let _hosts = Transport::BOTH.map(|transport| Service::start(&world.host, transport, 80, "host"));
    dual(&world, "front", 7, &[]);
    let everything = format!("{LEASH},0.0.0.0/0,[::/0]");
    world.run("box", &["--net", "front", "--egress", &everything]);
    let inside = world.inside("box");
    for to in ["10.7.0.1", "fd7::1"].into_iter().chain(HOST) {
        for transport in Transport::BOTH {
            let before = world.drops("box", "front", "host-access");
            let _ = Dial::new(transport, (address(to), 80).into()).unanswered(&inside);
            drops_reach(&world, "box", "front", "host-access", before + 1);
        }
    }
    assert_eq!(dig(&world, "box", "+short 169.test"), METADATA);
    let _ = Dial::tcp(METADATA, 80).unanswered(&inside);
    drops_reach(&world, "box", "front", "metadata", 1);
    assert_eq!(Dial::tcp(LAN[0], 81).answered(&inside).name, "lan");
    // what the host begins is its own affair
    let _service = Service::start(&inside, Transport::Tcp, 90, "box");
    assert_eq!(Dial::tcp("10.7.0.2", 90).answered(&world.host).name, "box");
}

#[test]
fn neighbours_are_on_the_leash_by_name() {
    let (world, _services) = world();
    dual(&world, "front", 7, &[]);
    world.run("box", &["--net", "front", "--egress", LEASH]);
    world.run("db", &["--net", "front"]);
    world.run("other", &["--net", "front", "-p", "8080:80"]);
    let (inside, db, other) = (world.inside("box"), world.inside("db"), world.inside("other"));
    let _services = [&db, &other].map(|place| Service::start(place, Transport::Tcp, 80, "neighbour"));
    let _own = Service::start(&inside, Transport::Tcp, 80, "box");
    closed(&world, &Dial::tcp("10.7.0.3", 80));
    assert_eq!(dig(&world, "box", "+short db"), "10.7.0.3");
    assert_eq!(Dial::tcp("10.7.0.3", 80).answered(&inside).name, "neighbour");
    closed(&world, &Dial::tcp("10.7.0.3", 81));
    let said = world.cli(&["why", "box", "other:80"]).stdout;
    assert!(
        said.contains("dropped egress: tcp 10.7.0.2 -> 10.7.0.4:80 on front; no leash names it"),
        "{said}"
    );
    dig(&world, "box", "other");
    closed(&world, &Dial::tcp("10.7.0.4", 80));
    closed(&world, &Dial::tcp(HOST[0], 8080));
    no_ping(&inside, "10.7.0.4");
    // they may begin, and are answered
    assert_eq!(Dial::tcp("10.7.0.2", 80).answered(&other).name, "box");
    ping(&other, "10.7.0.2", 64);
    // a rule of the policy closes, what is open too, but opens nothing beside the leash
    let open = inside.enter(|| Dial::tcp("10.7.0.3", 80).open(PATIENCE)).unwrap();
    ask_stream(&open).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    world.ok(&["policy", "deny", "box", "db"]);
    ask_stream(&open).unwrap_err();
    let _ = Dial::tcp("10.7.0.3", 80).unanswered(&inside);
    assert_ne!(world.drops("box", "front", "policy-denied"), 0);
    world.ok(&["policy", "allow", "box", "other"]);
    closed(&world, &Dial::tcp("10.7.0.4", 80));
}

#[test]
fn a_leash_holds_without_the_agent_and_with_the_next() {
    let (world, _services) = world();
    dual(&world, "front", 7, &[]);
    world.run("box", &["--net", "front", "--egress", LEASH]);
    let inside = world.inside("box");
    dig(&world, "box", "api.test");
    let open = inside.enter(|| Dial::tcp(LAN[0], 80).open(PATIENCE)).unwrap();
    world.kill_agent();
    ask_stream(&open).unwrap();
    assert_eq!(Dial::tcp(LAN[0], 80).answered(&inside).name, "lan");
    let _ = Dial::tcp(LAN[0], 81).unanswered(&inside);
    let file = world.directory.join("resolv.conf");
    world.start_agent(&[&format!("--resolv-conf={}", file.display())]);
    ask_stream(&open).unwrap();
    assert_eq!(Dial::tcp(LAN[0], 80).answered(&inside).name, "lan");
    closed(&world, &Dial::tcp(LAN[0], 81));
    // a policy that comes and goes leaves the leash, and the flows that it let begin
    let rule = world.ok(&["policy", "deny", "box", "host"]);
    ask_stream(&open).unwrap();
    closed(&world, &Dial::tcp(LAN[0], 81));
    world.ok(&["policy", "rm", rule.trim()]);
    ask_stream(&open).unwrap();
    closed(&world, &Dial::tcp(LAN[0], 81));
}

#[test]
fn a_leash_holds_on_the_way_through_the_hosts_stack() {
    let (world, _services) = world();
    world.stop_agent();
    let file = format!("--resolv-conf={}", world.directory.join("resolv.conf").display());
    world.start_agent(&["--uplink-mode=stack", &file]);
    dual(&world, "front", 7, &[]);
    world.run("box", &["--net", "front", "--egress", LEASH]);
    let inside = world.inside("box");
    assert_eq!(dig(&world, "box", "+short api.test"), LAN[0]);
    assert_eq!(dig(&world, "box", "+short api.test AAAA"), LAN[1]);
    for to in LAN {
        assert_eq!(Dial::tcp(to, 80).answered(&inside).name, "lan");
        closed(&world, &Dial::tcp(to, 81));
    }
    closed(&world, &Dial::tcp(SECOND[0], 81));
}

#[test]
fn networks_and_attached_namespaces_have_leashes() {
    let (world, _services) = world();
    dual(&world, "front", 7, &["--egress", "api.test:80,api.test:81"]);
    world.run("free", &["--net", "front"]);
    let namespace = Namespace::new();
    let path = namespace.path();
    world.ok(&[
        "attach",
        "--netns",
        &path,
        "--network",
        "front",
        "--egress",
        "api.test:80",
        "box",
    ]);
    let free = world.inside("free");
    for place in [&free, &namespace] {
        assert_ne!(place.sh("dig +short @10.7.0.1 api.test").ok().trim(), "");
        assert_eq!(Dial::tcp(LAN[0], 80).answered(place).name, "lan");
    }
    // both leashes of the one, the network's of the other
    let _ = Dial::tcp(LAN[0], 81).unanswered(&namespace);
    drops_reach(&world, "box", "front", "egress", 1);
    assert_eq!(Dial::tcp(LAN[0], 81).answered(&free).name, "lan");
    let _ = Dial::tcp(THIRD, 80).unanswered(&free);
    drops_reach(&world, "free", "front", "egress", 1);
    let shown = world.ok(&["network", "inspect", "front"]);
    assert!(
        shown.contains("\"netswitch.egress\": \"api.test:80/tcp,api.test:81/tcp\""),
        "{shown}"
    );
    world.ok(&["detach", "box"]);
}

#[test]
fn what_is_no_leash_is_refused() {
    let world = World::new();
    let refused = |arguments: &str, status: i32, part: &str| {
        let output = world.cli(&words(arguments));
        assert_eq!(output.status, status, "{output:?}");
        assert!(output.stderr.contains(part), "{output:?}");
    };
    refused(
        "run --egress a:0 x",
        125,
        "invalid argument \"a:0\" for \"--egress\" flag: \"0\" is no port and no range of ports",
    );
    refused("run --egress *x x", 125, "\"*x\" is no name and no prefix");
    refused(
        "network create --egress 10.0.0.1/8 x",
        125,
        "has bits beyond its prefix",
    );
    refused(
        "network create -o netswitch.egress=a:b:c x",
        1,
        "failed to parse netswitch.egress value: a:b:c",
    );
    refused(
        "run --net host --egress none x",
        125,
        "conflicting options: egress and the network mode",
    );
    assert_eq!(world.ok(&["ps", "-aq"]), "");
}
