//! Names while there is no agent, and over its restart.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tests::name_server::NameServer;
use tests::question::{A, TXT, question};
use tests::world::{LAN, PATIENCE, World};

use super::names_forward::resolving;
use super::names_kernel::{ask, socket};

fn resolv_conf(world: &World, name: &str) -> Vec<String> {
    let text = world.exec(name, &["cat", "/etc/resolv.conf"]).ok();
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
    servers.map(str::to_owned).collect()
}

#[test]
fn the_default_networks_containers_ask_the_hosts_servers_themselves() {
    let world = resolving(&format!("nameserver {}\nnameserver 127.0.0.53\n", LAN[0]));
    world.lan().sh("ip route add 172.17.0.0/16 via 192.168.56.99").ok();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("usual", &["--dns-option", "timeout:1"]);
    world.run("chosen", &["--dns", LAN[0]]);
    world.run("named", &["--net", "mynet"]);
    world.run("leashed", &["--egress", "one.test"]);
    let _server = NameServer::start(world.lan(), LAN[0], |asked| Some(asked.address("192.0.2.1", 60)));
    for name in ["usual", "chosen"] {
        assert_eq!(resolv_conf(&world, name), ["172.17.0.1", LAN[0]], "{name}");
    }
    // others' names would leave the network, and a leash would not learn
    assert_eq!(resolv_conf(&world, "named"), ["10.2.0.1"]);
    assert_eq!(resolv_conf(&world, "leashed"), ["172.17.0.1"]);
    world.ok(&["network", "connect", "mynet", "chosen"]);
    assert_eq!(resolv_conf(&world, "chosen").len(), 1);
    let usual = world.inside("usual");
    world.kill_agent();
    for _ in 0..3 {
        let said = usual.sh(&format!(
            "dig +short +tries=1 +time=1 @172.17.0.1 one.test || dig +short @{} one.test",
            LAN[0]
        ));
        assert_eq!(said.stdout.lines().last(), Some("192.0.2.1"), "{said:?}");
    }
}

#[test]
fn questions_wait_for_the_next_agent() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.run("db", &["--net", "mynet"]);
    world.run("app", &["--net", "mynet"]);
    let app = world.inside("app");
    let datagrams = socket(&app, "10.2.0.1");
    let asked = question("db", TXT);
    let before = ask(&datagrams, &asked);
    world.stop_agent();
    datagrams.send(&asked).unwrap();
    let mut stream = app.enter(|| TcpStream::connect("10.2.0.1:53")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = question("db", A);
    let length = u16::try_from(address.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &address].concat()).unwrap();
    world.start_agent(&[]);
    let mut answer = [0; 512];
    let length = datagrams.recv(&mut answer).unwrap();
    assert_eq!(answer[..length], before);
    stream.read_exact(&mut answer[..2]).unwrap();
    let length = usize::from(u16::from_be_bytes([answer[0], answer[1]]));
    stream.read_exact(&mut answer[..length]).unwrap();
    assert!(answer[..length].ends_with(&[10, 2, 0, 2]));
}

#[test]
fn a_purge_leaves_nobody_who_holds_sockets() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/24", "mynet"]);
    world.stop_agent();
    assert!(world.directory.join("run/names.sock").exists());
    world.purge().ok();
    let said = world.host.sh("ss -Hlntu src 10.2.0.1").ok();
    assert_eq!(said, "");
}
