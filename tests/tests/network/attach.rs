//! `attach` and `detach`: a namespace that someone else made is a container for a while.

use std::os::unix::{fs::symlink, net::UnixListener};
use std::{fs, process};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;
use tests::world::{Namespace, Successor, World, eventually, interfaces};

use super::ping;

#[test]
fn a_foreign_namespace_is_a_container_until_it_is_detached() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "mynet"]);
    world.run("web", &["--net", "mynet"]);
    let before = world.snapshot();
    let foreign = Namespace::new();
    let id = world.ok(&[
        "attach",
        "mine",
        "--netns",
        &foreign.path(),
        "--network",
        "mynet",
        "--ip",
        "10.3.0.50",
    ]);
    assert_eq!(id.len(), 64);
    let eth0 = interfaces(&foreign)
        .into_iter()
        .find(|found| found.name == "eth0")
        .unwrap();
    assert_eq!(
        (eth0.mac.as_str(), &eth0.addresses[0][..]),
        ("02:42:0a:03:00:32", "10.3.0.50/24")
    );
    ping(&foreign, "10.3.0.2", 64);
    ping(&foreign, "10.3.0.1", 64);
    ping(&world.inside("web"), "10.3.0.50", 64);
    let list = world.ok(&["ps", "--format", "{{.Names}} {{.Owner}} {{.Networks}}"]);
    assert_eq!(list, "mine attached mynet\nweb netswitch mynet");
    assert_eq!(world.network("mynet")["Containers"][&id]["Name"], "mine");
    assert_eq!(
        world.inspect("mine")["NetworkSettings"]["Networks"]["mynet"]["IPAddress"],
        "10.3.0.50"
    );

    assert_eq!(world.ok(&["detach", "mine"]), "mine");
    let names: Vec<_> = interfaces(&foreign).into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["lo"]);
    assert_eq!(world.snapshot().difference(&before), None);
}

#[test]
fn a_process_names_its_namespace() {
    let world = World::new();
    let foreign = Namespace::new();
    let child = foreign.command("sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    world.keep(child);
    world.ok(&["attach", "mine", "--pid", &pid.to_string()]);
    ping(&foreign, "172.17.0.1", 64);
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "mynet"]);
    world.ok(&["network", "connect", "mynet", "mine"]);
    ping(&foreign, "10.3.0.1", 64);
    world.ok(&["detach", "mine"]);
    assert_eq!(interfaces(&foreign).len(), 1);
}

#[test]
fn a_process_that_got_the_number_of_an_attached_one_is_left_alone() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.3.0.0/24", "mynet"]);
    let foreign = Namespace::new();
    let mut child = foreign.command("sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    world.ok(&["attach", "mine", "--pid", &pid.to_string()]);
    child.kill().unwrap();
    child.wait().unwrap();
    let other = Namespace::new();
    let _successor = Successor::of(pid, &other);
    let names = |namespace| {
        let found = interfaces(namespace).into_iter();
        found.map(|found| (found.name, found.addresses)).collect::<Vec<_>>()
    };
    let (inside, outside) = (names(&other), names(&world.host));
    let ended = format!("process {pid} has ended");
    let process = format!("process {pid}");
    for (command, reason) in [
        (&["network", "connect", "mynet", "mine"][..], &ended),
        (&["pcap", "-c", "1", "-w", "/dev/null", "mine"], &ended),
        (&["run", "--rm", "--net", "container:mine", "--", "true"], &process),
    ] {
        let output = world.cli(command);
        assert_ne!(output.status, 0, "{command:?}");
        assert!(output.stderr.contains(reason), "{command:?}: {output:?}");
        assert_eq!(names(&other), inside, "{command:?}");
        assert_eq!(names(&world.host), outside, "{command:?}");
    }
    // a namespace that lives on beside its process keeps what it has, and is let go
    assert_eq!(interfaces(&foreign).len(), 2);
    world.ok(&["detach", "mine"]);
    assert_eq!(interfaces(&foreign).len(), 1);
    assert_eq!(names(&other), inside);
    // who is there now is another process
    world.ok(&["attach", "theirs", "--pid", &pid.to_string()]);
    assert_eq!(names(&other).len(), inside.len() + 1);
}

#[test]
fn a_foreign_default_route_is_left_alone() {
    let world = World::new();
    let foreign = Namespace::new();
    foreign
        .sh("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up")
        .ok();
    foreign
        .sh("ip addr add 198.51.100.2/24 dev up0 && ip route add default via 198.51.100.1")
        .ok();
    let default = || foreign.sh("ip route show default").ok();
    let before = default();
    world.ok(&["attach", "mine", "--netns", &foreign.path()]);
    ping(&foreign, "172.17.0.1", 64);
    assert_eq!(default(), before);
    world.ok(&["detach", "mine"]);
    assert_eq!(default(), before);
}

#[test]
fn the_hosts_own_namespace_and_another_containers_are_not_attached() {
    let world = World::new();
    world.run("web", &[]);
    let before = world.snapshot();
    let child = world.host.command("sleep").arg("1000").spawn().unwrap();
    let pid = child.id().to_string();
    world.keep(child);
    let output = world.cli(&["attach", "mine", "--pid", &pid]);
    assert_eq!(
        (output.status, output.stderr.trim_end()),
        (
            1,
            "Error response from daemon: the host's own network namespace cannot be attached"
        )
    );
    let process = world.inspect("web")["State"]["Pid"].to_string();
    let output = world.cli(&["attach", "mine", "--pid", &process]);
    assert_eq!(
        (output.status, output.stderr.trim_end()),
        (
            1,
            "Error response from daemon: that network namespace is container web's already"
        )
    );
    assert_eq!(world.snapshot().difference(&before), None);
}

#[test]
fn what_cannot_be_attached_is_refused() {
    let world = World::new();
    world.run("web", &[]);
    let pid = process::id().to_string();
    let foreign = Namespace::new();
    let text = world.cli(&["attach", "web", "--netns", &foreign.path()]);
    assert!(
        text.stderr
            .starts_with("Error response from daemon: Conflict. The container name \"/web\""),
        "{text:?}"
    );
    let text = world.cli(&["attach", "both", "--netns", &foreign.path(), "--pid", &pid]);
    assert_eq!(text.stderr, "either --netns or --pid must name a namespace\n");
    let output = world.cli(&["detach", "web"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("container web was not attached"), "{output:?}");
    let output = world.cli(&["exec", "mine", "true"]);
    assert_eq!(output.status, 1);
    assert_eq!(world.json(&["ps", "-a", "--format", "{{json .Names}}"]), json!("web"));
    assert_eq!(interfaces(&foreign).len(), 1);
}

#[test]
fn what_is_no_network_namespace_is_not_attached() {
    let world = World::new();
    let path = |name: &str| world.directory.join(name).to_str().unwrap().to_owned();
    mkfifo(&*path("fifo"), Mode::S_IRWXU).unwrap();
    fs::write(path("regular"), "").unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _listener = UnixListener::bind(path("socket")).unwrap();
    symlink("fifo", path("link to fifo")).unwrap();
    symlink("nothing", path("link to nothing")).unwrap();
    symlink("loop", path("loop")).unwrap();
    let own = |kind: &str| format!("/proc/{}/ns/{kind}", process::id());
    let unlike = "is not a namespace";
    let other = "is a namespace of another kind";
    let before = world.snapshot();
    for (path, refusal) in [
        (path("fifo"), unlike),
        (path("link to fifo"), unlike),
        (path("regular"), unlike),
        (path("directory"), unlike),
        (path("socket"), unlike),
        ("/dev/null".to_owned(), unlike),
        ("/dev/ptmx".to_owned(), unlike),
        ("/proc/self/exe".to_owned(), unlike),
        (own("mnt"), other),
        (own("uts"), other),
        (own("user"), other),
        (path("nothing"), "No such file or directory (os error 2)"),
        (path("link to nothing"), "No such file or directory (os error 2)"),
        (own("nothing"), "No such file or directory (os error 2)"),
        ("/proc/0/ns/net".to_owned(), "No such file or directory (os error 2)"),
        (path("regular/below"), "Not a directory (os error 20)"),
        (path("loop"), "Too many levels of symbolic links (os error 40)"),
    ] {
        let output = world.cli(&["attach", "mine", "--netns", &path]);
        let refusal = match refusal.split_once(' ') {
            Some(("is", _)) => format!("{path} {refusal}"),
            _ => format!("open namespace {path}: {refusal}"),
        };
        let expected = format!("Error response from daemon: no network namespace: {refusal}\n");
        assert_eq!((output.status, output.stderr), (1, expected), "{path}");
        assert_eq!(world.ok(&["ps", "-aq"]), "", "{path}");
    }
    assert_eq!(world.snapshot().difference(&before), None);
    // links to namespaces are followed
    let foreign = Namespace::new();
    symlink(foreign.path(), path("link")).unwrap();
    world.ok(&["attach", "mine", "--netns", &path("link")]);
    assert_eq!(interfaces(&foreign).len(), 2);
}

#[test]
fn the_end_of_an_attached_process_is_noticed_at_the_next_start() {
    let world = World::new();
    let foreign = Namespace::new();
    let mut child = foreign.command("sleep").arg("1000").spawn().unwrap();
    world.ok(&["attach", "mine", "--pid", &child.id().to_string()]);
    drop(foreign);
    child.kill().unwrap();
    child.wait().unwrap();
    world.restart_agent();
    eventually("it no longer runs", || match world.ok(&["ps", "-q"]).as_str() {
        "" => Ok(()),
        running => Err(running.to_owned()),
    });
    let left = interfaces(&world.host)
        .into_iter()
        .filter(|found| found.name.starts_with("veth"));
    assert_eq!(left.count(), 0);
}
