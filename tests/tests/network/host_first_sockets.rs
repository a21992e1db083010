//! A program of the host keeps a connected UDP socket to a container. When that is replaced, the program is told, dials
//! again, and reaches the new one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tests::world::{Dial, HOST, Service, Transport, World, any, within};

use super::{address, dual};

/// Long enough for whatever ends a socket; the test ends as soon as all are told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who answers over a socket that stays as it is: its name, or nobody yet.
fn ask(socket: &UdpSocket) -> Result<Option<String>, ErrorKind> {
    let mut buffer = [0; 200];
    let result = socket.send(b"who?").and_then(|_| socket.recv(&mut buffer));
    match result {
        Ok(length) => {
            let text = String::from_utf8_lossy(&buffer[..length]);
            Ok(text.split_whitespace().next().map(str::to_owned))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.kind()),
    }
}

fn connected(world: &World, to: SocketAddr) -> UdpSocket {
    let socket = world.host.enter(|| {
        let socket = UdpSocket::bind((any(to.ip()), 0))?;
        socket.connect(to)?;
        Ok::<_, std::io::Error>(socket)
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
    for (name, socket) in &sockets {
        let answer = within(PATIENCE, || ask(socket).ok().flatten().ok_or_else(String::new));
        assert_eq!(answer.as_deref(), Ok("old"), "{name}");
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
            Err(ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::HostUnreachable) => {}
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
