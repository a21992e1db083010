//! Six real Redis servers with the tutorial's addresses form a cluster and survive the loss of one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use tests::world::{Dial, HOST, Output, PATIENCE, World, eventually, interfaces};

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
    let cluster = Cluster::start();
    cluster.form();
    cluster.is_sound();
    assert_eq!(
        cluster.typed("set a b"),
        "-> Redirected to slot [15495] located at 172.38.0.13:6379\nOK"
    );
    eventually("the replica has it", || match cluster.ask("redis-4", &["dbsize"]) {
        size if size == "1" => Ok(()),
        size => Err(size),
    });

    let stopped = Instant::now();
    cluster.loses_redis_3();
    for node in ["redis-4", "redis-1"] {
        cluster.has_failed_over(node);
    }
    assert_eq!(
        cluster.typed("get a"),
        "-> Redirected to slot [15495] located at 172.38.0.14:6379\n\"b\""
    );
    assert!(stopped.elapsed() < FAILOVER, "{:?}", stopped.elapsed());
    cluster.takes_redis_3_back();
}

struct Cluster {
    world: World,
}

impl Cluster {
    fn start() -> Self {
        let world = World::with_lan();
        world.ok(&["network", "create", "redis", "--subnet", "172.38.0.0/16"]);
        let cluster = Self { world };
        for number in 1..=6 {
            cluster.start_node(number);
        }
        for number in 1..=6 {
            let node = format!("redis-{number}");
            eventually("every node answers", || match cluster.ask(&node, &["ping"]) {
                pong if pong == "PONG" => Ok(()),
                other => Err(other),
            });
        }
        cluster.is_published();
        // from one node to all, itself included
        for number in 1..=6 {
            let address = format!("172.38.0.1{number}");
            assert_eq!(cluster.ask("redis-1", &["-h", &address, "ping"]), "PONG");
        }
        cluster
    }

    fn start_node(&self, number: u32) {
        let (name, address) = (format!("redis-{number}"), format!("172.38.0.1{number}"));
        let folder = self.world.directory.join(format!("redis/node-{number}"));
        let (conf, data) = (folder.join("conf"), folder.join("data"));
        fs::create_dir_all(&conf).unwrap();
        fs::create_dir_all(&data).unwrap();
        let file = conf.join("redis.conf");
        fs::write(&file, configuration(number)).unwrap();
        let binds = [
            format!("{}:/data", data.display()),
            format!("{}:/etc/redis/redis.conf", file.display()),
        ];
        let options = [
            "run", "--name", &name, "-v", &binds[0], "-v", &binds[1], "-w", "/data", "-d",
        ];
        let ports = [format!("637{number}:6379"), format!("1637{number}:16379")];
        let network = ["-p", &ports[0], "-p", &ports[1], "--net", "redis", "--ip", &address];
        let id = self
            .world
            .ok(&[&options[..], &network, &["redis-server", "/etc/redis/redis.conf"]].concat());
        assert_eq!(id.len(), 64);
        assert_eq!(self.world.address(&name, "redis").to_string(), address);
    }

    /// Twelve publications, from the LAN and from the host.
    fn is_published(&self) {
        for number in 1..=6 {
            for (client, to) in [
                (self.world.lan(), HOST[0]),
                (&self.world.host, HOST[0]),
                (&self.world.host, "127.0.0.1"),
            ] {
                for port in [6370, 16_370] {
                    let dial = Dial::tcp(to, port + number);
                    let mut stream = client.enter(|| dial.open(PATIENCE)).unwrap();
                    if port == 6370 {
                        stream.write_all(b"CLUSTER MYID\r\n").unwrap();
                        let mut said = [0; 46];
                        stream.read_exact(&mut said).unwrap();
                        let own = self.ask(&format!("redis-{number}"), &["cluster", "myid"]);
                        assert!(String::from_utf8_lossy(&said).contains(&own), "{to}: {dial:?}");
                    }
                }
            }
        }
    }

    /// `redis-cli` in a node's container.
    fn ask(&self, node: &str, arguments: &[&str]) -> String {
        let output = self.world.exec(node, &[&["redis-cli"], arguments].concat());
        output.stdout.replace('\r', "").trim_end().to_owned()
    }

    /// A line typed into `redis-cli -c` on redis-1: only there it tells of redirections.
    fn typed(&self, line: &str) -> String {
        let mut redis = self
            .world
            .command(&["exec", "-i", "redis-1", "redis-cli", "--no-raw", "-c"]);
        Output::with_input(&mut redis, &format!("{line}\n"))
            .stdout
            .trim_end()
            .to_owned()
    }

    fn form(&self) {
        let nodes = [1, 2, 3, 4, 5, 6].map(|number| format!("172.38.0.1{number}:6379"));
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let create = ["exec", "-i", "redis-1", "redis-cli", "--cluster", "create"];
        let command = [&create[..], &nodes, &["--cluster-replicas", "1"]].concat();
        let formed = Output::with_input(&mut self.world.command(&command), "yes\n");
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
            assert!(formed.stdout.contains(text), "{text} is missing:\n{}", formed.stdout);
        }
    }

    fn is_sound(&self) {
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
            let info = self.ask("redis-1", &["cluster", "info"]);
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
            let list = self.ask("redis-1", &["cluster", "nodes"]);
            let count = |word: &str| list.lines().filter(|line| line.contains(word)).count();
            let counts = ["", "master", "slave", " connected", ":6379@16379"].map(count);
            if counts == [6, 3, 3, 6, 6] { Ok(()) } else { Err(list) }
        });
    }

    fn loses_redis_3(&self) {
        let devices = || {
            let devices = interfaces(&self.world.host).into_iter();
            devices.filter(|found| found.name.starts_with("veth")).count()
        };
        assert_eq!(devices(), 6);
        assert_eq!(self.world.ok(&["stop", "redis-3"]), "redis-3");
        assert_eq!(devices(), 5, "its interface goes");
        assert_eq!(self.world.network("redis")["Containers"].as_object().unwrap().len(), 5);
        let taken = self
            .world
            .cli(&["run", "-d", "--net", "redis", "--ip", "172.38.0.13", "--", "true"]);
        assert!(
            taken.stderr.contains("Address already in use"),
            "its address stays: {taken:?}"
        );
    }

    fn has_failed_over(&self, seen_from: &str) {
        eventually("the dead master failed, its replica owns the slots", || {
            let list = self.ask(seen_from, &["cluster", "nodes"]);
            let line = |address: &str| list.lines().find(|line| line.contains(address)).unwrap_or_default();
            let (dead, heir) = (line("172.38.0.13:6379@16379"), line("172.38.0.14:6379@16379"));
            let master = if seen_from == "redis-4" {
                " myself,master "
            } else {
                " master "
            };
            let owns = heir.contains(master) && heir.contains(" 7 connected 10923-16383");
            if dead.contains(" master,fail ") && owns {
                Ok(())
            } else {
                Err(list)
            }
        });
    }

    /// Under the address that was kept.
    fn takes_redis_3_back(&self) {
        self.world.ok(&["start", "redis-3"]);
        assert_eq!(self.world.address("redis-3", "redis").to_string(), "172.38.0.13");
        eventually("it returns as a replica", || {
            let list = self.ask("redis-1", &["cluster", "nodes"]);
            let line = list.lines().find(|line| line.contains("172.38.0.13:6379@"));
            let line = line.unwrap_or_default();
            if line.contains(" slave ") && line.contains(" connected") {
                Ok(())
            } else {
                Err(list.clone())
            }
        });
    }
}
