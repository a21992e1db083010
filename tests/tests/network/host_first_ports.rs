//! Ports that sockets of the host use towards a peer are not a container's towards it, and the other way round, whoever
//! was first.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use tests::world::{Dial, HOST, LAN, PATIENCE, Service, Transport, World, any, ask_stream, eventually, within};

use super::{address, dual};

/// A small range for masquerade: `--masquerade-ports`.
const RANGE: &str = "10240-10303";
const PORTS: RangeInclusive<u16> = 10_240..=10_303;

/// The world with a container `one`, and a service at port 7 of the peer outside.
fn scene() -> (World, [Service; 2]) {
    let world = World::with_lan_and(&["--masquerade-ports", RANGE]);
    dual(&world, "dual", 66, &[]);
    world.run("one", &["--net", "dual"]);
    let services = Transport::BOTH.map(|transport| Service::start(world.lan(), transport, 7, "lan"));
    (world, services)
}

fn peer(family: usize) -> SocketAddr {
    (address(LAN[family]), 7).into()
}

/// How a socket of the host's has a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// At every address; IPv6's serves both families.
    Bound,
    /// At the uplink's address, connected to the very peer.
    Connected,
}

/// Sockets that hold a port; they only have to live.
enum Held {
    Udp(UdpSocket),
    Listener(#[expect(dead_code, reason = "it only has to live")] TcpListener),
    Stream(TcpStream),
}

fn hold(world: &World, transport: Transport, how: Hold, family: usize, port: u16) -> Held {
    let everywhere = (any(address(LAN[family])), port);
    let own = (address(HOST[family]), port);
    let open = || {
        Ok::<_, io::Error>(match (transport, how) {
            (Transport::Udp, Hold::Bound) => Held::Udp(UdpSocket::bind(everywhere)?),
            (Transport::Udp, Hold::Connected) => {
                let socket = UdpSocket::bind(own)?;
                socket.connect(peer(family))?;
                Held::Udp(socket)
            }
            (Transport::Tcp, Hold::Bound) => Held::Listener(TcpListener::bind(everywhere)?),
            (Transport::Tcp, Hold::Connected) => {
                let dial = Dial::new(transport, peer(family)).from(HOST[family], port);
                Held::Stream(dial.open(PATIENCE)?)
            }
        })
    };
    // until a program that another test starts has closed what it has inherited
    let what = format!("{transport:?} {how:?} at {port}");
    eventually(&what, || world.host.enter(open).map_err(|error| error.to_string()))
}

const HOLDS: [(Transport, Hold); 4] = [
    (Transport::Udp, Hold::Bound),
    (Transport::Udp, Hold::Connected),
    (Transport::Tcp, Hold::Bound),
    (Transport::Tcp, Hold::Connected),
];

#[test]
fn a_container_finds_no_port_where_the_host_has_all() {
    let mut wrong = Vec::new();
    for (transport, how) in HOLDS {
        let (world, _services) = scene();
        let one = world.inside("one");
        for family in [0, 1] {
            let held: Vec<_> = PORTS.map(|port| hold(&world, transport, how, family, port)).collect();
            let name = format!("{transport:?}, {how:?}, {}", LAN[family]);
            let before = world.drops("one", "dual", "ports-exhausted");
            // its own port is one of them
            let own = any(address(LAN[family])).to_string();
            let dial = Dial::new(transport, peer(family)).from(&own, *PORTS.start());
            match dial.ask_shortly(&one) {
                Ok(answer) => wrong.push(format!("{name}: answered at {}, which the host has", answer.client)),
                Err(error) => {
                    let counted = within(Duration::from_secs(3), || {
                        match world.drops("one", "dual", "ports-exhausted") {
                            now if now > before => Ok(()),
                            _ => Err(String::new()),
                        }
                    });
                    if counted.is_err() {
                        wrong.push(format!("{name}: {error}, and no ports-exhausted"));
                    }
                }
            }
            // a port of one protocol says nothing of another's
            let other = match transport {
                Transport::Tcp => Transport::Udp,
                Transport::Udp => Transport::Tcp,
            };
            Dial::new(other, peer(family)).answered(&one);
            // and what the host holds is answered
            match &held[0] {
                Held::Udp(socket) => {
                    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                    let answer = within(Duration::from_secs(3), || {
                        let mut buffer = [0; 200];
                        socket
                            .send_to(b"who?", peer(family))
                            .or_else(|_| socket.send(b"who?"))
                            .unwrap();
                        socket.recv(&mut buffer).map_err(|error| error.to_string())
                    });
                    if let Err(error) = answer {
                        wrong.push(format!("{name}: the host is not answered: {error}"));
                    }
                }
                Held::Stream(stream) => {
                    if let Err(error) = ask_stream(stream) {
                        wrong.push(format!("{name}: the host's connection is gone: {error}"));
                    }
                }
                Held::Listener(_) => {}
            }
            drop(held);
            if matches!((transport, how), (Transport::Tcp, Hold::Connected)) {
                continue; // the host remembers its connections for a minute (TIME-WAIT)
            }
            // they are free again
            let free = within(PATIENCE, || dial.ask_shortly(&one).map_err(|error| error.to_string()));
            if let Err(error) = free {
                wrong.push(format!("{name}: not free after the host has closed them: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_container_takes_the_ports_that_the_host_leaves() {
    let mut wrong = Vec::new();
    for (transport, how) in HOLDS {
        let (world, _services) = scene();
        let one = world.inside("one");
        for family in [0, 1] {
            let even: BTreeSet<u16> = PORTS.step_by(2).collect();
            let _held: Vec<_> = even
                .iter()
                .map(|port| hold(&world, transport, how, family, *port))
                .collect();
            let taken: BTreeSet<u16> = (0..24)
                .map(|_| Dial::new(transport, peer(family)).answered(&one).client.port())
                .collect();
            let both: Vec<_> = taken.intersection(&even).collect();
            if !both.is_empty() {
                wrong.push(format!(
                    "{transport:?}, {how:?}, {}: the host has {both:?}",
                    LAN[family]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Datagrams of a socket that has not waited for them.
fn waiting(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 200];
    let mut count = 0;
    while socket.recv(&mut buffer).is_ok() {
        count += 1;
    }
    count
}

/// A container's sockets, each with an answered flow; together they have every port.
fn take_all(world: &World, family: usize) -> Vec<UdpSocket> {
    let one = world.inside("one");
    let sockets: Vec<_> = one.enter(|| {
        let socket = || {
            let socket = UdpSocket::bind((any(address(LAN[family])), 0)).unwrap();
            socket.connect(peer(family)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        };
        std::iter::repeat_with(socket).take(PORTS.count()).collect()
    });
    for socket in &sockets {
        eventually("the container's flow is answered", || {
            let mut buffer = [0; 200];
            socket.send(b"who?").map_err(|error| error.to_string())?;
            socket.recv(&mut buffer).map(drop).map_err(|error| error.to_string())
        });
    }
    sockets
}

#[test]
fn a_port_that_a_container_uses_is_refused_or_the_hosts_for_datagrams() {
    let (world, _services) = scene();
    let mut wrong = Vec::new();
    for family in [0, 1] {
        let inside = take_all(&world, family);
        assert_eq!(inside.iter().map(waiting).sum::<usize>(), 0);
        let mut open = Vec::new();
        for port in PORTS {
            let bound = world.host.enter(|| {
                let socket = UdpSocket::bind((address(HOST[family]), port))?;
                socket.connect(peer(family))?;
                socket.set_nonblocking(true)?;
                socket.send(b"who?")?;
                Ok::<_, io::Error>(socket)
            });
            match bound {
                Ok(socket) => open.push((port, socket)),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => wrong.push(format!("{port}: {error}")),
            }
        }
        let mut buffer = [0; 200];
        let mut silent: Vec<_> = open.iter().collect();
        let _ = within(Duration::from_secs(3), || {
            silent.retain(|(_, socket)| socket.recv(&mut buffer).is_err());
            if silent.is_empty() { Ok(()) } else { Err(String::new()) }
        });
        let taken = inside.iter().map(waiting).sum::<usize>();
        if !silent.is_empty() || taken > 0 {
            wrong.push(format!(
                "{}: the host could bind {} ports and was answered at {} of them; the container heard {taken} answers \
                 to the host",
                LAN[family],
                open.len(),
                open.len() - silent.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_port_that_a_container_uses_is_refused_or_the_hosts_for_connections() {
    let (world, _services) = scene();
    let one = world.inside("one");
    let mut wrong = Vec::new();
    for family in [0, 1] {
        let dial = Dial::new(Transport::Tcp, peer(family));
        let streams: Vec<TcpStream> = one.enter(|| (0..4).map(|_| dial.open(PATIENCE).unwrap()).collect());
        for stream in &streams {
            let port = ask_stream(stream).unwrap().client.port();
            let host = dial.from(HOST[family], port).ask_shortly(&world.host);
            match host {
                // bound, or the very connection, is another's
                Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
                Ok(answer) if answer.name == "lan" => {}
                other => wrong.push(format!("{}, port {port}: {other:?}", LAN[family])),
            }
        }
        // as a listener it would take the container's answers
        for stream in &streams {
            let port = ask_stream(stream).map(|answer| answer.client.port());
            let Ok(port) = port else { continue };
            let listener = world.host.enter(|| TcpListener::bind((address(HOST[family]), port)));
            match listener {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => wrong.push(format!("{}, listening at {port}: {error}", LAN[family])),
                // then it hears what is sent to it
                Ok(_listener) => {
                    let heard = world.lan().enter(|| {
                        let dial = Dial::new(Transport::Tcp, (address(HOST[family]), port).into());
                        dial.open(Duration::from_secs(1)).map(drop)
                    });
                    if let Err(error) = heard {
                        wrong.push(format!(
                            "{}, listening at {port}: nobody gets there: {error}",
                            LAN[family]
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
