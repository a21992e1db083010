//! Published ports inside the ephemeral range: reserved beside the administrator's own, and given back.

use tests::world::World;

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
