//! What the LAN broadcasts to a published UDP port (DHCP, TFTP, discovery) reaches the container, which answers from
//! the host's address and that port (moby#37460, docker/for-linux#637).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use netswitch_common::address::Mac;
use tests::packet::ip;
use tests::world::{HOST, LAN, Namespace, World, send, within};

use super::address;

/// Broadcast addresses on the LAN: of its subnet, and of every link.
const EVERYONE: [&str; 2] = ["192.168.56.255", "255.255.255.255"];
const CLIENT_PORT: u16 = 6700;

/// Publishes ports of `all` on all addresses, of `one` at one, of `own` at the loopback address.
fn published(arguments: &[&str]) -> World {
    let world = World::with_lan_and(arguments);
    for (name, port) in [
        ("all", "6767:7067/udp".to_owned()),
        ("one", format!("{}:6868:7067/udp", HOST[0])),
        ("own", "127.0.0.1:6969:7067/udp".to_owned()),
    ] {
        world.run(name, &["-p", &port]);
    }
    world
}

fn listen(inside: &Namespace) -> UdpSocket {
    let socket = inside.enter(|| UdpSocket::bind("0.0.0.0:7067")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// A client on the LAN that may broadcast.
fn client(world: &World) -> UdpSocket {
    let socket = world.lan().enter(|| UdpSocket::bind((LAN[0], CLIENT_PORT))).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

fn heard(server: &UdpSocket) -> io::Result<(String, SocketAddr)> {
    let mut buffer = [0; 100];
    let (length, from) = server.recv_from(&mut buffer)?;
    Ok((String::from_utf8_lossy(&buffer[..length]).into_owned(), from))
}

#[track_caller]
fn reach_the_container(arguments: &[&str]) {
    let world = published(arguments);
    let (all, client) = (listen(&world.inside("all")), client(&world));
    for to in [EVERYONE[0], EVERYONE[1], HOST[0]] {
        let answered = within(Duration::from_secs(10), || {
            let text = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
            client
                .send_to(to.as_bytes(), (address(to), 6767))
                .map_err(text("send"))?;
            let (said, from) = heard(&all).map_err(text("hear"))?;
            all.send_to(said.as_bytes(), from).map_err(text("answer"))?;
            let answer = heard(&client).map_err(text("get the answer"))?;
            if (said.as_str(), from.ip()) == (to, address(LAN[0]))
                && answer == (to.to_owned(), (address(HOST[0]), 6767).into())
            {
                Ok(())
            } else {
                Err(format!("{said} from {from}, answered {answer:?}"))
            }
        });
        answered.unwrap_or_else(|error| panic!("{to}: {error}"));
        assert!(heard(&all).is_err(), "{to}: a datagram comes once");
    }
}

#[test]
fn they_reach_the_container() {
    reach_the_container(&[]);
}

#[test]
fn they_reach_the_container_beside_xdp() {
    reach_the_container(&["--uplink-mode", "xdp"]);
}

#[test]
fn they_reach_the_container_by_the_stack() {
    reach_the_container(&["--uplink-mode", "stack"]);
}

#[test]
fn ports_of_one_address_hear_none() {
    let world = published(&[]);
    let client = client(&world);
    for (name, port) in [("one", 6868), ("own", 6969)] {
        let server = listen(&world.inside(name));
        for to in EVERYONE {
            client.send_to(b"?", (address(to), port)).unwrap();
        }
        assert!(heard(&server).is_err(), "{name}");
    }
}

/// A DHCP client has no address yet.
#[test]
fn clients_without_an_address_are_heard() {
    let world = published(&[]);
    let all = listen(&world.inside("all"));
    let mac = Mac([0x02, 0, 0, 0, 0, 7]);
    let discover = ip((mac, Mac::BROADCAST), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).udp(68, 6767, b"discover");
    let (said, from) = within(Duration::from_secs(10), || {
        send(world.lan(), "eth0", &discover);
        heard(&all).map_err(|error| error.to_string())
    })
    .unwrap();
    assert_eq!(
        (said.as_str(), from),
        ("discover", SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())
    );
}

/// The host's own sockets hear what is broadcast, whatever is published.
#[test]
fn the_host_hears_them_as_well() {
    let world = published(&[]);
    let (host, client) = (listen(&world.host), client(&world));
    for to in EVERYONE {
        within(Duration::from_secs(10), || {
            client
                .send_to(to.as_bytes(), (address(to), 7067))
                .map_err(|error| error.to_string())?;
            heard(&host).map(drop).map_err(|error| error.to_string())
        })
        .unwrap();
    }
}
