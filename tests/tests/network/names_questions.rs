//! Questions of every kind about the switch's own names, by real clients.

use std::fs;
use std::path::PathBuf;

use tests::world::World;

use super::{dual, words};

/// Where containers have the program that looks names up.
pub(super) const PROGRAM: &str = "/usr/local/bin/find-name";

/// Two containers on a network of both families, one with IPv4 alone, many of one alias.
fn world() -> World {
    let world = World::new();
    dual(&world, "six", 6, &[]);
    world.ok(&["network", "create", "--subnet", "10.4.0.0/24", "four"]);
    world.run("app", &["--net", "six"]);
    world.ok(&["network", "connect", "four", "app"]);
    world.run("web", &["--net", "six"]);
    world.run("old", &["--net", "four"]);
    world
}

fn dig(world: &World, arguments: &str) -> String {
    world.exec("app", &[&["dig"], &words(arguments)[..]].concat()).ok()
}

#[test]
fn each_type_has_its_answer() {
    let world = world();
    for (question, answer) in [
        ("web A", "10.6.0.3"),
        ("web AAAA", "fd6::3"),
        ("wEb.SiX A", "10.6.0.3"),
        ("old A", "10.4.0.3"),
        ("-x 10.6.0.3", "web.six."),
        ("-x fd6::3", "web.six."),
        ("-x 10.4.0.3", "old.four."),
    ] {
        for transport in ["+notcp", "+tcp", "+noedns", "+bufsize=512"] {
            let said = dig(&world, &format!("+short {transport} {question}"));
            assert_eq!(said, answer, "{question} {transport}");
        }
    }
    let said = dig(&world, "+short web ANY");
    let mut both: Vec<&str> = said.lines().collect();
    both.sort_unstable();
    assert_eq!(both, ["10.6.0.3", "fd6::3"]);
    for question in ["old AAAA", "web MX", "web SRV", "web TXT", "web HTTPS"] {
        let said = dig(&world, question);
        assert!(
            said.contains("status: NOERROR") && said.contains("ANSWER: 0"),
            "{question}: {said}"
        );
        assert!(said.contains("flags: qr aa rd ra"), "{said}");
    }
    let said = dig(&world, "wEb");
    assert!(
        said.contains(";wEb.") && said.contains("\nwEb.\t\t\t0\tIN\tA\t10.6.0.3"),
        "{said}"
    );
}

#[test]
fn whichever_gateway_is_asked_answers() {
    let world = world();
    for server in ["10.6.0.1", "fd6::1", "10.4.0.1"] {
        for transport in ["+notcp", "+tcp"] {
            let said = dig(&world, &format!("+short {transport} @{server} web"));
            assert_eq!(said, "10.6.0.3", "{server}");
        }
    }
}

#[test]
fn odd_names_and_bad_packets_harm_nobody() {
    let world = world();
    let label = "a".repeat(63);
    // 255 bytes on the wire, the longest name there is
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    for name in [longest.as_str(), "nobody", "nobody.six", ".", "web.", "a\\.b.six"] {
        let said = dig(&world, &format!("+tries=1 {name}"));
        let known = ["NOERROR", "NXDOMAIN", "SERVFAIL"];
        assert!(
            known.iter().any(|code| said.contains(&format!("status: {code}"))),
            "{name}: {said}"
        );
    }
    let said = dig(&world, "+tries=1 -c CH version.bind TXT");
    assert!(said.contains("status: REFUSED"), "{said}");
    assert!(dig(&world, "+tries=1 +opcode=2 web").contains("status: NOTIMP"));
    assert!(dig(&world, "+tries=1 +edns=1 +noednsnegotiation web").contains("status: BADVERS"));
    let nonsense = "for n in 0 1 11 12 13 100 1400; do head -c $n /dev/urandom > /dev/udp/10.6.0.1/53; done";
    world.exec("app", &["bash", "-c", nonsense]).ok();
    assert_eq!(dig(&world, "+short web"), "10.6.0.3");
}

#[test]
fn a_long_answer_is_cut_and_whole_over_tcp() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.4.0.0/24", "four"]);
    world.run("app", &["--net", "four"]);
    for number in 0..40 {
        let name = format!("node-{number}");
        world.run(&name, &words("--net four --network-alias nodes"));
    }
    let count = |arguments: &str| dig(&world, arguments).lines().count();
    assert_eq!(count("+short nodes"), 40);
    assert_eq!(count("+short +noedns nodes"), 40); // asked again over TCP
    assert_eq!(count("+short +noedns +ignore nodes"), 0);
    let said = dig(&world, "+noedns +ignore nodes");
    assert!(said.contains("flags: qr aa tc"), "{said}");
    let said = world.exec("app", &["getent", "ahostsv4", "nodes"]).ok();
    assert_eq!(said.lines().filter(|line| line.contains("STREAM")).count(), 40);
}

/// A program that prints the addresses of a name, and their names, by a compiler's own resolver.
pub(super) fn build(world: &World, compiler: &str) -> PathBuf {
    compile(world, compiler, FIND, "")
}

/// A program in C that is linked with `libraries`.
pub(super) fn compile(world: &World, compiler: &str, code: &str, libraries: &str) -> PathBuf {
    let source = world.directory.join("find.c");
    let program = world.directory.join("find");
    fs::write(&source, code).unwrap();
    let (to, from) = (program.display(), source.display());
    world.host.sh(&format!("{compiler} -o {to} {from} {libraries}")).ok();
    program
}

const FIND: &str = r#"#include <netdb.h>
#include <stdio.h>
int main(int count, char **words) {
    struct addrinfo *found = 0, hints = { .ai_socktype = SOCK_DGRAM };
    int error = getaddrinfo(words[1], 0, &hints, &found);
    if (error) return puts(gai_strerror(error)), 1;
    for (; found; found = found->ai_next) {
        char text[64], name[256];
        getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
        getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, 0, 0, 0);
        printf("%s %s\n", text, name);
    }
}
"#;

#[test]
fn programs_of_glibc_and_of_musl_find_names() {
    let world = world();
    for compiler in ["cc", "musl-gcc -static"] {
        let program = build(&world, compiler);
        let program = program.display();
        let find = |name: &str| {
            let bind = format!("{program}:{PROGRAM}:ro");
            let run = ["run", "--rm", "--net", "six", "-v", &bind, "--", PROGRAM, name];
            world.cli(&run)
        };
        let said = find("web").ok();
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["10.6.0.3 web.six", "fd6::3 web.six"], "{compiler}");
        assert_ne!(find("nobody").status, 0);
        // where Docker's resolver is, too
        let text = world.directory.join("resolv.conf");
        fs::write(&text, "nameserver 127.0.0.11\n").unwrap();
        let bind = [
            format!("{program}:{PROGRAM}:ro"),
            format!("{}:/etc/resolv.conf", text.display()),
        ];
        let run = [
            "run", "--rm", "--net", "six", "-v", &bind[0], "-v", &bind[1], "--", PROGRAM, "web",
        ];
        assert!(world.ok(&run).contains("10.6.0.3 web.six"), "{compiler}");
    }
}

#[test]
fn dockers_address_answers_too_and_port_53_there_is_the_containers_own() {
    let world = world();
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(dig(&world, &format!("+short {transport} @127.0.0.11 web")), "10.6.0.3");
    }
    world.ok(&["network", "disconnect", "six", "app"]);
    assert_eq!(dig(&world, "+short @127.0.0.11 old"), "10.4.0.3");
    let said = dig(&world, "+short @127.0.0.11 web");
    assert_eq!(said, "");
    world.restart_agent();
    assert_eq!(dig(&world, "+short @127.0.0.11 old"), "10.4.0.3");
    // the host has its own
    let said = world.host.sh("dig +tries=1 +time=1 @127.0.0.11 old").stdout;
    assert!(said.contains("connection refused"), "{said}");
}
