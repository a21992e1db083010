//! A port has one owner: another container, a listener of the host, or us, in the kernel.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};

use tests::world::{Dial, HOST, Namespace, Service, Transport, World, eventually, without_ids};

use super::words;

/// Whether the host may bind an address.
fn bind(namespace: &Namespace, transport: Transport, text: &str) -> Result<(), ErrorKind> {
    namespace
        .enter(|| match transport {
            Transport::Tcp => TcpListener::bind(text).map(drop),
            Transport::Udp => UdpSocket::bind(text).map(drop),
        })
        .map_err(|error| error.kind())
}

/// A container that cannot start for this: told in these words, there afterwards, and nothing else is.
#[track_caller]
fn is_refused(world: &World, ports: &[&str], reason: &str) {
    let run = [&["run", "-d", "--name", "late"], ports, &["--", "sleep", "1000"]].concat();
    let output = world.cli(&run);
    let text = format!(
        "netswitch: Error response from daemon: driver failed programming external connectivity on endpoint late \
         (<id>): {reason}.\n"
    );
    assert_eq!(without_ids(&output.stderr), text, "{ports:?}: {output:?}");
    assert_eq!(output.status, 125, "{ports:?}");
    let status = || {
        world.ok(&[
            "ps",
            "-a",
            "--filter",
            "name=late",
            "--format",
            "{{.Status}} {{.Ports}}",
        ])
    };
    assert_eq!(status().trim_end(), "Created", "{ports:?}");
    // again, and nothing changes
    let before = world.snapshot();
    let output = world.cli(&["start", "late"]);
    let text = format!(
        "Error response from daemon: driver failed programming external connectivity on endpoint late (<id>): \
         {reason}\nError: failed to start containers: late\n"
    );
    assert_eq!((without_ids(&output.stderr), output.status), (text, 1), "{ports:?}");
    if let Some(difference) = world.snapshot().difference(&before) {
        panic!("{ports:?} was refused and left a trace:\n{difference}");
    }
    world.ok(&["rm", "late"]);
}

#[test]
fn a_port_of_another_container() {
    let world = World::with_lan();
    world.run(
        "web",
        &words("-p 8080:80 -p 127.0.0.1:8081:81 -p 9000-9009:9000-9009/udp"),
    );
    let _service = Service::start_v4(&world.inside("web"), Transport::Tcp, 80, "web");
    let taken = |address: &str| format!("Bind for {address} failed: port is already allocated");
    is_refused(&world, &["-p", "8080:80"], &taken("0.0.0.0:8080"));
    is_refused(&world, &["-p", "127.0.0.1:8080:80"], &taken("127.0.0.1:8080"));
    is_refused(&world, &["-p", "[::1]:8080:80"], &taken("::1:8080"));
    is_refused(&world, &["-p", "8081:80"], &taken("0.0.0.0:8081"));
    is_refused(&world, &["-p", "9005:1/udp"], &taken("0.0.0.0:9005"));
    // what comes first is undone
    is_refused(&world, &["-p", "7000:80", "-p", "8080:80"], &taken("0.0.0.0:8080"));
    assert_eq!(bind(&world.host, Transport::Tcp, "0.0.0.0:7000"), Ok(()));
    is_refused(
        &world,
        &["-p", "7000-7010:1-11", "-p", "8080:80"],
        &taken("0.0.0.0:8080"),
    );
    // the first one never notices
    assert_eq!(Dial::tcp(HOST[0], 8080).answered(world.lan()).name, "web");
    // other protocols, addresses and ports are free
    let free = ["8080:80/udp", "192.168.56.99:8081:80", "9005:9005/tcp", "9010:9010/udp"];
    let options: Vec<&str> = free.iter().flat_map(|form| ["-p", form]).collect();
    world.run("beside", &options);
    world.ok(&["rm", "-f", "web"]);
    world.run("next", &["-p", "8080:80"]);
}

#[test]
fn a_port_of_a_listener_on_the_host() {
    let world = World::with_lan();
    let listeners = [
        "0.0.0.0:8001",
        "127.0.0.1:8002",
        "192.168.56.99:8003",
        "[::]:8004",
        "[::1]:8005",
    ];
    for transport in Transport::BOTH {
        let _services = listeners.map(|text| Service::at(&world.host, transport, text.parse().unwrap(), "host"));
        for port in 8001..=8005 {
            let form = format!("{port}:80/{}", transport.name());
            let output = world.cli(&["run", "-d", "--name", "late", "-p", &form, "--", "sleep", "1000"]);
            assert_eq!(output.status, 125, "{form}: {output:?}");
            assert!(output.stderr.contains("address already in use"), "{form}: {output:?}");
            world.ok(&["rm", "late"]);
        }
        // [::] takes both families
        let form = format!("127.0.0.1:8004:80/{}", transport.name());
        let output = world.cli(&["run", "-d", "--name", "late", "-p", &form, "--", "sleep", "1000"]);
        assert_eq!(output.status, 125, "{form}: {output:?}");
        world.ok(&["rm", "late"]);
        // other addresses than theirs are free
        let free = [
            format!("192.168.56.99:8002:80/{}", transport.name()),
            format!("127.0.0.1:8003:80/{}", transport.name()),
            format!("0.0.0.0:8005:80/{}", transport.name()),
        ];
        let options: Vec<&str> = free.iter().flat_map(|form| ["-p", form]).collect();
        world.run("beside", &options);
        world.ok(&["rm", "-f", "beside"]);
    }
    // as above, with nothing left
    let _service = Service::start(&world.host, Transport::Tcp, 8080, "host");
    world.cli(&["run", "-d", "--name", "late", "-p", "8080:80", "--", "sleep", "1000"]);
    let before = world.snapshot();
    assert_eq!(world.cli(&["start", "late"]).status, 1);
    assert_eq!(world.snapshot().difference(&before), None);
    assert_eq!(Dial::tcp(HOST[0], 8080).answered(world.lan()).name, "host");
}

#[test]
fn a_published_port_is_held_in_the_kernel() {
    let world = World::with_lan();
    let options = [
        "-p",
        "8080:80",
        "-p",
        "8080:80/udp",
        "-p",
        "127.0.0.1:8081:80",
        "-p",
        "9000-9500:1-501",
    ];
    world.run("web", &options);
    let held = [
        "0.0.0.0:8080",
        "[::]:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.168.56.99:8080",
        "127.0.0.1:8081",
        "0.0.0.0:8081",
        "[::]:8081",
        "0.0.0.0:9000",
        "0.0.0.0:9256",
        "0.0.0.0:9500",
    ];
    let free = ["192.168.56.99:8081", "0.0.0.0:8082", "0.0.0.0:9501"];
    let check = |when: &str| {
        for text in held {
            let bound = bind(&world.host, Transport::Tcp, text);
            assert_eq!(bound, Err(ErrorKind::AddrInUse), "{text} {when}");
        }
        for text in free {
            assert_eq!(bind(&world.host, Transport::Tcp, text), Ok(()), "{text} {when}");
        }
        let udp = bind(&world.host, Transport::Udp, "0.0.0.0:8080");
        assert_eq!(udp, Err(ErrorKind::AddrInUse), "{when}");
        assert_eq!(bind(&world.host, Transport::Udp, "0.0.0.0:9000"), Ok(()), "{when}");
    };
    check("with the agent");
    let web = world.inside("web");
    world.kill_agent();
    check("without the agent");
    // only the host's own namespace
    assert_eq!(bind(&web, Transport::Tcp, "0.0.0.0:8080"), Ok(()));
    assert_eq!(bind(world.lan(), Transport::Tcp, "0.0.0.0:8080"), Ok(()));
    world.start_agent(&[]);
    check("with the next agent");
    world.ok(&["rm", "-f", "web"]);
    for text in held {
        assert_eq!(bind(&world.host, Transport::Tcp, text), Ok(()), "{text} afterwards");
    }
}

#[test]
fn published_ports_are_seen_as_listening_and_kept_from_the_ephemeral_range() {
    let world = World::with_lan();
    let reserved = || world.host.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").ok();
    world
        .host
        .sh("echo 40000 > /proc/sys/net/ipv4/ip_local_reserved_ports")
        .ok();
    world.run("web", &["-p", "8080:80", "-p", "50000:81"]);
    let listening = world.host.sh("ss -lnt").ok();
    assert!(listening.contains(":8080 "), "{listening}");
    let now = reserved();
    let has = |text: &str| now.split(',').any(|part| part == text);
    assert!(has("40000") && has("50000"), "{now}");
    world.ok(&["rm", "-f", "web"]);
    let now = reserved();
    assert!(
        now.split(',').any(|part| part == "40000") && !now.contains("50000"),
        "{now}"
    );
}

#[test]
fn bad_forms_are_refused_in_dockers_words() {
    let world = World::with_lan();
    world.run("web", &[]);
    for (form, text) in [
        ("80:x", "netswitch: Invalid containerPort: x"),
        ("x:80", "netswitch: Invalid hostPort: x"),
        (
            "80-82:80-81",
            "netswitch: Invalid ranges specified for container and \
             host Ports: 80-81 and 80-82",
        ),
        ("80:80/icmp", "netswitch: Invalid proto: icmp"),
        ("300.1.1.1:80:80", "netswitch: Invalid ip address: 300.1.1.1"),
    ] {
        let before = world.snapshot();
        let output = world.cli(&["run", "-d", "-p", form, "--", "true"]);
        assert_eq!(output.status, 125, "{form}: {output:?}");
        assert!(output.stderr.starts_with(text), "{form}: {output:?}");
        assert_eq!(world.snapshot().difference(&before), None, "{form}");
    }
    // an address that the host has not got
    let output = world.cli(&["run", "-d", "--name", "late", "-p", "203.0.113.9:80:80", "--", "true"]);
    assert_eq!(output.status, 125, "{output:?}");
    assert!(output.stderr.contains("cannot assign requested address"), "{output:?}");
}

#[test]
fn a_container_that_ends_gives_its_ports_back() {
    let world = World::with_lan();
    let free = |what: &str| {
        eventually(what, || match bind(&world.host, Transport::Tcp, "0.0.0.0:8080") {
            Ok(()) => Ok(()),
            Err(kind) => Err(format!("{kind:?}")),
        });
    };
    let file = world.directory.join("end");
    let wait = format!("until test -e {}; do sleep 0.05; done", file.display());
    let bind_mount = format!("{0}:{0}", world.directory.display());
    let run = || {
        let _ = std::fs::remove_file(&file);
        world.ok(&[
            "run",
            "-d",
            "--rm",
            "-v",
            &bind_mount,
            "-p",
            "8080:80",
            "--",
            "sh",
            "-c",
            &wait,
        ]);
        let bound = bind(&world.host, Transport::Tcp, "0.0.0.0:8080");
        assert_eq!(bound, Err(ErrorKind::AddrInUse));
    };
    run();
    std::fs::write(&file, "").unwrap();
    free("by itself");
    // while nobody looks
    run();
    world.kill_agent();
    std::fs::write(&file, "").unwrap();
    world.start_agent(&[]);
    free("at the next start");
    world.run("web", &["-p", "8080:80"]);
}
