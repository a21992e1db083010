//! Published ports inside the ephemeral range: reserved beside the administrator's own, and given back.

use tests::world::{Dial, LAN, Service, Transport, World};

const SETTING: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

fn reserved(world: &World) -> String {
    world.host.sh(&format!("cat {SETTING}")).ok().trim().to_owned()
}

/// A host whose administrator has reserved a port.
fn world() -> World {
    let world = World::new();
    world.host.sh(&format!("echo 40000 > {SETTING}")).ok();
    world
}

#[test]
fn published_ports_are_reserved_while_they_are_published() {
    let world = world();
    world.run("web", &["-p", "40000-40002:80-82", "-p", "8080:80"]);
    assert_eq!(reserved(&world), "40000-40002");
    world.ok(&["publish", "web", "50000:80"]);
    assert_eq!(reserved(&world), "40000-40002,50000");
    world.ok(&["unpublish", "web", "50000:80"]);
    assert_eq!(reserved(&world), "40000-40002");
    world.ok(&["stop", "web"]);
    assert_eq!(reserved(&world), "40000");
}

#[test]
fn a_killed_agent_and_a_purge_give_back_what_was_ours() {
    let world = world();
    world.run("web", &["-p", "50000:80"]);
    world.kill_agent();
    assert_eq!(reserved(&world), "40000,50000");
    world.purge().ok();
    assert_eq!(reserved(&world), "40000");
}

#[test]
fn ports_asked_for_masquerade_are_kept_and_reserved_where_the_host_would_use_them() {
    let mut world = World::without_agent();
    world.add_lan();
    world.host.sh(&format!("echo 40000 > {SETTING}")).ok();
    world.start_agent(&["--masquerade-ports", "32767-32768"]);
    assert_eq!(reserved(&world), "32768,40000");
    let log = world.log();
    assert_eq!(log.matches("reserved=32768").count(), 1, "{log}");
    let _service = Service::start(world.lan(), Transport::Tcp, 7, "lan");
    world.run("one", &[]);
    // it is published, so it is not kept
    world.run("web", &["-p", "9000:80"]);
    let dial = Dial::tcp(LAN[0], 7).from("0.0.0.0", 9_000);
    let client = dial.answered(&world.inside("one")).client;
    assert!([32_767, 32_768].contains(&client.port()), "{client}");
    world.stop_agent();
    world.start_agent(&["--masquerade-ports", "32767-32767"]);
    assert_eq!(reserved(&world), "40000");
}

#[test]
fn masquerade_moves_to_a_reserved_slice_where_all_ports_are_ephemeral() {
    let mut world = World::without_agent();
    world.add_lan();
    world
        .host
        .sh(&format!(
            "echo 40000,65000 > {SETTING} && echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range"
        ))
        .ok();
    world.start_agent(&[]);
    assert_eq!(reserved(&world), "40000,45056-65535");
    world.kill_agent();
    world.purge().ok();
    assert_eq!(reserved(&world), "40000,65000");
}
