//! The agent as a program: one per directory, several per machine, nothing left after a purge.

use std::fs;

use tests::world::{Output, World, eventually, interfaces};

use super::ping;

#[test]
fn a_second_agent_on_the_same_directories_refuses() {
    let world = World::new();
    let directories = world.directories();
    let arguments: Vec<&str> = ["agent"]
        .into_iter()
        .chain(directories.iter().map(String::as_str))
        .collect();
    let before = world.snapshot();
    let output = world.cli(&arguments);
    assert_eq!(
        output.stderr.trim_end(),
        format!("agent already running (pid {})", world.agent_pid()),
        "{output:?}"
    );
    assert_eq!(output.status, 1);
    let purge = world.purge();
    assert_eq!(
        purge.stderr.trim_end(),
        format!("agent already running (pid {})", world.agent_pid())
    );
    assert_eq!(purge.status, 1);
    assert_eq!(world.snapshot().difference(&before), None);
}

#[test]
fn two_agents_side_by_side_know_nothing_of_each_other() {
    let one = World::new();
    let two = World::new();
    for world in [&one, &two] {
        world.run("web", &[]);
        assert_eq!(world.address("web", "bridge").to_string(), "172.17.0.2");
        ping(&world.host, "172.17.0.2", 64);
    }
    one.stop_agent();
    one.purge().ok();
    two.run("more", &[]);
    ping(&two.inside("more"), "172.17.0.2", 64);
}

#[test]
fn a_purge_leaves_nothing() {
    let world = World::without_agent();
    let before = world.snapshot();
    world.start_agent(&[]);
    world.ok(&["network", "create", "--ipv6", "mynet"]);
    world.run("web", &["--net", "mynet"]);
    world.run("other", &["--net", "host"]);
    world.ok(&["run", "-d", "--name", "ended", "--", "true"]);
    let pid = world.inspect("web")["State"]["Pid"].as_u64().unwrap();
    world.kill_agent();
    world.purge().ok();
    assert_eq!(world.snapshot().difference(&before), None);
    assert!(!world.bpffs.exists());
    for directory in ["state", "run"] {
        assert!(!world.directory.join(directory).exists(), "{directory}");
    }
    assert!(
        !fs::exists(format!("/proc/{pid}")).unwrap(),
        "the container's process is gone"
    );
    // nothing to purge is no error, and the next agent starts anew
    world.purge().ok();
    world.start_agent(&[]);
    assert_eq!(world.ok(&["ps", "-aq"]), "");
    assert_eq!(world.ok(&["network", "ls", "-q"]).lines().count(), 3);
}

#[test]
fn the_agent_says_when_it_is_ready_and_ends_well() {
    let world = World::new();
    assert!(world.log().contains("ready"), "{}", world.log());
    world.run("web", &[]);
    world.stop_agent();
    assert!(!world.socket().exists());
    ping(&world.host, "172.17.0.2", 64);
    let output = world.cli(&["network", "ls"]);
    let text = format!(
        "Cannot connect to the netswitch agent at unix://{}. Is the agent running?\n",
        world.socket().display()
    );
    assert_eq!((output.status, output.stderr), (1, text));
}

#[test]
fn only_root_may_run_it_and_use_it() {
    let world = World::new();
    let as_nobody = |arguments: &[&str]| {
        let program = world.directory.join("netswitch");
        if !program.exists() {
            // the target directory may be closed to others
            let command = world.command(&[]);
            fs::copy(command.get_args().last().unwrap(), &program).unwrap();
        }
        let mut command = world.host.command("timeout");
        command.args(["60", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
            .arg(program)
            .args(arguments)
            .env("NETSWITCH_SOCKET", world.socket());
        Output::of(&mut command)
    };
    let before = world.snapshot();
    let directories = world.directories();
    let arguments: Vec<&str> = ["agent"]
        .into_iter()
        .chain(directories.iter().map(String::as_str))
        .collect();
    let output = as_nobody(&arguments);
    assert_eq!(
        (output.status, output.stderr.as_str()),
        (1, "netswitch agent must run as root\n")
    );
    let output = as_nobody(&["network", "ls"]);
    let text = format!(
        "permission denied while trying to connect to the netswitch agent at unix://{}\n",
        world.socket().display()
    );
    assert_eq!((output.status, output.stderr), (1, text));
    assert_eq!(world.snapshot().difference(&before), None);
}

#[test]
fn neighbours_are_written_again_after_a_link_flap() {
    let world = World::new();
    world.run("web", &[]);
    let permanent = || world.host.sh("ip neigh show dev docker0 nud permanent").ok();
    let before = permanent();
    assert!(
        before.contains("172.17.0.2 lladdr 02:42:ac:11:00:02 PERMANENT"),
        "{before}"
    );
    world.host.sh("ip link set docker0 down").ok();
    world.host.sh("ip link set docker0 up").ok();
    eventually("the neighbours are back", || {
        let now = permanent();
        if now == before { Ok(()) } else { Err(now) }
    });
    ping(&world.host, "172.17.0.2", 64);
    ping(&world.inside("web"), "172.17.0.1", 64);
}

#[test]
fn a_lost_device_is_told_and_comes_back_with_the_container() {
    let world = World::new();
    world.run("web", &[]);
    let device = world.host_device("web", "eth0").name;
    world.host.sh(&format!("ip link del {device}")).ok();
    world.ok(&["rm", "-f", "web"]);
    world.run("web", &[]);
    ping(&world.host, &world.address("web", "bridge").to_string(), 64);
    assert_eq!(
        interfaces(&world.host)
            .into_iter()
            .filter(|found| found.name.starts_with("veth"))
            .count(),
        1
    );
}
