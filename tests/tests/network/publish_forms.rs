//! Every form of `-p`, `-P` with `--expose`, and what `port`, `ps` and `inspect` tell of them.

use serde_json::json;
use tests::world::{Dial, HOST, Service, Transport, World};

use super::address;

/// What `netswitch port web` prints.
fn port(world: &World) -> Vec<String> {
    let said = world.ok(&["port", "web"]);
    said.lines().map(str::to_owned).collect()
}

/// The PORTS column.
fn ports(world: &World) -> String {
    world.ok(&["ps", "--format", "{{.Ports}}"])
}

/// Port that a line of `netswitch port` ends with.
fn last_number(line: &str) -> u16 {
    line.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn each_form_is_told_and_leads_to_its_port() {
    let world = World::with_lan();
    // form, what port says, what ps says, addresses that lead there
    let rows: [(&str, &[&str], &str, &[&str]); 9] = [
        (
            "8080:80",
            &["80/tcp -> 0.0.0.0:8080", "80/tcp -> :::8080"],
            "0.0.0.0:8080->80/tcp, :::8080->80/tcp",
            &[HOST[0], HOST[1], "127.0.0.1"],
        ),
        (
            "8080:80/udp",
            &["80/udp -> 0.0.0.0:8080", "80/udp -> :::8080"],
            "0.0.0.0:8080->80/udp, :::8080->80/udp",
            &[HOST[0], HOST[1], "127.0.0.1"],
        ),
        (
            "0.0.0.0:8080:80",
            &["80/tcp -> 0.0.0.0:8080"],
            "0.0.0.0:8080->80/tcp",
            &[HOST[0], "127.0.0.1"],
        ),
        (
            "[::]:8080:80",
            &["80/tcp -> :::8080"],
            ":::8080->80/tcp",
            &[HOST[1], "::1"],
        ),
        (
            "192.168.56.99:8080:80",
            &["80/tcp -> 192.168.56.99:8080"],
            "192.168.56.99:8080->80/tcp",
            &[HOST[0]],
        ),
        (
            "127.0.0.1:8080:80/tcp",
            &["80/tcp -> 127.0.0.1:8080"],
            "127.0.0.1:8080->80/tcp",
            &["127.0.0.1"],
        ),
        (
            "[2001:db8:56::2]:8080:80",
            &["80/tcp -> 2001:db8:56::2:8080"],
            "2001:db8:56::2:8080->80/tcp",
            &[HOST[1]],
        ),
        ("[::1]:8080:80", &["80/tcp -> ::1:8080"], "::1:8080->80/tcp", &["::1"]),
        (
            "8079-8081:79-81",
            &[
                "79/tcp -> 0.0.0.0:8079",
                "79/tcp -> :::8079",
                "80/tcp -> 0.0.0.0:8080",
                "80/tcp -> :::8080",
                "81/tcp -> 0.0.0.0:8081",
                "81/tcp -> :::8081",
            ],
            "0.0.0.0:8079-8081->79-81/tcp, :::8079-8081->79-81/tcp",
            &[HOST[0], HOST[1], "127.0.0.1"],
        ),
    ];
    for (form, told, column, targets) in rows {
        world.run("web", &["-p", form]);
        let mut said = port(&world);
        said.sort();
        assert_eq!(said, told, "{form}");
        assert_eq!(ports(&world), column, "{form}");
        let transport = if form.ends_with("udp") {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        let _service = Service::start_v4(&world.inside("web"), transport, 80, "web");
        for to in targets {
            let dial = Dial::new(transport, (address(to), 8080).into());
            let client = if to.starts_with("192.") || to.starts_with("2001:") {
                world.lan()
            } else {
                &world.host
            };
            assert_eq!(dial.answered(client).name, "web", "{form} by {to}");
        }
        world.ok(&["rm", "-f", "web"]);
        let gone = Dial::new(transport, (address(HOST[0]), 8080).into());
        gone.unanswered(world.lan());
    }
}

#[test]
fn ports_without_a_number_on_the_host_get_one() {
    let world = World::with_lan();
    let forms = ["-p", "80", "-p", "127.0.0.1::81", "-p", "53/udp"];
    world.run("web", &forms);
    let said = port(&world);
    let number = |start: &str| {
        let line = said.iter().find(|line| line.starts_with(start));
        last_number(line.unwrap_or_else(|| panic!("{start} in {said:?}")))
    };
    let (both, six) = (number("80/tcp -> 0.0.0.0:"), number("80/tcp -> :::"));
    assert_eq!(both, six, "one number for both families: {said:?}");
    let udp = number("53/udp -> 0.0.0.0:");
    let loopback = number("81/tcp -> 127.0.0.1:");
    let web = world.inside("web");
    let _services = [80, 81].map(|port| Service::start_v4(&web, Transport::Tcp, port, &port.to_string()));
    let _names = Service::start_v4(&web, Transport::Udp, 53, "53");
    for to in HOST {
        assert_eq!(Dial::tcp(to, both).answered(world.lan()).name, "80");
        assert_eq!(Dial::udp(to, udp).answered(world.lan()).name, "53");
    }
    assert_eq!(Dial::tcp("127.0.0.1", loopback).answered(&world.host).name, "81");
    Dial::tcp(HOST[0], loopback).unanswered(world.lan());
}

#[test]
fn a_range_to_one_port_takes_the_first_free_one() {
    let world = World::with_lan();
    let _taken = Service::start_v4(&world.host, Transport::Tcp, 8080, "host");
    world.run("web", &["-p", "8080-8082:80"]);
    let said = port(&world);
    assert_eq!(said[0], "80/tcp -> 0.0.0.0:8081", "{said:?}");
    let _service = Service::start_v4(&world.inside("web"), Transport::Tcp, 80, "web");
    assert_eq!(Dial::tcp(HOST[0], 8081).answered(world.lan()).name, "web");
    Dial::tcp(HOST[0], 8082).unanswered(world.lan());
}

#[test]
fn s02_s42_publish_all_gives_every_exposed_port_a_random_one() {
    let world = World::with_lan();
    world.run("web", &["-P", "--expose", "8080", "--expose", "53/udp"]);
    let said = port(&world);
    assert_eq!(said.len(), 4, "{said:?}");
    let line = |start: &str| said.iter().find(|line| line.starts_with(start)).unwrap();
    let tcp = last_number(line("8080/tcp -> 0.0.0.0:"));
    assert_eq!(*line("8080/tcp -> :::"), format!("8080/tcp -> :::{tcp}"));
    let udp = last_number(line("53/udp -> 0.0.0.0:"));
    let column = format!("0.0.0.0:{udp}->53/udp, :::{udp}->53/udp, 0.0.0.0:{tcp}->8080/tcp, :::{tcp}->8080/tcp");
    assert_eq!(ports(&world), column);
    let web = world.inside("web");
    let _tomcat = Service::start_v4(&web, Transport::Tcp, 8080, "tomcat");
    let _names = Service::start_v4(&web, Transport::Udp, 53, "names");
    for to in HOST {
        for client in [world.lan(), &world.host] {
            assert_eq!(Dial::tcp(to, tcp).answered(client).name, "tomcat");
            assert_eq!(Dial::udp(to, udp).answered(client).name, "names");
        }
    }
    assert_eq!(world.ok(&["port", "web", "8080"]), format!("0.0.0.0:{tcp}\n:::{tcp}"));
    assert_eq!(
        world.ok(&["port", "web", "8080/tcp"]),
        format!("0.0.0.0:{tcp}\n:::{tcp}")
    );
    let none = world.cli(&["port", "web", "81"]);
    assert_eq!(
        none.stderr.trim_end(),
        "Error: No public port '81/tcp' published for web"
    );
    assert_eq!(none.status, 1);
}

#[test]
fn s42_exposed_is_not_published() {
    let world = World::with_lan();
    world.run("web", &["--expose", "8080"]);
    assert_eq!(ports(&world), "8080/tcp");
    assert_eq!(world.ok(&["port", "web"]), "");
    let inspected = world.inspect("web");
    assert_eq!(inspected["NetworkSettings"]["Ports"], json!({"8080/tcp": null}));
    let _service = Service::start_v4(&world.inside("web"), Transport::Tcp, 8080, "web");
    Dial::tcp(HOST[0], 8080).unanswered(world.lan());
    // the same network needs no publication
    world.run("peer", &[]);
    Dial::tcp("172.17.0.2", 8080).answered(&world.inside("peer"));
}

#[test]
fn inspect_tells_what_was_asked_and_what_is() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80", "-p", "127.0.0.1:8053:53/udp"]);
    let inspected = world.inspect("web");
    assert_eq!(
        inspected["HostConfig"]["PortBindings"],
        json!({
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "8053"}],
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        })
    );
    let now = json!({
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "8053"}],
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    });
    assert_eq!(inspected["NetworkSettings"]["Ports"], now);
    world.ok(&["stop", "web"]);
    assert_eq!(world.inspect("web")["NetworkSettings"]["Ports"], json!({}));
    assert_eq!(world.ok(&["ps", "-a", "--format", "{{.Ports}}"]), "");
    Dial::tcp(HOST[0], 8080).unanswered(world.lan());
    world.ok(&["start", "web"]);
    assert_eq!(world.inspect("web")["NetworkSettings"]["Ports"], now);
}

#[test]
fn ten_thousand_ports_are_one_publication() {
    let world = World::with_lan();
    world.run(
        "web",
        &["-p", "20000-29999:30000-39999", "-p", "20000-29999:30000-39999/udp"],
    );
    let web = world.inside("web");
    let _services: Vec<_> = [30000, 30255, 34567, 39999]
        .into_iter()
        .flat_map(|port| Transport::BOTH.map(|transport| Service::start_v4(&web, transport, port, &port.to_string())))
        .collect();
    for (client, to) in [
        (world.lan(), HOST[0]),
        (world.lan(), HOST[1]),
        (&world.host, "127.0.0.1"),
    ] {
        for port in [20000, 20255, 24567, 29999] {
            let name = (port + 10_000).to_string();
            assert_eq!(Dial::tcp(to, port).answered(client).name, name);
            assert_eq!(Dial::udp(to, port).answered(client).name, name);
        }
    }
    Dial::tcp(HOST[0], 30000).unanswered(world.lan());
    Dial::tcp(HOST[0], 19999).unanswered(world.lan());
    assert_eq!(
        ports(&world),
        "0.0.0.0:20000-29999->30000-39999/tcp, 0.0.0.0:20000-29999->30000-39999/udp, \
         :::20000-29999->30000-39999/tcp, :::20000-29999->30000-39999/udp"
    );
}
