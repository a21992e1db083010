//! Six real Redis servers with the tutorial's addresses form a cluster and survive the loss of one.

use std::fs;
use std::time::{Duration, Instant};

use tests::world::{Output, World, eventually, interfaces};

/// The node time-out is 5 s, the election takes 1 to 2, the gossip some more, on a busy machine.
const FAILOVER: Duration = Duration::from_secs(40);

/// A node's configuration, as the tutorial writes it; the image it ran switches protected mode off.
fn configuration(number: u32) -> String {
    format!(
        "port 6379\nbind 0.0.0.0\ncluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 5000\n\
         cluster-announce-ip 172.38.0.1{number}\ncluster-announce-port 6379\ncluster-announce-bus-port 16379\n\
         appendonly yes\nprotected-mode no\n"
    )
}

#[test]
fn s48_s49_s50_s51_s52_s53_s54_s55_s56_a_cluster_forms_and_fails_over() {
    let world = World::new();
    world.ok(&["network", "create", "redis", "--subnet", "172.38.0.0/16"]);
    for number in 1..=6 {
        let node = world.directory.join(format!("redis/node-{number}"));
        for folder in ["conf", "data"] {
            fs::create_dir_all(node.join(folder)).unwrap();
        }
        fs::write(node.join("conf/redis.conf"), configuration(number)).unwrap();
        let id = world.ok(&[
            "run",
            "--name",
            &format!("redis-{number}"),
            "-v",
            &format!("{}:/data", node.join("data").display()),
            "-v",
            &format!("{}:/etc/redis/redis.conf", node.join("conf/redis.conf").display()),
            "-w",
            "/data",
            "-d",
            "--net",
            "redis",
            "--ip",
            &format!("172.38.0.1{number}"),
            "redis-server",
            "/etc/redis/redis.conf",
        ]);
        assert_eq!(id.len(), 64);
        let address = format!("172.38.0.1{number}");
        assert_eq!(world.address(&format!("redis-{number}"), "redis").to_string(), address);
    }
    let cli = |node: &str, arguments: &[&str]| world.exec(node, &[&["redis-cli"], arguments].concat());
    for number in 1..=6 {
        eventually("every node answers", || {
            match cli(&format!("redis-{number}"), &["ping"]).stdout.as_str() {
                "PONG\n" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
    }
    // from one node to all, itself included
    for number in 1..=6 {
        assert_eq!(
            cli("redis-1", &["-h", &format!("172.38.0.1{number}"), "ping"]).ok(),
            "PONG"
        );
    }

    let nodes: Vec<String> = (1..=6).map(|number| format!("172.38.0.1{number}:6379")).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let create = [
        &["exec", "-i", "redis-1", "redis-cli", "--cluster", "create"],
        &nodes[..],
        &["--cluster-replicas", "1"],
    ];
    let formed = Output::with_input(&mut world.command(&create.concat()), "yes\n");
    let said = &formed.stdout;
    assert_eq!(formed.status, 0, "{formed:?}");
    for text in [
        "Master[0] -> Slots 0 - 5460",
        "Master[1] -> Slots 5461 - 10922",
        "Master[2] -> Slots 10923 - 16383",
        "Adding replica 172.38.0.15:6379 to 172.38.0.11:6379",
        "Adding replica 172.38.0.16:6379 to 172.38.0.12:6379",
        "Adding replica 172.38.0.14:6379 to 172.38.0.13:6379",
        "[OK] All nodes agree about slots configuration.",
        "[OK] All 16384 slots covered.",
    ] {
        assert!(said.contains(text), "{text} is missing:\n{said}");
    }

    let wanted = [
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_slots_ok:16384",
        "cluster_slots_pfail:0",
        "cluster_slots_fail:0",
        "cluster_known_nodes:6",
        "cluster_size:3",
        "cluster_current_epoch:6",
    ];
    eventually("the cluster is sound", || {
        let info = cli("redis-1", &["-c", "cluster", "info"]).stdout.replace('\r', "");
        let missing: Vec<_> = wanted
            .iter()
            .filter(|line| !info.lines().any(|found| found == **line))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?} of {info}"))
        }
    });
    eventually("three masters, three replicas, all connected", || {
        let list = cli("redis-1", &["cluster", "nodes"]).stdout;
        let count = |word: &str| list.lines().filter(|line| line.contains(word)).count();
        let counts = (
            list.lines().count(),
            count("master"),
            count("slave"),
            count(" connected"),
            count(":6379@16379"),
        );
        if counts == (6, 3, 3, 6, 6) { Ok(()) } else { Err(list) }
    });

    // it tells of redirections only where commands are typed
    let typed = |line: &str| {
        let mut redis = world.command(&["exec", "-i", "redis-1", "redis-cli", "--no-raw", "-c"]);
        Output::with_input(&mut redis, &format!("{line}\n"))
            .stdout
            .trim_end()
            .to_owned()
    };
    let set = typed("set a b");
    assert_eq!(set, "-> Redirected to slot [15495] located at 172.38.0.13:6379\nOK");
    eventually("the replica has it", || {
        match cli("redis-4", &["wait", "0", "0"]).status {
            0 if cli("redis-4", &["dbsize"]).stdout.trim() == "1" => Ok(()),
            _ => Err(cli("redis-4", &["dbsize"]).stdout),
        }
    });

    let devices = || {
        interfaces(&world.host)
            .into_iter()
            .filter(|found| found.name.starts_with("veth"))
            .count()
    };
    assert_eq!(devices(), 6);
    let stopped = Instant::now();
    assert_eq!(world.ok(&["stop", "redis-3"]), "redis-3");
    assert_eq!(devices(), 5, "its interface goes");
    assert_eq!(world.network("redis")["Containers"].as_object().unwrap().len(), 5);
    let taken = world.cli(&["run", "-d", "--net", "redis", "--ip", "172.38.0.13", "--", "true"]);
    assert!(
        taken.stderr.contains("Address already in use"),
        "its address stays: {taken:?}"
    );

    for node in ["redis-4", "redis-1"] {
        eventually("the dead master failed, its replica owns the slots", || {
            let list = cli(node, &["cluster", "nodes"]).stdout;
            let line = |address: &str| {
                list.lines()
                    .find(|line| line.contains(address))
                    .unwrap_or_default()
                    .to_owned()
            };
            let (dead, heir) = (line("172.38.0.13:6379@16379"), line("172.38.0.14:6379@16379"));
            let is_master = heir.contains(if node == "redis-4" {
                " myself,master "
            } else {
                " master "
            });
            let owns = is_master && heir.contains(" 7 connected 10923-16383");
            if dead.contains(" master,fail ") && owns {
                Ok(())
            } else {
                Err(list)
            }
        });
    }
    assert_eq!(
        typed("get a"),
        "-> Redirected to slot [15495] located at 172.38.0.14:6379\n\"b\""
    );
    assert!(stopped.elapsed() < FAILOVER, "{:?}", stopped.elapsed());

    // back again under the address that was kept
    world.ok(&["start", "redis-3"]);
    assert_eq!(world.address("redis-3", "redis").to_string(), "172.38.0.13");
    eventually("it returns as a replica", || {
        let list = cli("redis-1", &["cluster", "nodes"]).stdout;
        let line = list
            .lines()
            .find(|line| line.contains("172.38.0.13:6379@"))
            .unwrap_or_default();
        if line.contains(" slave ") && line.contains(" connected") {
            Ok(())
        } else {
            Err(list.clone())
        }
    });
}
