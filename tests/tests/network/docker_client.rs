//! The stock docker client, 20.10, against our socket: networks, as far as it goes.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;

use tests::world::{Output, World, without_ids};

use super::words;

/// Named by `cargo xtask test`; by hand, whatever docker the machine has.
fn docker() -> PathBuf {
    env::var_os("NETSWITCH_DOCKER").map_or_else(|| "docker".into(), Into::into)
}

fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = world.host.command("timeout");
    command
        .args(["--kill-after=5", "60"])
        .arg(docker())
        .arg("-H")
        .arg(format!("unix://{}", world.socket().display()))
        .args(arguments)
        .env("DOCKER_CONFIG", &world.directory);
    Output::of(&mut command)
}

#[test]
fn s18_s19_docker_network_ls_and_inspect_say_what_ours_say() {
    let world = World::new();
    world.run("web", &[]);
    let ours = world.ok(&["network", "ls"]);
    assert_eq!(run(&world, &["network", "ls"]).ok(), ours);
    assert_eq!(
        without_ids(&ours),
        "NETWORK ID     NAME      DRIVER    SCOPE\n<id>   bridge    bridge    local\n<id>   host      host      local\n\
         <id>   none      null      local"
    );
    let id = world.ok(&["network", "ls", "-q", "--filter", "name=bridge"]);
    assert_eq!(
        run(&world, &["network", "inspect", &id]).ok(),
        world.ok(&["network", "inspect", &id])
    );
    let filters = ["network", "ls", "--filter", "driver=bridge", "--format", "{{.Name}}"];
    assert_eq!(run(&world, &filters).ok(), "bridge");
}

#[test]
fn docker_creates_connects_and_removes_networks() {
    let world = World::new();
    world.run("web", &[]);
    let create = [
        "network",
        "create",
        "--subnet",
        "10.9.0.0/16",
        "--gateway",
        "10.9.0.1",
        "--label",
        "a=b",
        "mynet",
    ];
    let id = run(&world, &create).ok();
    assert_eq!(id.len(), 64);
    assert_eq!(world.network("mynet")["Labels"]["a"], "b");
    let connect = [
        "network",
        "connect",
        "--ip",
        "10.9.0.77",
        "--alias",
        "db",
        "mynet",
        "web",
    ];
    assert_eq!(run(&world, &connect).ok(), "");
    assert_eq!(world.address("web", "mynet").to_string(), "10.9.0.77");
    let used = run(&world, &["network", "rm", "mynet"]);
    let text = format!(
        "Error response from daemon: error while removing network: network mynet id {id} has active endpoints\n"
    );
    assert_eq!((used.status, used.stderr.as_str()), (1, text.as_str()));
    assert_eq!(run(&world, &["network", "disconnect", "mynet", "web"]).ok(), "");
    assert_eq!(run(&world, &["network", "rm", "mynet"]).ok(), "mynet");
    run(&world, &["network", "create", "--ipv6", "--internal", "one"]).ok();
    run(&world, &["network", "create", "two"]).ok();
    let mut pruned: Vec<_> = run(&world, &["network", "prune", "-f"])
        .ok()
        .lines()
        .map(str::to_owned)
        .collect();
    pruned.sort();
    assert_eq!(pruned, ["Deleted Networks:", "one", "two"]);
}

#[test]
fn docker_shows_our_errors_as_its_own() {
    let world = World::new();
    world.run("web", &["--net", "host"]);
    for arguments in [
        &["network", "inspect", "nobody"][..],
        &["network", "rm", "nobody"],
        &["network", "rm", "bridge"],
        &["network", "create", "bridge"],
        &["network", "create", "--subnet", "10.0.0.0/33", "x1"],
        &["network", "create", "--subnet", "172.17.0.0/24", "x1"],
        &["network", "create", "-d", "macvlan", "x1"],
        &["network", "connect", "bridge", "nobody"],
        &["network", "connect", "nobody", "web"],
        &["network", "connect", "bridge", "web"],
        &["network", "disconnect", "bridge", "web"],
    ] {
        let (theirs, ours) = (run(&world, arguments), world.cli(arguments));
        // an id of a network that was never made differs from call to call
        assert_eq!(without_ids(&theirs.stderr), without_ids(&ours.stderr), "{arguments:?}");
        assert_eq!(
            (theirs.status, &theirs.stdout),
            (ours.status, &ours.stdout),
            "{arguments:?}"
        );
        assert_ne!(ours.status, 0, "{arguments:?}");
    }
}

#[test]
fn docker_ps_and_port_say_what_ours_say() {
    let world = World::with_lan();
    world.run(
        "web",
        &words("-p 8080:80 -p 9000-9002:9000-9002/udp -p 127.0.0.1:70:70 --expose 60"),
    );
    let ports = ["ps", "--format", "{{.Ports}}"];
    let ours = world.ok(&ports);
    assert!(ours.contains("0.0.0.0:9000-9002->9000-9002/udp"), "{ours}");
    assert_eq!(run(&world, &ports).ok(), ours);
    let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let ours = lines(world.ok(&["port", "web"]));
    assert_eq!(lines(run(&world, &["port", "web"]).ok()), ours);
    assert!(ours.contains("70/tcp -> 127.0.0.1:70"), "{ours:?}");
}
