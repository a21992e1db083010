//! Names that are not the switch's: whom the agent asks, and what it makes of the answers.

use std::fs;
use std::path::PathBuf;

use tests::world::{LAN, Namespace, World, eventually};

use super::words;

/// A world whose agent reads this resolv.conf.
pub fn resolving(text: &str) -> World {
    let mut world = World::without_agent();
    world.add_lan();
    let file = resolv_conf(&world);
    fs::write(&file, text).unwrap();
    let option = format!("--resolv-conf={}", file.display());
    world.start_agent(&[&option]);
    world
}

fn resolv_conf(world: &World) -> PathBuf {
    world.directory.join("resolv.conf")
}

/// A real name server at an address, which answers for `one.test` with this; more options by the caller.
pub fn serve_names(world: &World, namespace: &Namespace, at: &str, answer: &str, options: &[&str]) {
    let own = [
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
        "--bind-interfaces",
        "--local-ttl=300",
        &format!("--listen-address={at}"),
        &format!("--address=/one.test/{answer}"),
    ];
    let mut command = namespace.command("dnsmasq");
    world.keep(command.args(own).args(options).spawn().unwrap());
    eventually("a name server serves", || {
        let output = namespace.sh(&format!("dig +short +tries=1 +time=1 @{at} one.test"));
        match output.stdout.trim() {
            said if said == answer => Ok(()),
            said => Err(said.to_owned()),
        }
    });
}

/// What `dig` in a container prints, with these arguments.
pub fn dig(world: &World, from: &str, arguments: &str) -> String {
    world.exec(from, &[&["dig"], &words(arguments)[..]].concat()).ok()
}

/// A container on the default network and one on its own kind, asking for `one.test`.
#[track_caller]
fn becomes(world: &World, from: &str, answer: &str) {
    finds(world, from, "one.test", answer);
}

/// The container finds this under the name at last.
#[track_caller]
fn finds(world: &World, from: &str, name: &str, answer: &str) {
    eventually(answer, || match dig(world, from, &format!("+short {name}")) {
        said if said == answer => Ok(()),
        said => Err(said),
    });
}

#[test]
fn the_hosts_servers_are_asked_and_followed_live() {
    let world = resolving(&format!("nameserver {}\n", LAN[0]));
    serve_names(&world, world.lan(), LAN[0], "192.0.2.1", &[]);
    serve_names(&world, world.lan(), LAN[1], "192.0.2.2", &[]);
    serve_names(&world, &world.host, "127.0.0.53", "192.0.2.3", &[]);
    world.ok(&["network", "create", "mynet"]);
    world.run("usual", &[]);
    world.run("app", &["--net", "mynet"]);
    for name in ["usual", "app"] {
        assert_eq!(dig(&world, name, "+short one.test"), "192.0.2.1");
        assert_eq!(dig(&world, name, "+short +tcp one.test"), "192.0.2.1");
    }
    // written in place, put in its place, a stub on the host's loopback
    let file = resolv_conf(&world);
    fs::write(&file, format!("nameserver {}\n", LAN[1])).unwrap();
    becomes(&world, "usual", "192.0.2.2");
    let other = world.directory.join("other.conf");
    fs::write(&other, "search lan\nnameserver 127.0.0.53\n").unwrap();
    fs::rename(&other, &file).unwrap();
    becomes(&world, "app", "192.0.2.3");
    // a link to another folder, as systemd-resolved leaves it
    let folder = world.directory.join("resolve");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("stub.conf"), format!("nameserver {}\n", LAN[0])).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(folder.join("stub.conf"), &file).unwrap();
    becomes(&world, "app", "192.0.2.1");
    fs::write(&other, format!("nameserver {}\n", LAN[1])).unwrap();
    fs::rename(&other, folder.join("stub.conf")).unwrap();
    becomes(&world, "app", "192.0.2.2");
}

#[test]
fn answers_are_passed_on_whatever_their_kind() {
    let world = resolving(&format!("nameserver {}\n", LAN[0]));
    let text = "x".repeat(250);
    let records = [
        "--mx-host=one.test,mail.one.test,10".to_owned(),
        "--txt-record=one.test,hello".into(),
        "--srv-host=_sip._udp.one.test,mail.one.test,5060".into(),
        "--cname=alias.test,there.test".into(),
        "--host-record=there.test,192.0.2.9,2001:db8::9".into(),
        "--ptr-record=9.2.0.192.in-addr.arpa,there.test".into(),
        format!("--txt-record=long.test,{text},{text},{text},{text},{text},{text}"),
        "--address=/nothing.test/".into(),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    serve_names(&world, world.lan(), LAN[0], "192.0.2.1", &records);
    world.run("app", &[]);
    for (question, answer) in [
        ("one.test MX", "10 mail.one.test."),
        ("one.test TXT", "\"hello\""),
        ("_sip._udp.one.test SRV", "0 0 5060 mail.one.test."),
        ("alias.test", "there.test.\n192.0.2.9"),
        ("alias.test AAAA", "there.test.\n2001:db8::9"),
        ("-x 192.0.2.9", "there.test."),
    ] {
        assert_eq!(dig(&world, "app", &format!("+short {question}")), answer, "{question}");
    }
    // longer than a datagram: cut, and whole over TCP
    let cut = dig(&world, "app", "+ignore long.test TXT");
    assert!(cut.contains("flags: qr aa tc") && cut.contains("ANSWER: 0"), "{cut}");
    assert_eq!(dig(&world, "app", "+short long.test TXT").matches('x').count(), 1500);
    let plain = dig(&world, "app", "+noedns +ignore long.test TXT");
    assert!(plain.contains("flags: qr aa tc") && !plain.contains("EDNS"), "{plain}");
    // kept as long as it may be
    let ttl = |said: &str| -> u32 { words(said)[1].parse().unwrap() };
    let first = ttl(&dig(&world, "app", "+noall +answer +ttlunits +nottlunits one.test"));
    assert!(first > 0 && first <= 300, "{first}");
    // what is not there is said to be not there
    let unknown = dig(&world, "app", "nothing.test");
    assert!(unknown.contains("status: NXDOMAIN"), "{unknown}");
}

#[test]
fn a_containers_servers_are_asked_before_its_networks_and_the_hosts() {
    let world = resolving(&format!("nameserver {}\n", LAN[0]));
    serve_names(&world, world.lan(), LAN[0], "192.0.2.1", &[]);
    serve_names(&world, world.lan(), LAN[1], "192.0.2.2", &[]);
    serve_names(&world, &world.host, "127.0.0.9", "192.0.2.3", &[]);
    world.ok(&["network", "create", "-o", &format!("netswitch.dns={}", LAN[1]), "mynet"]);
    world.run("usual", &[]);
    world.run("network", &["--net", "mynet"]);
    world.run(
        "own",
        &words("--net mynet --dns 127.0.0.9 --dns-search lan --dns-option timeout:3"),
    );
    assert_eq!(dig(&world, "usual", "+short one.test"), "192.0.2.1");
    assert_eq!(dig(&world, "network", "+short one.test"), "192.0.2.2");
    assert_eq!(dig(&world, "own", "+short one.test"), "192.0.2.3");
    let text = world.exec("own", &["cat", "/etc/resolv.conf"]).ok();
    assert!(text.starts_with("search lan\nnameserver "), "{text}");
    assert!(text.ends_with("options timeout:3 ndots:0"), "{text}");
    let config = world.inspect("own")["HostConfig"].take();
    assert_eq!(config["Dns"].to_string(), r#"["127.0.0.9"]"#);
    assert_eq!(config["DnsSearch"].to_string(), r#"["lan"]"#);
    assert_eq!(config["DnsOptions"].to_string(), r#"["timeout:3"]"#);
    // its own network's names come first all the same
    let own = dig(&world, "own", "+short network");
    assert_eq!(own, world.address("network", "mynet").to_string());
}

#[test]
fn an_internal_network_has_its_own_names_and_no_others() {
    let world = resolving(&format!("nameserver {}\n", LAN[0]));
    serve_names(&world, world.lan(), LAN[0], "192.0.2.1", &[]);
    world.ok(&words("network create --internal --subnet 10.2.0.0/24 inner"));
    world.run("db", &["--net", "inner"]);
    world.run("app", &words("--net inner --dns 192.168.56.1"));
    assert_eq!(dig(&world, "app", "+short db"), "10.2.0.2");
    let refused = dig(&world, "app", "one.test");
    assert!(refused.contains("status: NXDOMAIN"), "{refused}");
    // as soon as there is a way out
    world.ok(&["network", "create", "outer"]);
    world.ok(&["network", "connect", "outer", "app"]);
    assert_eq!(dig(&world, "app", "+short one.test"), "192.0.2.1");
}

#[test]
fn a_dead_server_costs_little_and_the_next_one_answers() {
    // nobody has the first address: not even a refusal comes back
    let world = resolving(&format!("nameserver 192.168.56.77\nnameserver {}\n", LAN[0]));
    serve_names(&world, world.lan(), LAN[0], "192.0.2.1", &[]);
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    assert_eq!(dig(&world, "app", "+short +tries=1 one.test"), "192.0.2.1");
    fs::write(resolv_conf(&world), "nameserver 192.168.56.77\n").unwrap();
    eventually("the servers are known to be gone", || {
        let said = dig(&world, "app", "+tries=1 +time=20 two.test");
        if said.contains("status: SERVFAIL") {
            Ok(())
        } else {
            Err(said)
        }
    });
    // meanwhile names of the network's own are answered
    let asks = "for i in $(seq 50); do dig +tries=1 +time=1 $i.test > /dev/null & done; dig +short +tries=1 db";
    let said = world.exec("app", &["sh", "-c", asks]).stdout;
    assert_eq!(said.trim(), "10.2.0.2");
}

#[test]
fn a_stalled_client_is_no_ones_loss() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    let app = world.inside("app");
    let streams: Vec<_> = app.enter(|| {
        let connect = |_| std::net::TcpStream::connect("10.2.0.1:53").unwrap();
        (0..200).map(connect).collect()
    });
    assert_eq!(world.inside("db").sh("dig +tcp +short @10.2.0.1 app").ok(), "10.2.0.3");
    assert_eq!(app.sh("dig +short @10.2.0.1 db").ok(), "10.2.0.2");
    drop(streams);
    eventually("the client may ask again", || {
        match app.sh("dig +tcp +short +tries=1 @10.2.0.1 db").stdout.trim() {
            "10.2.0.2" => Ok(()),
            said => Err(said.to_owned()),
        }
    });
}

#[test]
fn a_question_that_comes_back_to_us_ends() {
    // a gateway of ours as the host's server: nobody answers the host there
    let world = resolving("nameserver 10.2.0.1\n");
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    let fails = |name: &str| {
        let said = dig(&world, "app", &format!("+tries=1 +time=20 {name}"));
        assert!(said.contains("status: SERVFAIL"), "{said}");
    };
    fails("one.test");
    // a server in a container that asks the gateway in its turn
    let passes_on = "dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root \
                     --server=10.2.0.1 --address=/own.test/192.0.2.7";
    let inside = world.inside("db");
    world.keep(inside.command("sh").args(["-c", passes_on]).spawn().unwrap());
    fs::write(resolv_conf(&world), "nameserver 10.2.0.2\n").unwrap();
    finds(&world, "app", "own.test", "192.0.2.7");
    for name in ["two.test", "three.test"] {
        fails(name);
    }
    // two of many digs may share a port (they bind with SO_REUSEADDR): then one of them gets both answers
    let many = "for i in $(seq 50); do dig +tries=3 +time=10 $i.test & done; wait";
    let said = world.exec("app", &["sh", "-c", many]).ok();
    assert_eq!(said.matches("status: SERVFAIL").count(), 50, "{said}");
    // nothing of it is left
    assert_eq!(dig(&world, "app", "+short db"), "10.2.0.2");
    assert_eq!(dig(&world, "app", "+short own.test"), "192.0.2.7");
}
