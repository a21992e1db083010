//! Short connections of several containers to one server that closes first, and so remembers each of them for a minute
//! (TIME-WAIT, RFC 9293): none waits for a port that the server has not forgotten yet.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tests::world::{LAN, Namespace, PATIENCE, World};

use super::address;

const CLIENTS: usize = 3;
/// Of all clients together.
const CONNECTIONS: usize = 10_000;
/// What a connection may wait longer than the slowest behind the kernel's masquerade.
const MORE: Duration = Duration::from_millis(200);

/// How long each connection took to be made, the slowest first.
fn connections(clients: &[Namespace], server: &Namespace) -> Vec<Duration> {
    let address: SocketAddr = (address(LAN[0]), 7).into();
    let listener = server.enter(|| TcpListener::bind(address)).unwrap();
    let each = CONNECTIONS.div_ceil(CLIENTS);
    thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(each * CLIENTS) {
                let mut stream = stream.unwrap();
                // whoever is gone meanwhile is its own affair
                let _ = stream.write_all(b"hello");
            }
        });
        let clients: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(move || client.enter(|| connect(address, each))))
            .collect();
        let mut times: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        times.sort_unstable_by(|one, two| two.cmp(one));
        times
    })
}

fn connect(address: SocketAddr, count: usize) -> Vec<Duration> {
    let one = || {
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        let took = start.elapsed();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"hello");
        took
    };
    std::iter::repeat_with(one).take(count).collect()
}

/// Clients behind a host whose kernel masquerades.
fn behind_the_kernel(world: &World) -> Vec<Namespace> {
    world.host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward").ok();
    world
        .host
        .sh(
            "nft add table ip nat && nft add chain ip nat out '{ type nat hook postrouting priority srcnat ; }' && \
             nft add rule ip nat out oifname up0 masquerade",
        )
        .ok();
    let client = |number: usize| {
        let client = Namespace::new();
        let to = client.path();
        world
            .host
            .sh(&format!(
                "ip link add c{number} type veth peer name eth0 netns {to} && ip link set c{number} up && \
                 ip addr add 10.99.{number}.1/24 dev c{number}"
            ))
            .ok();
        client
            .sh(&format!(
                "ip link set eth0 up && ip addr add 10.99.{number}.2/24 dev eth0 && ip route add default via 10.99.{number}.1"
            ))
            .ok();
        client
    };
    (0..CLIENTS).map(client).collect()
}

#[test]
fn no_connection_waits_for_one_that_its_server_has_closed() {
    let world = World::with_lan();
    let ours: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let name = format!("client-{number}");
            world.run(&name, &[]);
            world.inside(&name)
        })
        .collect();
    let mut beside = World::without_agent();
    beside.add_lan();
    let theirs = behind_the_kernel(&beside);
    // at the same time: what else the machine does slows both
    let servers = (world.lan(), beside.lan());
    let (ours, theirs) = thread::scope(|scope| {
        let ours = scope.spawn(|| connections(&ours, servers.0));
        let theirs = scope.spawn(|| connections(&theirs, servers.1));
        (ours.join().unwrap(), theirs.join().unwrap())
    });
    // that the two were alike
    let most = theirs[0] + MORE;
    let slow: Vec<_> = ours.iter().take_while(|took| **took > most).collect();
    assert!(
        slow.is_empty(),
        "{} of {} connections waited longer than {most:?}, the slowest behind the kernel's masquerade and 200 ms: {:?}",
        slow.len(),
        ours.len(),
        &slow[..slow.len().min(5)]
    );
}
