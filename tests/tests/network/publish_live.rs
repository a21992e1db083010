//! Ports of running containers: published and withdrawn while they run, ended with them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use tests::world::{Dial, HOST, LAN, Namespace, PATIENCE, Service, Transport, World, ask_stream, eventually};

use super::{address, dual, words};

/// An open connection from a namespace.
fn open(client: &Namespace, dial: &Dial) -> TcpStream {
    client.enter(|| dial.open(PATIENCE)).unwrap()
}

/// Whether a connection still carries an answer: it is asked, and then told nothing.
fn is_dead(mut stream: &TcpStream) -> bool {
    let short = std::time::Duration::from_secs(1);
    stream.set_read_timeout(Some(short)).unwrap();
    stream.write_all(b"who?\n").is_err() || !matches!(stream.read(&mut [0; 100]), Ok(length) if length > 0)
}

#[test]
fn ports_come_and_go_with_a_running_container() {
    let world = World::with_lan();
    world.run("web", &[]);
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&web, transport, 80, "web"));
    let tcp = Dial::tcp(HOST[0], 8080);
    let udp = Dial::udp(HOST[0], 8080);
    assert_eq!(tcp.unanswered(world.lan()), ErrorKind::ConnectionRefused);
    world.ok(&["publish", "web", "8080:80"]);
    assert_eq!(world.ok(&["port", "web", "80"]), "0.0.0.0:8080\n:::8080");
    for client in [world.lan(), &world.host] {
        assert_eq!(tcp.answered(client).name, "web");
    }
    udp.unanswered(world.lan());
    world.ok(&["publish", "web", "8080:80/udp"]);
    udp.answered(world.lan());
    world.ok(&["unpublish", "web", "8080:80"]);
    for client in [world.lan(), &world.host] {
        assert_eq!(tcp.unanswered(client), ErrorKind::ConnectionRefused);
        udp.answered(client);
    }
    assert_eq!(
        world.ok(&["ps", "--format", "{{.Ports}}"]),
        "0.0.0.0:8080->80/udp, :::8080->80/udp"
    );
    // what is published live is there after a restart of container and agent
    world.ok(&["stop", "web"]);
    udp.unanswered(world.lan());
    world.restart_agent();
    world.ok(&["start", "web"]);
    let _service = Service::start_v4(&world.inside("web"), Transport::Udp, 80, "again");
    assert_eq!(udp.answered(world.lan()).name, "again");
}

#[test]
fn live_publishing_is_refused_as_running_is() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80"]);
    world.run("late", &[]);
    let _host = Service::start(&world.host, Transport::Tcp, 8081, "host");
    for (arguments, text) in [
        (&["publish", "late", "8080:80"], "port is already allocated"),
        (&["publish", "late", "8081:80"], "address already in use"),
        (&["publish", "nobody", "8082:80"], "No such container: nobody"),
        (
            &["unpublish", "late", "8080:80"],
            "No public port '80/tcp' published for late",
        ),
    ] {
        let before = world.snapshot();
        let output = world.cli(arguments);
        assert_eq!(output.status, 1, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(text), "{arguments:?}: {output:?}");
        assert_eq!(world.snapshot().difference(&before), None, "{arguments:?}");
    }
}

#[test]
fn connections_of_a_withdrawn_port_end_and_others_go_on() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80", "-p", "8081:80"]);
    let _service = Service::start(&world.inside("web"), Transport::Tcp, 80, "web");
    let open_all = |port| HOST.map(|to| open(world.lan(), &Dial::tcp(to, port)));
    let (ending, staying) = (open_all(8080), open_all(8081));
    for stream in ending.iter().chain(&staying) {
        assert_eq!(ask_stream(stream).unwrap().name, "web");
    }
    world.ok(&["unpublish", "web", "8080:80"]);
    assert!(ending.iter().all(is_dead));
    for stream in &staying {
        assert_eq!(ask_stream(stream).unwrap().name, "web");
    }
}

#[test]
fn connections_end_with_their_container() {
    let world = World::with_lan();
    world.run("web", &["-p", "8080:80"]);
    let service = Service::start_v4(&world.inside("web"), Transport::Tcp, 80, "web");
    let stream = open(world.lan(), &Dial::tcp(HOST[0], 8080));
    assert_eq!(ask_stream(&stream).unwrap().name, "web");
    drop(service);
    world.ok(&["rm", "-f", "web"]);
    assert!(is_dead(&stream));
}

#[test]
fn case_18_a_reused_udp_port_is_no_black_hole() {
    let world = World::with_lan();
    // the client never stops and never changes its port
    let dial = Dial::udp(HOST[0], 5353).from(LAN[0], 5000);
    for round in ["one", "two", "three"] {
        world.run(round, &["-p", "5353:53/udp"]);
        let service = Service::start_v4(&world.inside(round), Transport::Udp, 53, round);
        eventually("the container that has the port answers", || {
            match dial.ask(world.lan()) {
                Ok(answer) if answer.name == round => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        drop(service);
        world.ok(&["rm", "-f", round]);
        dial.unanswered(world.lan());
    }
    // and from one container to another while both run
    for name in ["left", "right"] {
        world.run(name, &[]);
    }
    let _services = ["left", "right"].map(|name| Service::start_v4(&world.inside(name), Transport::Udp, 53, name));
    for (name, other) in [("left", "right"), ("right", "left"), ("left", "right")] {
        world.ok(&["publish", name, "5353:53/udp"]);
        assert_eq!(dial.answered(world.lan()).name, name);
        world.ok(&["unpublish", name, "5353:53/udp"]);
        world.ok(&["publish", other, "5353:53/udp"]);
        assert_eq!(dial.answered(world.lan()).name, other);
        world.ok(&["unpublish", other, "5353:53/udp"]);
    }
}

#[test]
fn a_udp_client_that_spoke_before_the_port_was_published_is_heard() {
    let world = World::with_lan();
    world.run("web", &[]);
    let _service = Service::start_v4(&world.inside("web"), Transport::Udp, 53, "web");
    let dial = Dial::udp(HOST[0], 5353).from(LAN[0], 5000);
    dial.unanswered(world.lan());
    world.ok(&["publish", "web", "5353:53/udp"]);
    assert_eq!(dial.answered(world.lan()).client, (address(LAN[0]), 5000).into());
}

#[test]
fn two_ports_of_one_container_are_two_flows_of_one_client() {
    let world = World::with_lan();
    world.run("web", &words("-p 8080:80 -p 8081:80 -p 8080:80/udp -p 8081:80/udp"));
    let web = world.inside("web");
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&web, transport, 80, "web"));
    // one source port towards both, which are the same for the container
    let dials = [8080, 8081].map(|port| Dial::tcp(HOST[0], port).from(LAN[0], 6000));
    let streams = dials.map(|dial| open(world.lan(), &dial));
    let answers = streams.each_ref().map(|stream| ask_stream(stream).unwrap());
    assert_ne!(answers[0].client, answers[1].client);
    for (answer, dial) in answers.iter().zip(dials) {
        assert_eq!(answer.peer, dial.to);
    }
    for port in [8080, 8081, 8080] {
        let dial = Dial::udp(HOST[0], port).from(LAN[0], 6000);
        assert_eq!(dial.answered(world.lan()).peer, dial.to);
    }
}

#[test]
fn an_attached_namespace_publishes_until_it_is_detached() {
    let world = World::with_lan();
    let foreign = Namespace::new();
    world.ok(&["attach", "mine", "--netns", &foreign.path(), "-p", "8080:80"]);
    let _services = Transport::BOTH.map(|transport| Service::start_v4(&foreign, transport, 80, "mine"));
    world.ok(&["publish", "mine", "8080:80/udp"]);
    for transport in Transport::BOTH {
        let dial = Dial::new(transport, (address(HOST[0]), 8080).into());
        assert_eq!(dial.answered(world.lan()).name, "mine");
        assert_eq!(dial.answered(&world.host).name, "mine");
    }
    world.ok(&["detach", "mine"]);
    Dial::tcp(HOST[0], 8080).unanswered(world.lan());
    world.run("web", &["-p", "8080:80"]);
}
