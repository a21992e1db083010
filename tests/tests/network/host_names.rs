//! Names for the host's own programs, as docs/host-names.md tells them to ask.

use std::fs;

use tests::world::{HOST, LAN, World, eventually};

use super::{dual, words};

/// What `dig` on the host makes of a question for the agent.
fn ask(world: &World, question: &str) -> String {
    let line = format!("dig +tries=1 +time=5 @127.0.0.153 {question}");
    world.host.sh(&line).stdout.trim().to_owned()
}

#[track_caller]
fn has_status(world: &World, question: &str, status: &str) {
    let said = ask(world, question);
    assert!(said.contains(&format!("status: {status},")), "{question}: {said}");
}

/// A world with a network whose names the host has, and one whose names it has not.
fn two_networks() -> World {
    let world = World::with_lan();
    dual(&world, "shown", 2, &["--host-names"]);
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "hidden"]);
    world.run("db", &words("--net shown --network-alias store"));
    world.run("other", &["--net", "hidden"]);
    world
}

#[test]
fn the_host_finds_containers_of_networks_that_allow_it() {
    let world = two_networks();
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(ask(&world, &format!("+short {transport} db.shown")), "10.2.0.2");
    }
    assert_eq!(ask(&world, "+short store.SHOWN"), "10.2.0.2");
    assert_eq!(ask(&world, "+short db.shown AAAA"), "fd2::2");
    assert_eq!(ask(&world, "+short -x 10.2.0.2"), "db.shown.");
    assert_eq!(ask(&world, "+short -x fd2::2"), "db.shown.");
    // nobody else knows the first three, and others may know the rest
    for name in ["nobody.shown", "-x 10.2.0.77", "-x fd2::77"] {
        has_status(&world, name, "NXDOMAIN");
    }
    for name in ["db", "other", "other.hidden", "-x 10.3.0.2", "one.test"] {
        has_status(&world, name, "REFUSED");
    }
    let inspected = world.ok(&["network", "inspect", "--format", "{{json .Options}}", "shown"]);
    assert!(inspected.contains(r#""netswitch.host_names":"true""#), "{inspected}");
}

#[test]
fn names_come_and_go_with_containers_networks_and_the_agent() {
    let world = two_networks();
    world.run("web", &["--net", "shown"]);
    assert_eq!(ask(&world, "+short web.shown"), "10.2.0.3");
    world.ok(&["rm", "-f", "web"]);
    has_status(&world, "web.shown", "NXDOMAIN");
    world.restart_agent();
    assert_eq!(ask(&world, "+short db.shown"), "10.2.0.2");
    world.ok(&words(
        "network create --subnet 10.4.0.0/24 -o netswitch.host_names=true more",
    ));
    world.ok(&["rm", "-f", "db"]);
    world.ok(&["network", "rm", "shown"]);
    has_status(&world, "db.shown", "REFUSED");
    // nothing listens for networks that want nothing
    world.ok(&["network", "rm", "more"]);
    let said = ask(&world, "db.shown");
    assert!(said.contains("connection refused"), "{said}");
}

#[test]
fn only_the_host_is_answered() {
    let world = two_networks();
    let db = world.inside("db");
    // even where the host lets its loopback addresses in from everywhere
    world
        .host
        .sh("for file in /proc/sys/net/ipv4/conf/*/route_localnet; do echo 1 > $file; done")
        .ok();
    for namespace in [&db, world.lan()] {
        namespace.sh("echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet").ok();
    }
    db.sh("ip addr del 127.0.0.1/8 dev lo && ip route add 127.0.0.153 via 10.2.0.1")
        .ok();
    world
        .lan()
        .sh(&format!(
            "ip addr del 127.0.0.1/8 dev lo && ip route add 127.0.0.153 via {}",
            HOST[0]
        ))
        .ok();
    for namespace in [&db, world.lan()] {
        for transport in ["+notcp", "+tcp"] {
            let said = namespace.sh(&format!("dig {transport} +tries=1 +time=1 @127.0.0.153 db.shown"));
            assert!(said.status != 0 && !said.stdout.contains("10.2.0.2"), "{said:?}");
        }
    }
    assert_eq!(ask(&world, "+short db.shown"), "10.2.0.2");
}

#[test]
fn an_address_that_is_taken_or_not_the_hosts_own_is_refused() {
    let world = World::without_agent();
    let output = world.cli(&["agent", "--host-names", "10.2.0.1"]);
    assert!(
        output.stderr.contains("10.2.0.1 is not a loopback address"),
        "{output:?}"
    );
    let taken = world
        .host
        .enter(|| std::net::UdpSocket::bind("127.0.0.9:5300").unwrap());
    world.start_agent(&["--host-names", "127.0.0.9:5300"]);
    let output = world.cli(&words("network create --subnet 10.2.0.0/24 --host-names mynet"));
    assert!(
        output.stderr.contains(
            "cannot answer the host's questions for names at 127.0.0.9:5300: address already in use; netswitch agent \
             --host-names chooses another"
        ),
        "{output:?}"
    );
    let networks = world.ok(&words("network ls --format {{.Name}}"));
    assert!(!networks.contains("mynet"), "{networks}");
    drop(taken);
    world.ok(&words("network create --subnet 10.2.0.0/24 --host-names mynet"));
    world.run("db", &["--net", "mynet"]);
    let said = world.host.sh("dig +short -p 5300 @127.0.0.9 db.mynet").ok();
    assert_eq!(said, "10.2.0.2");
}

#[test]
fn a_taken_address_does_not_keep_an_agent_from_starting() {
    let world = two_networks();
    world.stop_agent();
    let taken = world
        .host
        .enter(|| std::net::UdpSocket::bind("127.0.0.153:53").unwrap());
    world.start_agent(&[]);
    assert!(
        world.log().contains("127.0.0.153:53: address already in use"),
        "{}",
        world.log()
    );
    drop(taken);
    // at the latest with the next network
    world.ok(&["network", "create", "next"]);
    assert_eq!(ask(&world, "+short db.shown"), "10.2.0.2");
}

#[test]
fn dnsmasq_passes_on_what_is_the_agents() {
    let world = two_networks();
    // as in the page, but for what keeps a test to itself
    let own = "--keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
               --bind-interfaces --listen-address=127.0.0.1 --address=/one.test/192.0.2.1";
    let page = "--server=/shown/127.0.0.153 --rev-server=10.2.0.0/24,127.0.0.153";
    let mut command = world.host.command("dnsmasq");
    world.keep(command.args(words(own)).args(words(page)).spawn().unwrap());
    let ask = |question: &str| {
        let line = format!("dig +short +tries=1 +time=2 @127.0.0.1 {question}");
        world.host.sh(&line).stdout.trim().to_owned()
    };
    eventually("dnsmasq serves", || match ask("one.test").as_str() {
        "192.0.2.1" => Ok(()),
        said => Err(said.to_owned()),
    });
    assert_eq!(ask("db.shown"), "10.2.0.2");
    assert_eq!(ask("db.shown AAAA"), "fd2::2");
    assert_eq!(ask("-x 10.2.0.2"), "db.shown.");
}

#[test]
fn a_resolv_conf_that_names_the_agent_first_finds_everything() {
    let mut world = World::without_agent();
    world.add_lan();
    let file = world.directory.join("resolv.conf");
    fs::write(&file, format!("nameserver 127.0.0.153\nnameserver {}\n", LAN[0])).unwrap();
    // the agent reads the same file, and does not ask itself
    world.start_agent(&[&format!("--resolv-conf={}", file.display())]);
    dual(&world, "shown", 2, &["--host-names"]);
    world.run("db", &["--net", "shown"]);
    let server = "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
                  --address=/one.test/192.0.2.1";
    world.keep(world.lan().command("sh").args(["-c", server]).spawn().unwrap());
    let look = |name: &str| {
        let line = format!(
            "unshare --mount sh -c 'mount --bind {} /etc/resolv.conf && getent ahosts {name}'",
            file.display()
        );
        world.host.sh(&line).stdout
    };
    eventually("the server on the LAN", || match look("one.test") {
        said if said.starts_with("192.0.2.1 ") => Ok(()),
        said => Err(said),
    });
    let said = look("db.shown");
    assert!(said.contains("10.2.0.2 ") && said.contains("fd2::2 "), "{said}");
    let said = world.exec("db", &["dig", "+short", "+tries=1", "one.test"]).ok();
    assert_eq!(said, "192.0.2.1");
}
