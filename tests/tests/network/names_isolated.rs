//! Names on networks that the host is not on: the switch answers alone.

use tests::world::{Namespace, World};

use super::{dual, finds, words};

const MODES: [&str; 4] = [
    "-o",
    "com.docker.network.bridge.gateway_mode_ipv4=isolated",
    "-o",
    "com.docker.network.bridge.gateway_mode_ipv6=isolated",
];

/// Two containers on such a network.
fn isolated() -> World {
    let world = World::with_lan();
    dual(&world, "alone", 66, &[&["--internal"], &MODES[..]].concat());
    world.run("db", &words("--net alone --network-alias store"));
    world.run("app", &words("--net alone --network-alias all"));
    world
}

fn ask(inside: &Namespace, question: &str) -> String {
    inside.sh(&format!("dig +tries=1 +time=5 {question}")).stdout
}

#[test]
fn names_of_an_isolated_network_are_found_without_an_agent() {
    let world = isolated();
    let check = || {
        for name in ["db", "DB.alone", "store"] {
            finds(&world, "app", name, &["10.66.0.2", "fd66::2"]);
        }
        finds(&world, "app", "nobody", &[]);
        let said = world.exec("app", &["getent", "hosts", "10.66.0.2"]).stdout;
        assert_eq!(words(&said), ["10.66.0.2", "db.alone"]);
    };
    check();
    let said = world.exec("app", &["busybox", "nslookup", "db.alone"]);
    assert!(said.stdout.contains("10.66.0.2"), "{said:?}");
    let said = world.exec("app", &["dig", "+short", "@127.0.0.11", "db"]).ok();
    assert_eq!(said, "10.66.0.2");
    let inside = world.inside("app");
    world.kill_agent();
    for server in ["10.66.0.1", "fd66::1"] {
        for options in ["+noedns", "+edns", "+edns +padding=128"] {
            let ask = |question: &str| ask(&inside, &format!("{options} @{server} {question}"));
            assert_eq!(ask("+short db").trim(), "10.66.0.2", "{options} {server}");
            assert_eq!(ask("+short db.alone AAAA").trim(), "fd66::2", "{options} {server}");
            assert_eq!(ask("+short -x 10.66.0.2").trim(), "db.alone.", "{options} {server}");
            for (question, status) in [
                ("nobody", "NXDOMAIN"),
                ("one.test", "NXDOMAIN"),
                ("db TXT", "NOERROR"),
                // too long to be known
                (&format!("{}.alone", "n".repeat(62)), "SERVFAIL"),
                ("-x fd66::2", "SERVFAIL"),
            ] {
                let said = ask(question);
                assert!(
                    said.contains(&format!("status: {status},")) && said.contains("ANSWER: 0,"),
                    "{options} {server} {question}: {said}"
                );
            }
        }
    }
    world.start_agent(&[]);
    check();
}

#[test]
fn a_shared_alias_leads_to_one_of_those_who_have_it() {
    let world = isolated();
    world.run("third", &words("--net alone --network-alias all"));
    finds(&world, "db", "all", &["10.66.0.3", "fd66::3"]);
    world.ok(&["rm", "-f", "app"]);
    finds(&world, "db", "all", &["10.66.0.4", "fd66::4"]);
}

#[test]
fn nothing_else_is_at_the_resolvers_address() {
    let world = isolated();
    let app = world.inside("app");
    let listening = "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root";
    world.keep(world.host.command("sh").args(["-c", listening]).spawn().unwrap());
    for server in ["10.66.0.1", "fd66::1"] {
        assert_ne!(app.sh(&format!("ping -c 1 -W 1 {server}")).status, 0);
        let said = app.sh(&format!("dig +tcp +tries=1 +time=1 @{server} db"));
        assert_ne!(said.status, 0, "{said:?}");
        let said = app.sh(&format!("dig +tries=1 +time=1 -p 54 @{server} db"));
        assert_ne!(said.status, 0, "{said:?}");
    }
}

#[test]
fn a_network_with_a_gateway_is_asked_before_one_without() {
    let world = isolated();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "usual"]);
    world.run("web", &["--net", "usual"]);
    let servers = || world.exec("app", &["cat", "/etc/resolv.conf"]).ok();
    assert!(servers().contains("nameserver 10.66.0.1"), "{}", servers());
    world.ok(&["network", "connect", "usual", "app"]);
    assert!(servers().contains("nameserver 10.2.0.1"), "{}", servers());
    for (name, addresses) in [("web", &["10.2.0.2"][..]), ("db", &["10.66.0.2", "fd66::2"])] {
        finds(&world, "app", name, addresses);
    }
}
