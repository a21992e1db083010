//! `--link` on the default network: the hosts file of whoever links follows the address of whom it links to.

use tests::world::World;

use super::words;

/// Who links to `db` as `store` and to `cache`; and one that shares its namespace.
fn linked() -> World {
    let world = World::new();
    world.run("db", &[]);
    world.run("cache", &[]);
    world.run("web", &words("--link db:store --link cache --add-host dbx:192.0.2.7"));
    world.run("beside", &["--net", "container:web"]);
    world
}

/// Every name of a linked container leads to its address, from both containers.
#[track_caller]
fn follows(world: &World) {
    for parent in ["web", "beside"] {
        for (name, container) in [("store", "db"), ("db", "db"), ("cache", "cache")] {
            let address = world.address(container, "bridge").to_string();
            let hosts = world.exec(parent, &["cat", "/etc/hosts"]).ok();
            let lines = hosts.lines().map(words);
            let found: Vec<&str> = lines
                .filter(|line| line[1..].contains(&name))
                .map(|line| line[0])
                .collect();
            assert_eq!(found, [address], "{name} in {parent}: {hosts}");
        }
        let hosts = world.exec(parent, &["cat", "/etc/hosts"]).ok();
        assert!(hosts.contains("192.0.2.7\tdbx"), "{hosts}");
    }
}

/// Stops both and starts them in this order, with somebody else at their addresses.
fn restart(world: &World, first: &str, second: &str, thief: &str) {
    world.ok(&["stop", "-t", "0", "db", "cache"]);
    world.run(thief, &[]);
    world.ok(&["start", first]);
    world.ok(&["start", second]);
}

#[test]
fn a_linked_container_that_starts_again_is_found() {
    let world = linked();
    follows(&world);
    let inode = |world: &World| world.exec("web", &["stat", "-c", "%i", "/etc/hosts"]).ok();
    let before = inode(&world);
    let id = world.inspect("web")["Id"].as_str().unwrap().to_owned();
    let file = world.directory.join("run/containers").join(id).join("hosts");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("# mine\n{text}")).unwrap();
    restart(&world, "db", "cache", "thief1");
    follows(&world);
    restart(&world, "cache", "db", "thief2");
    follows(&world);
    world.exec("web", &["ping", "-n", "-c1", "-W5", "store"]).ok();
    // in place: a bind mount shows the file that it was made of
    assert_eq!(inode(&world), before);
    let hosts = world.exec("web", &["cat", "/etc/hosts"]).ok();
    assert!(hosts.contains("# mine"), "{hosts}");
}

#[test]
fn links_outlive_the_agent_and_the_one_who_links() {
    let world = linked();
    world.kill_agent();
    world.start_agent(&[]);
    restart(&world, "db", "cache", "thief");
    follows(&world);
    world.ok(&["stop", "-t", "0", "beside"]);
    world.ok(&["stop", "-t", "0", "web"]);
    world.ok(&["start", "web"]);
    world.ok(&["start", "beside"]);
    follows(&world);
}

#[test]
fn a_container_that_is_connected_again_is_found() {
    let world = linked();
    world.ok(&["network", "disconnect", "bridge", "db"]);
    world.run("thief", &[]);
    world.ok(&["network", "connect", "bridge", "db"]);
    follows(&world);
}
