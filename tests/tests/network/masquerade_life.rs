//! Flows live without the agent and die with their container (conformance cases 16 and 18).

use std::net::UdpSocket;
use std::thread;

use tests::world::{
    Capture, Dial, HOST, LAN, PATIENCE, Service, Stream, Transport, World, ask_stream, exchange, transfer,
};

use super::{address, dual, ping};

#[test]
fn case_16_flows_go_on_and_begin_without_the_agent() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    world.run("web", &["--net", "dual", "-p", "8080:80", "-p", "9000:90"]);
    let (web, lan) = (world.inside("web"), world.lan());
    let _service = Service::start(&web, Transport::Tcp, 80, "web");
    let streams = LAN.map(|to| Stream::start(&web, lan, address(to)));
    let open = |to: &str| lan.enter(|| Dial::tcp(to, 8080).open(PATIENCE)).unwrap();
    let published = HOST.map(open);
    let all = || {
        for stream in &published {
            assert_eq!(ask_stream(stream).unwrap().name, "web");
        }
    };
    all();
    world.kill_agent();
    all();
    for (to, own) in HOST.into_iter().zip(["0.0.0.0", "::"]) {
        Dial::tcp(to, 8080).answered(lan);
        exchange(
            lan,
            (address(to), 9000).into(),
            &web,
            (address(own), 90).into(),
            4 << 20,
        );
    }
    for to in LAN {
        transfer(&web, lan, address(to), 4 << 20);
        ping(&web, to, 63);
    }
    world.start_agent(&[]);
    all();
    world.restart_agent();
    all();
    streams.into_iter().for_each(Stream::stop);
}

#[test]
fn case_18_no_packet_of_an_old_flow_reaches_the_next_owner_of_an_address() {
    let world = World::with_lan();
    dual(&world, "dual", 66, &[]);
    let lan = world.lan();
    let server = lan.enter(|| UdpSocket::bind("[::]:7")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let fixed = ["--net", "dual", "--ip", "10.66.0.9", "--ip6", "fd66::9"];
    world.run("old", &fixed);
    let old = world.inside("old");
    let clients = LAN.map(|to| {
        let any = if to.contains(':') { "[::]:6000" } else { "0.0.0.0:6000" };
        let client = old.enter(|| UdpSocket::bind(any)).unwrap();
        client.send_to(b"hello", (to, 7)).unwrap();
        let mut buffer = [0; 100];
        server.recv_from(&mut buffer).unwrap().1
    });
    world.ok(&["rm", "-f", "old"]);
    world.run("new", &fixed);
    let new = world.inside("new");
    let heard = Capture::start(&new, "eth0");
    for client in clients {
        server.send_to(b"for the old one", client).unwrap();
    }
    // reached by others at once, and by nothing of the old
    ping(&world.host, "10.66.0.9", 64);
    ping(&world.host, "fd66::9", 64);
    for client in clients {
        server.send_to(b"for the old one", client).unwrap();
    }
    ping(&world.host, "10.66.0.9", 64);
    let is_old = |frame: &[u8]| frame.windows(7).any(|part| part == b"the old");
    assert!(!heard.so_far().iter().any(|captured| is_old(&captured.frame)));
    // the same tuple is a flow of its own now
    for to in LAN {
        let any = if to.contains(':') { "[::]:6000" } else { "0.0.0.0:6000" };
        let client = new.enter(|| UdpSocket::bind(any)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"hello", (to, 7)).unwrap();
        let mut buffer = [0; 100];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(b"hello yourself", from).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 14);
    }
}

#[test]
fn a_long_transfer_survives_new_neighbours() {
    let world = World::with_lan();
    world.run("one", &["-p", "9000:90"]);
    let one = world.inside("one");
    let stream = Stream::start(&one, world.lan(), address(LAN[0]));
    thread::scope(|scope| {
        let (one, lan) = (&one, world.lan());
        let big = scope.spawn(|| {
            exchange(
                lan,
                (address(HOST[0]), 9000).into(),
                one,
                (address("0.0.0.0"), 90).into(),
                64 << 20,
            );
        });
        for number in 0..3 {
            let name = format!("passing-{number}");
            world.run(&name, &["-p", &format!("{}:80", 7000 + number)]);
            world.ok(&["rm", "-f", &name]);
        }
        big.join().unwrap();
    });
    stream.stop();
}
