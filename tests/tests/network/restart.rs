//! The data plane outlives the agent: killed, restarted or replaced under load, nothing is lost.

use std::collections::BTreeMap;
use std::fs;

use netswitch_common::ABI_VERSION;
use tests::world::{Flood, Object, Stream, World, eventually, objects, transfer};

use super::{address, ping, words};

/// Two containers of a network with both families.
fn pair() -> World {
    let world = World::new();
    world.ok(&words(
        "network create --ipv6 --subnet 10.1.0.0/24 --subnet fd01::/64 mynet",
    ));
    world.run("one", &["--net", "mynet"]);
    world.run("two", &["--net", "mynet"]);
    world
}

/// Pings and streams, container to container and host to container.
struct Load {
    floods: Vec<Flood>,
    streams: Vec<Stream>,
}

impl Load {
    fn start(world: &World) -> Self {
        let (one, two) = (world.inside("one"), world.inside("two"));
        Self {
            floods: vec![
                Flood::start(&one, address("10.1.0.3")),
                Flood::start(&one, address("fd01::3")),
                Flood::start(&world.host, address("10.1.0.3")),
            ],
            streams: vec![
                Stream::start(&one, &two, address("10.1.0.3")),
                Stream::start(&world.host, &two, address("10.1.0.3")),
            ],
        }
    }

    fn loses_nothing(self) {
        for stream in self.streams {
            stream.stop();
        }
        for flood in self.floods {
            let (sent, lost) = flood.stop();
            assert_eq!(lost, 0, "of {sent}");
            assert!(sent > 0);
        }
    }
}

/// Ids of what is pinned, by path.
fn ids(world: &World) -> BTreeMap<String, u32> {
    objects(&world.bpffs)
        .iter()
        .map(|(path, object)| (path.clone(), object.id()))
        .collect()
}

fn links(world: &World) -> usize {
    objects(&world.bpffs)
        .values()
        .filter(|object| matches!(object, Object::Link { .. }))
        .count()
}

#[test]
fn a_killed_agent_loses_nothing_and_the_next_one_adopts() {
    let world = pair();
    // somebody nobody has talked to yet
    world.run("fresh", &["--net", "mynet"]);
    let fresh = world.inside("fresh");
    let before = ids(&world);
    assert!(before.len() > 10 && links(&world) >= 5, "{before:?}");
    let pid = world.inspect("one")["State"]["Pid"].as_u64().unwrap();
    let load = Load::start(&world);
    world.kill_agent();

    // while it is dead: containers run on, new neighbours and new connections work
    assert!(fs::exists(format!("/proc/{pid}/root")).unwrap());
    assert_eq!(ids(&world), before);
    for target in ["10.1.0.2", "10.1.0.1", "fd01::3"] {
        ping(&fresh, target, 64);
    }
    ping(&world.host, "10.1.0.4", 64);
    transfer(&fresh, &world.inside_process(pid), address("10.1.0.2"), 1 << 20);

    world.start_agent(&[]);
    assert_eq!(ids(&world), before, "the same links and maps");
    assert_eq!(world.inspect("one")["State"]["Pid"], pid);
    world.run("later", &["--net", "mynet"]);
    ping(&world.inside("later"), "10.1.0.2", 64);
    load.loses_nothing();
    assert_eq!(world.ok(&["ps", "-q"]).lines().count(), 4);
    world.ok(&["rm", "-f", "one"]);
    assert_eq!(world.exec("two", &["echo", "alive"]).ok(), "alive");
}

#[test]
fn the_peer_redirect_accounts_for_every_packet_over_a_kill() {
    let world = pair();
    let one = world.inside("one");
    let target = address("10.1.0.3");
    one.enter(|| tests::world::echoes(&[target])).unwrap();
    let before = world.path("peer");
    let flood = Flood::start(&one, target);
    world.kill_agent();
    world.start_agent(&[]);
    eventually("a thousand packets", || match world.path("peer") - before {
        now if now > 1000 => Ok(()),
        now => Err(now.to_string()),
    });
    let (sent, lost) = flood.stop();
    assert_eq!((world.path("peer") - before, lost), (u64::from(sent) * 2, 0));
}

#[test]
fn a_stop_and_a_start_change_nothing() {
    let world = pair();
    world.ok(&["run", "-d", "--name", "ended", "--", "sh", "-c", "exit 9"]);
    eventually("it has ended", || {
        match world.inspect("ended")["State"]["ExitCode"].as_i64() {
            Some(9) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let before = world.snapshot();
    let load = Load::start(&world);
    world.restart_agent();
    load.loses_nothing();
    assert_eq!(world.snapshot().difference(&before), None);
}

#[test]
fn a_container_that_ends_without_an_agent_is_buried_by_the_next() {
    let world = pair();
    let command = "while ! test -e /tmp/netswitch-end; do sleep 0.05; done; exit 4";
    let end = world.directory.join("end");
    fs::create_dir(&end).unwrap();
    let bind = format!("{}:/end", end.display());
    let command = command.replace("/tmp/netswitch-end", "/end/now");
    world.ok(&[
        "run", "-d", "--name", "ends", "--net", "mynet", "-v", &bind, "--", "sh", "-c", &command,
    ]);
    let pid = world.inspect("ends")["State"]["Pid"].as_u64().unwrap();
    world.kill_agent();
    fs::write(end.join("now"), "").unwrap();
    eventually("its process ends", || {
        let runs = fs::exists(format!("/proc/{pid}")).unwrap();
        if runs {
            Err(format!("process {pid} runs"))
        } else {
            Ok(())
        }
    });
    world.start_agent(&[]);
    let state = world.inspect("ends")["State"].take();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &4.into()));
    assert_eq!(world.network("mynet")["Containers"].as_object().unwrap().len(), 2);
    ping(&world.inside("one"), "10.1.0.3", 64);
}

#[test]
fn another_map_version_takes_over_without_a_gap() {
    let world = pair();
    let old = ids(&world);
    let version = |ids: &BTreeMap<String, u32>, version: &str| {
        let mut maps = ids
            .keys()
            .filter(|path| !path.starts_with("links/") && !path.starts_with("sockets/"));
        maps.all(|path| path.starts_with(version))
    };
    assert!(version(&old, &format!("v{ABI_VERSION}/")), "{old:?}");
    let next = ABI_VERSION + 1;
    let load = Load::start(&world);
    world.stop_agent();
    world.start_agent(&["--abi-version", &next.to_string()]);
    let new = ids(&world);
    assert!(version(&new, &format!("v{next}/")), "{new:?}");
    assert_eq!(new.len(), old.len(), "{new:?}");
    let links = |ids: &BTreeMap<String, u32>| {
        ids.clone()
            .into_iter()
            .filter(|(path, _)| path.starts_with("links/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(links(&new), links(&old), "replaced in place");
    ping(&world.inside("two"), "10.1.0.2", 64);
    world.run("later", &["--net", "mynet"]);
    ping(&world.inside("later"), "fd01::2", 64);
    load.loses_nothing();
}

#[test]
fn what_a_crash_left_half_done_is_put_right() {
    let world = pair();
    let (device, before) = (world.host_device("one", "eth0").name, world.snapshot());
    world.kill_agent();
    // the worst that can happen meanwhile, short of losing the pins
    world
        .host
        .sh("ip neigh flush nud permanent dev $(ip -o -4 addr | awk '/10.1.0.1\\//{print $2}')")
        .ok();
    world
        .host
        .sh("ip link add sw-stranger type veth peer name stranger")
        .ok();
    world.start_agent(&[]);
    ping(&world.host, "10.1.0.2", 64);
    let left = world.host.sh("ip -o link show stranger").ok();
    assert!(left.contains("stranger"), "what is not ours is left alone");
    world.host.sh("ip link del stranger").ok();
    eventually("all is as before", || {
        world.snapshot().difference(&before).map_or(Ok(()), Err)
    });
    // and a device that is gone is made again
    world.kill_agent();
    world.host.sh(&format!("ip link del {device}")).ok();
    world.start_agent(&[]);
    ping(&world.inside("one"), "10.1.0.3", 64);
    let route = world.inside("one").sh("ip route show default").ok();
    assert!(route.starts_with("default via 10.1.0.1 dev eth0"), "{route}");
    assert_eq!(world.ok(&["doctor"]).matches("problem").count(), 0);
    ping(&world.host, "10.1.0.3", 64);
}

#[test]
fn a_program_that_somebody_took_off_is_missed_and_put_back() {
    let world = pair();
    let device = world.host_device("one", "eth0").name;
    world.host.sh(&format!("tc qdisc del dev {device} clsact")).ok();
    let said = world.cli(&["doctor"]);
    let expected = format!("devices: without netswitch's program (a restart of the agent puts it back): {device}");
    assert!(said.stdout.contains(&expected), "{said:?}");
    assert_ne!(said.status, 0);
    world.restart_agent();
    assert!(
        world
            .cli(&["doctor"])
            .stdout
            .contains("devices: 2 endpoints have their device")
    );
    ping(&world.inside("one"), "10.1.0.3", 64);
}
