//! `--net bridge`, `none`, `host` and `container:NAME`.

use std::net::TcpStream;

use tests::world::{World, eventually, interfaces, without_ids};

/// A program of the machine that listens where it is told.
const LISTEN: [&str; 5] = ["redis-server", "--save", "", "--protected-mode", "no"];

fn listens(world: &World, address: &str) {
    eventually("somebody listens", || {
        let connect = || TcpStream::connect(address);
        world
            .host
            .enter(connect)
            .map(drop)
            .map_err(|error| format!("{address}: {error}"))
    });
}

#[test]
fn s26_none_has_lo_alone() {
    let world = World::new();
    world.run("alone", &["--net=none"]);
    let said = world.exec("alone", &["ip", "-o", "link"]).ok();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("1: lo: <LOOPBACK,UP,LOWER_UP>"), "{said}");
    assert_eq!(world.exec("alone", &["ip", "route"]).ok(), "");
    // the user configures it by hand
    world.inside("alone").sh("ip link add mine type veth").ok();
    assert_eq!(interfaces(&world.inside("alone")).len(), 3);
    let networks = world.inspect("alone")["NetworkSettings"]["Networks"].take();
    assert_eq!(networks["none"]["IPAddress"], "");
    assert_eq!(world.inspect("alone")["HostConfig"]["NetworkMode"], "none");
}

#[test]
fn s27_host_has_the_hosts_interfaces_and_ports_and_nothing_else_of_it() {
    let world = World::new();
    let run = [
        &["run", "-d", "--name", "web", "--net=host", "--"],
        &LISTEN[..],
        &["--port", "7001"],
    ]
    .concat();
    world.ok(&run);
    assert_eq!(
        world.exec("web", &["ip", "-o", "addr"]).ok(),
        world.host.sh("ip -o addr").ok()
    );
    listens(&world, "127.0.0.1:7001");
    listens(&world, "172.17.0.1:7001");
    let first = world.exec("web", &["cat", "/proc/1/comm"]).ok();
    assert_eq!(first, "redis-server", "processes are isolated all the same");
    assert_eq!(world.network("host")["Containers"].as_object().unwrap().len(), 1);
}

#[test]
fn s28_container_mode_shares_interface_address_and_ports() {
    let world = World::new();
    let run = [&["run", "-d", "--name", "web", "--"], &LISTEN[..], &["--port", "7002"]].concat();
    world.ok(&run);
    let id = world.ok(&["ps", "-q"]);
    world.run("beside", &["--net", &format!("container:{id}")]);
    let addresses = |name| world.exec(name, &["ip", "-o", "addr"]).ok();
    assert_eq!(addresses("beside"), addresses("web"));
    eventually("the other's port on its own loopback", || {
        let pong = world.exec("beside", &["redis-cli", "-p", "7002", "ping"]);
        if pong.stdout == "PONG\n" {
            Ok(())
        } else {
            Err(format!("{pong:?}"))
        }
    });
    assert_eq!(
        world.exec("beside", &["cat", "/proc/1/comm"]).ok(),
        "sh",
        "processes are isolated all the same"
    );
    assert_eq!(world.exec("beside", &["hostname"]).ok(), id);
    // nothing of its own
    world.ok(&["rm", "-f", "beside"]);
    assert_eq!(addresses("web").matches("eth0").count(), 2, "{}", addresses("web"));
}

#[test]
fn s29_bridge_is_the_default() {
    let world = World::new();
    world.run("first", &[]);
    let inspected = |name: &str| {
        let mut value = world.inspect(name)["NetworkSettings"].take();
        value["SandboxKey"].take();
        without_ids(&value.to_string())
    };
    let first = inspected("first");
    world.ok(&["rm", "-f", "first"]);
    world.ok(&["run", "-d", "--name", "between", "--", "sleep", "100"]);
    world.run("second", &["--net", "bridge"]);
    let second = inspected("second")
        .replace("172.17.0.4", "172.17.0.2")
        .replace("ac:11:00:04", "ac:11:00:02");
    assert_eq!(second, first);
    assert!(first.contains("\"bridge\""), "{first}");
}
