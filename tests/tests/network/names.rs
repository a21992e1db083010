//! Names: who finds whom, on which networks, and since when (SEED S13–S17, S34–S36, S45).

use std::fs;

use tests::world::{Output, World, eventually};

use super::{dual, finds, words};

/// One echo by name, as the tutorial prints it.
fn ping_name(world: &World, from: &str, name: &str) -> Output {
    world.exec(from, &["ping", "-c", "1", "-W", "5", name])
}

/// No resolver, or one that says no: the tutorial's text or the other.
fn is_unknown(output: &Output) -> bool {
    let texts = ["Temporary failure in name resolution", "Name or service not known"];
    output.status != 0 && texts.iter().any(|text| output.stderr.contains(text))
}

#[test]
fn s14_s17_the_default_network_has_no_names() {
    let world = World::new();
    world.run("tomcat01", &[]);
    world.run("tomcat02", &[]);
    world.run("tomcat03", &["--link", "tomcat02"]);
    for (from, name) in [("tomcat01", "tomcat02"), ("tomcat02", "tomcat03")] {
        let output = ping_name(&world, from, name);
        assert!(is_unknown(&output), "{output:?}");
    }
}

#[test]
fn s15_s16_a_link_is_a_name_in_the_hosts_file() {
    let world = World::new();
    world.run("tomcat01", &[]);
    world.run("tomcat02", &[]);
    let id = world.run("tomcat03", &["-P", "--link", "tomcat02"]);
    assert_eq!(id.len(), 64);
    let said = ping_name(&world, "tomcat03", "tomcat02").ok();
    assert!(said.starts_with("PING tomcat02 (172.17.0.3) "), "{said}");
    assert!(said.contains("64 bytes from tomcat02 (172.17.0.3): "), "{said}");
}

#[test]
fn s34_s35_a_name_leads_to_its_container_and_back() {
    let world = World::new();
    world.ok(&words(
        "network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    world.run("tomcat-net-01", &["--net", "mynet"]);
    world.run("tomcat-net-02", &["--net", "mynet"]);
    for (from, to, address) in [
        ("tomcat-net-01", "tomcat-net-02", "192.168.0.3"),
        ("tomcat-net-02", "tomcat-net-01", "192.168.0.2"),
    ] {
        let said = ping_name(&world, from, to).ok();
        assert!(said.starts_with(&format!("PING {to} ({address}) ")), "{said}");
        assert!(
            said.contains(&format!("64 bytes from {to}.mynet ({address}): ")),
            "{said}"
        );
    }
}

#[test]
fn s13_a_container_made_anew_is_found_at_once() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    for last in [50, 51, 52] {
        let address = format!("10.2.0.{last}");
        world.run("db", &["--net", "mynet", "--ip", &address]);
        finds(&world, "app", "db", &[&address]);
        world.ok(&["rm", "-f", "db"]);
        finds(&world, "app", "db", &[]);
    }
}

#[test]
fn s45_names_switch_on_when_a_running_container_is_connected() {
    let world = World::new();
    world.ok(&words(
        "network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    world.run("tomcat-net-01", &["--net", "mynet"]);
    world.run("tomcat01", &[]);
    assert!(is_unknown(&ping_name(&world, "tomcat01", "tomcat-net-01")));
    world.ok(&["network", "connect", "mynet", "tomcat01"]);
    let said = ping_name(&world, "tomcat01", "tomcat-net-01").ok();
    assert!(
        said.contains("64 bytes from tomcat-net-01.mynet (192.168.0.2): "),
        "{said}"
    );
    let said = ping_name(&world, "tomcat-net-01", "tomcat01").ok();
    assert!(said.contains("64 bytes from tomcat01.mynet (192.168.0.3): "), "{said}");
    world.ok(&["network", "disconnect", "bridge", "tomcat01"]);
    finds(&world, "tomcat01", "tomcat-net-01", &["192.168.0.2"]);
    world.ok(&["network", "connect", "bridge", "tomcat01"]);
    world.ok(&["network", "disconnect", "mynet", "tomcat01"]);
    assert!(is_unknown(&ping_name(&world, "tomcat01", "tomcat-net-01")));
}

#[test]
fn every_name_that_a_container_has() {
    let world = World::new();
    dual(&world, "six", 6, &[]);
    let id = world.run(
        "web",
        &words("--net six -h www.example.com --network-alias front --network-alias Store"),
    );
    world.run("app", &["--net", "six"]);
    let both = ["10.6.0.2", "fd6::2"];
    for name in [
        "web",
        "WEB",
        "web.six",
        "front",
        "store.six",
        "www.example.com",
        &id[..12],
    ] {
        finds(&world, "app", name, &both);
    }
    // and itself by its own
    finds(&world, "web", "web", &both);
}

#[test]
fn an_alias_of_several_containers_leads_to_all() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("one", &words("--net mynet --network-alias db"));
    world.run("two", &[]);
    world.ok(&words("network connect --alias db mynet two"));
    world.run("app", &["--net", "mynet"]);
    finds(&world, "app", "db", &["10.2.0.2", "10.2.0.3"]);
    let first = |_| {
        let said = world.exec("app", &["dig", "+short", "db"]).ok();
        said.lines().next().unwrap_or_default().to_owned()
    };
    let begins: std::collections::BTreeSet<String> = (0..4).map(first).collect();
    assert_eq!(begins.len(), 2, "{begins:?}");
}

#[test]
fn names_end_at_their_network() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "net-a"]);
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "net-b"]);
    world.run("one", &["--net", "net-a"]);
    world.run("two", &["--net", "net-b"]);
    world.run("both", &["--net", "net-a"]);
    world.ok(&["network", "connect", "net-b", "both"]);
    for name in ["two", "two.net-b"] {
        finds(&world, "one", name, &[]);
        finds(&world, "both", name, &["10.3.0.2"]);
    }
    finds(&world, "both", "one", &["10.2.0.2"]);
    finds(&world, "one", "both", &["10.2.0.3"]);
    finds(&world, "two", "both", &["10.3.0.3"]);
}

#[test]
fn a_link_on_a_users_network_is_a_private_name() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &words("--net mynet --link db:store"));
    world.run("other", &[]);
    world.ok(&words("network connect --link db:backend mynet other"));
    finds(&world, "app", "store", &["10.2.0.2"]);
    finds(&world, "other", "backend", &["10.2.0.2"]);
    finds(&world, "other", "store", &[]);
    finds(&world, "db", "store", &[]);
}

#[test]
fn a_resolv_conf_that_somebody_has_written_stays() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    let text = |name: &str| world.exec(name, &["cat", "/etc/resolv.conf"]).ok();
    let own = world.directory.join("own.conf");
    fs::write(&own, "nameserver 192.0.2.1\n").unwrap();
    world.run("kept", &[]);
    let edited = world.run("edited", &[]);
    world.run("bound", &["-v", &format!("{}:/etc/resolv.conf", own.display())]);
    assert!(text("kept").contains("nameserver 172.17.0.1"), "{}", text("kept"));
    // inside it cannot be written; who looks after the host can
    let file = world.directory.join("run/containers").join(edited).join("resolv.conf");
    fs::write(&file, "nameserver 192.0.2.2\n").unwrap();
    for name in ["kept", "edited", "bound"] {
        world.ok(&["network", "connect", "mynet", name]);
        world.ok(&["network", "disconnect", "bridge", name]);
    }
    assert!(text("kept").contains("nameserver 10.2.0.1"), "{}", text("kept"));
    assert_eq!(text("edited"), "nameserver 192.0.2.2");
    assert_eq!(text("bound"), "nameserver 192.0.2.1");
}

#[test]
fn names_outlive_a_restart_of_the_agent() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    world.restart_agent();
    finds(&world, "app", "db", &["10.2.0.2"]);
    let app = world.inside("app");
    world.kill_agent();
    // told at once that nobody answers
    for transport in ["+notcp", "+tcp"] {
        let said = app
            .sh(&format!("dig {transport} +tries=1 +time=50 @10.2.0.1 db"))
            .stdout;
        assert!(said.contains("connection refused"), "{said}");
    }
    world.start_agent(&[]);
    finds(&world, "app", "db", &["10.2.0.2"]);
}

#[test]
fn port_53_stays_everybodys_own() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    let dnsmasq = "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= \
                   --user=root --address=/own.test/192.0.2.77";
    for namespace in [&world.inside("app"), &world.host] {
        world.keep(namespace.command("sh").args(["-c", dnsmasq]).spawn().unwrap());
        eventually("a name server of its own", || {
            let said = namespace.sh("dig +short +tries=1 +time=1 @127.0.0.1 own.test").stdout;
            if said.trim() == "192.0.2.77" { Ok(()) } else { Err(said) }
        });
    }
    finds(&world, "app", "db", &["10.2.0.2"]);
    assert_eq!(
        world.inside("db").sh("dig +short @10.2.0.3 own.test").ok(),
        "192.0.2.77"
    );
    assert_eq!(world.host.sh("dig +short @10.2.0.1 own.test").ok(), "192.0.2.77");
    // what containers ask the gateway goes to the agent
    assert_eq!(world.inside("db").sh("dig +short @10.2.0.1 app").ok(), "10.2.0.3");
    assert_eq!(world.inside("db").sh("dig +short +tcp @10.2.0.1 app").ok(), "10.2.0.3");
}

#[test]
fn a_gateway_that_moves_is_asked_where_it_is() {
    let world = World::new();
    world.ok(&words(
        "network create --subnet 10.2.0.0/24 -o com.docker.network.bridge.name=mybr mynet",
    ));
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    let moves = "ip addr del 10.2.0.1/24 dev mybr && ip addr add 10.2.0.9/24 brd + dev mybr";
    world.host.sh(moves).ok();
    eventually("resolv.conf follows", || {
        let text = world.exec("app", &["cat", "/etc/resolv.conf"]).ok();
        if text.contains("nameserver 10.2.0.9") {
            Ok(())
        } else {
            Err(text)
        }
    });
    finds(&world, "app", "db", &["10.2.0.2"]);
    for transport in ["+notcp", "+tcp"] {
        let said = world
            .exec("app", &["dig", "+short", transport, "@127.0.0.11", "db"])
            .ok();
        assert_eq!(said, "10.2.0.2");
    }
}

#[test]
fn a_port_that_somebody_else_has_on_one_network_is_given_up_on_all() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "other"]);
    world.run("first", &["--net", "other"]);
    let listening = world.host.sh("ss -Hlnu src 10.3.0.1").ok();
    let port = words(&listening)[3].rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    world.host.sh("ip addr add 10.2.0.1/32 dev lo").ok();
    let _taken = world
        .host
        .enter(|| std::net::UdpSocket::bind(("10.2.0.1", port)))
        .unwrap();
    world.host.sh("ip addr del 10.2.0.1/32 dev lo").ok();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    finds(&world, "app", "db", &["10.2.0.2"]);
    finds(&world, "first", "first", &["10.3.0.2"]);
}
