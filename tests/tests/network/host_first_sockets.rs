//! A program of the host keeps a connected UDP socket to a container. When that is replaced, the program is told, dials
//! again, and reaches the new one.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tests::world::{Dial, HOST, Service, Transport, World, any, eventually, within};

use super::{address, dual};

/// Long enough for whatever ends a socket; the test ends as soon as all are told.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program hears that there is nobody for it any more: refused, ended by the kernel, ended and sent to once
/// more, or beyond reach.
const TOLD: [i32; 4] = [
    libc::ECONNREFUSED,
    libc::ECONNABORTED,
    libc::EDESTADDRREQ,
    libc::EHOSTUNREACH,
];

fn is_told(error: &Error) -> bool {
    error.raw_os_error().is_some_and(|number| TOLD.contains(&number))
}

/// Who answers over a socket that stays as it is: its name, or nobody yet.
fn ask(socket: &UdpSocket) -> Result<Option<String>, Error> {
    let mut buffer = [0; 200];
    let result = socket.send(b"who?").and_then(|_| socket.recv(&mut buffer));
    match result {
        Ok(length) => {
            let text = String::from_utf8_lossy(&buffer[..length]);
            Ok(text.split_whitespace().next().map(str::to_owned))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn connected(world: &World, to: SocketAddr) -> UdpSocket {
    let socket = world.host.enter(|| {
        let socket = UdpSocket::bind((any(to.ip()), 0))?;
        socket.connect(to)?;
        Ok::<_, Error>(socket)
    });
    let socket = socket.unwrap_or_else(|error| panic!("{to}: {error}"));
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

#[test]
fn a_connected_socket_is_told_of_the_end_of_its_container() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let options = ["--net", "dual", "-p", "8080:80/udp"];
    world.run("web", &options);
    let old = Service::start(&world.inside("web"), Transport::Udp, 80, "old");
    let dialled: [(&str, SocketAddr); 6] = [
        ("the host's IPv4 address", (address(HOST[0]), 8080).into()),
        ("the host's IPv6 address", (address(HOST[1]), 8080).into()),
        ("127.0.0.1", (address("127.0.0.1"), 8080).into()),
        ("::1", (address("::1"), 8080).into()),
        (
            "the container's IPv4 address",
            (world.address("web", "dual"), 80).into(),
        ),
        ("the container's IPv6 address", (address("fd66::2"), 80).into()),
    ];
    let sockets = dialled.map(|(name, to)| (name, connected(&world, to)));
    for (_, socket) in &sockets {
        answers(socket, "old");
    }
    drop(old);
    world.ok(&["rm", "-f", "web"]);
    // somebody else has its address now
    world.run("other", &["--net", "dual"]);
    world.run("web", &options);
    let _new = Service::start(&world.inside("web"), Transport::Udp, 80, "new");

    let mut waiting: Vec<_> = sockets.iter().collect();
    let mut told = BTreeMap::new();
    let _ = within(PATIENCE, || {
        waiting.retain(|(name, socket)| match ask(socket) {
            Ok(None) => true,
            other => {
                told.insert(*name, other);
                false
            }
        });
        if waiting.is_empty() { Ok(()) } else { Err(String::new()) }
    });
    let mut wrong: Vec<String> = waiting.iter().map(|(name, _)| format!("{name}: never told")).collect();
    for (name, result) in told {
        match result {
            Ok(Some(answer)) if answer == "new" => {}
            Ok(answer) => wrong.push(format!("{name}: answered by {answer:?}")),
            Err(error) if is_told(&error) => {}
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    // who dials again gets there
    for (name, to) in &dialled[..4] {
        let answer = Dial::new(Transport::Udp, *to).connected().ask(&world.host);
        match answer {
            Ok(answer) if answer.name == "new" => {}
            other => wrong.push(format!("{name}, dialled again: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who answers is this one.
#[track_caller]
fn answers(socket: &UdpSocket, name: &str) {
    let answer = within(PATIENCE, || ask(socket).ok().flatten().ok_or_else(String::new));
    assert_eq!(answer.as_deref(), Ok(name));
}

/// The program hears that there is nobody any more.
#[track_caller]
fn told(socket: &UdpSocket) {
    let told = within(PATIENCE, || match ask(socket) {
        Err(error) => Ok(error),
        Ok(answer) => Err(format!("{answer:?}")),
    });
    let told = told.unwrap_or_else(|seen| panic!("never told; last answer: {seen}"));
    assert!(is_told(&told), "{told}");
}

/// A port that is published no more is nobody's: the socket is told of that, too, and another one goes on.
#[test]
fn a_connected_socket_is_told_that_its_port_is_published_no_more() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80/udp", "-p", "8081:81/udp"]);
    let web = world.inside("web");
    let _services = [80, 81].map(|port| Service::start(&web, Transport::Udp, port, "web"));
    let [sockets, others] = [8080, 8081].map(|port| HOST.map(|to| connected(&world, (address(to), port).into())));
    for socket in sockets.iter().chain(&others) {
        answers(socket, "web");
    }
    world.ok(&["unpublish", "web", "8080:80/udp"]);
    for (socket, other) in sockets.iter().zip(&others) {
        told(socket);
        answers(other, "web");
    }
}

/// A new agent ends what its container has left, and nothing else.
#[test]
fn a_connected_socket_is_told_of_a_container_that_ended_without_an_agent() {
    let world = World::with_lan();
    let mut sockets = Vec::new();
    let mut services = Vec::new();
    for (name, port) in [("web", 8080), ("other", 8081)] {
        world.run(name, &["-p", &format!("{port}:80/udp")]);
        services.push(Service::start(&world.inside(name), Transport::Udp, 80, name));
        let socket = connected(&world, (address(HOST[0]), port).into());
        answers(&socket, name);
        sockets.push(socket);
    }
    let pid = &world.inspect("web")["State"]["Pid"];
    world.kill_agent();
    world.host.sh(&format!("kill -s KILL {pid}")).ok();
    eventually("its process ends", || match std::fs::exists(format!("/proc/{pid}")) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    world.start_agent(&[]);
    told(&sockets[0]);
    answers(&sockets[1], "other");
}
