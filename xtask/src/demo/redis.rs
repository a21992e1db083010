//! The tutorial's finale: six real Redis servers form a cluster, lose one and go on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::stage::{HOST, Stage};
use crate::progress::Step;
use crate::world::process;

const INFO: &str = "netswitch exec redis-1 redis-cli cluster info";
const NODE_LIST: &str = "netswitch exec redis-1 redis-cli cluster nodes";
const NODES: std::ops::RangeInclusive<u8> = 1..=6;

pub fn start_nodes(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("Six Redis servers with fixed addresses", "S47 – S49");
    stage.show("netswitch network create redis --subnet 172.38.0.0/16")?;
    let directory = stage.directory().join("redis");
    for node in NODES {
        write_configuration(&directory, node)?;
    }
    stage.show(&format!("cat {}/node-1/conf/redis.conf", directory.display()))?;
    stage
        .screen
        .note("Protected mode is off, as in the redis image: the cluster's nodes are not loopback.");
    let run = |node: u8| {
        let files = format!("{}/node-{node}", directory.display());
        format!(
            "netswitch run -d -p 637{node}:6379 -p 1637{node}:16379 --name redis-{node} --net redis --ip 172.38.0.1{node} \
             -v {files}/conf/redis.conf:/etc/redis/redis.conf -v {files}/data:/data \
             -- redis-server /etc/redis/redis.conf --dir /data --protected-mode no"
        )
    };
    stage.show(&run(1))?;
    stage
        .screen
        .note("… and in the same way redis-2 to redis-6, at 172.38.0.12 to 172.38.0.16");
    for node in NODES.skip(1) {
        stage.ask(&run(node))?;
    }
    for node in NODES {
        process::poll(&format!("redis-{node} answers"), Duration::from_secs(10), || {
            Ok(stage
                .ask(&format!("netswitch exec redis-{node} redis-cli ping"))
                .is_ok_and(|said| said.contains("PONG")))
        })?;
    }
    stage.prove(true, "all six answer PING")
}

pub fn published(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("Twelve published ports reach the six servers", "S49");
    stage.show("netswitch port redis-1")?;
    let ping = format!("redis-cli -h {HOST} -p 6371 ping");
    for said in [
        stage.show_on_lan(&ping)?,
        stage.show(&ping)?,
        stage.show("redis-cli -h 127.0.0.1 -p 6371 ping")?,
    ] {
        stage.prove(said.trim() == "PONG", "redis-1 answers")?;
    }
    stage.screen.note("… and in the same way 6372 to 6376");
    for node in NODES {
        let said = stage.ask(&format!(
            "redis-cli -h {HOST} -p 637{node} config get cluster-announce-ip"
        ))?;
        ensure!(
            said.lines().any(|line| line == format!("172.38.0.1{node}")),
            "port 637{node} is not redis-{node}'s: {said}"
        );
        for port in [6370, 16370] {
            stage.reaches(port + u16::from(node))?;
        }
    }
    stage.prove(
        true,
        "each of 6371 – 6376 and 16371 – 16376 leads to its server, from the LAN and from the host",
    )
}

pub fn create_cluster(stage: &mut Stage) -> Result<()> {
    stage.screen.heading("They form a cluster", "S50 – S52");
    let addresses: Vec<String> = NODES.map(|node| format!("172.38.0.1{node}:6379")).collect();
    let create = format!(
        "netswitch exec -i redis-1 redis-cli --cluster create {} --cluster-replicas 1",
        addresses.join(" ")
    );
    let said = stage.show_slowly("the nodes meet", "yes", &create, 19)?;
    stage.prove(
        said.contains("[OK] All nodes agree about slots configuration.")
            && said.contains("[OK] All 16384 slots covered."),
        "all nodes agree, all 16384 slots are covered",
    )?;
    stage.prove(
        said.contains("Adding replica 172.38.0.14:6379 to 172.38.0.13:6379"),
        "redis-4 is redis-3's replica",
    )?;
    // gossip needs a moment to tell every node who is whose replica
    process::poll("the nodes know each other", Duration::from_secs(20), || {
        let replica = stage.ask("netswitch exec redis-4 redis-cli info replication")?;
        let (info, nodes) = (stage.ask(INFO)?, stage.ask(NODE_LIST)?);
        Ok(is_healthy(&info) && is_complete(&nodes) && replica.contains("master_link_status:up"))
    })?;
    let info = stage.show_lines(INFO, 7)?;
    stage.prove(is_healthy(&info), "cluster_state:ok, six nodes, three masters")?;
    let nodes = stage.show(NODE_LIST)?;
    stage.prove(is_complete(&nodes), "three masters, three slaves, all connected")
}

pub fn redirected_set(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("A key lands on the node that owns its slot", "S53");
    let said = stage.show_with_input("set a b", "netswitch exec -i redis-1 redis-cli -c", 4)?;
    stage.prove(
        said.contains("-> Redirected to slot [15495] located at 172.38.0.13:6379") && said.contains("OK"),
        "asked redis-1, written by redis-3",
    )
}

pub fn failover(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("That node dies, its replica takes over", "S54 – S56");
    let said = stage.show("netswitch stop redis-3")?;
    stage.prove(said.trim() == "redis-3", "redis-3 is stopped")?;
    let start = Instant::now();
    let step = Step::start("waiting for redis-4 to take over; the node timeout is 5 s");
    let over = process::poll("redis-4 takes over", Duration::from_secs(40), || {
        let (info, nodes) = (stage.ask(INFO)?, stage.ask(NODE_LIST)?);
        Ok(owns_last_slots(&nodes, "172.38.0.14:") && info.contains("cluster_state:ok"))
    });
    step.end(if over.is_ok() { "done" } else { "failed" });
    over?;
    stage.screen.note(&format!(
        "The cluster healed in {:.1} s.",
        start.elapsed().as_secs_f32()
    ));
    let said = stage.show_with_input("get a", "netswitch exec -i redis-1 redis-cli -c", 4)?;
    stage.prove(
        said.contains("-> Redirected to slot [15495] located at 172.38.0.14:6379")
            && said.lines().any(|line| line.trim_matches('"') == "b"),
        "redis-4 answers what redis-3 was told",
    )?;
    let nodes = stage.show("netswitch exec redis-4 redis-cli cluster nodes")?;
    let failed = nodes
        .lines()
        .any(|line| line.contains("172.38.0.13:") && line.contains("master,fail"));
    stage.prove(
        failed && owns_last_slots(&nodes, "172.38.0.14:"),
        "redis-3 is marked failed, redis-4 is master of slots 10923-16383",
    )
}

/// `redis.conf` word for word as the tutorial's loop writes it.
fn write_configuration(directory: &Path, node: u8) -> Result<()> {
    let node_directory = directory.join(format!("node-{node}"));
    let configuration = format!(
        "port 6379\nbind 0.0.0.0\ncluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 5000\n\
         cluster-announce-ip 172.38.0.1{node}\ncluster-announce-port 6379\ncluster-announce-bus-port 16379\nappendonly yes\n"
    );
    let write = || {
        fs::create_dir_all(node_directory.join("conf"))?;
        fs::create_dir_all(node_directory.join("data"))?;
        fs::write(node_directory.join("conf/redis.conf"), configuration)
    };
    write().with_context(|| format!("write the configuration in {}", node_directory.display()))
}

fn is_healthy(cluster_info: &str) -> bool {
    let expected = [
        "cluster_state:ok",
        "cluster_slots_ok:16384",
        "cluster_slots_fail:0",
        "cluster_known_nodes:6",
        "cluster_size:3",
    ];
    expected
        .iter()
        .all(|line| cluster_info.lines().any(|said| said.trim() == *line))
}

fn is_complete(cluster_nodes: &str) -> bool {
    let connected = |kind: &str| {
        let is_one = |line: &&str| line.contains(kind) && line.contains(" connected");
        cluster_nodes.lines().filter(is_one).count()
    };
    connected("master") == 3 && connected("slave") == 3
}

fn owns_last_slots(cluster_nodes: &str, address: &str) -> bool {
    cluster_nodes.lines().any(|line| {
        line.contains(address) && line.contains("master") && !line.contains("fail") && line.contains("10923-16383")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_master_owns_slots() {
        let dead = "id1 172.38.0.13:6379@16379 master,fail - 1 2 3 connected 10923-16383";
        let heir = "id2 172.38.0.14:6379@16379 myself,master - 0 2 7 connected 10923-16383";
        assert!(owns_last_slots(&format!("{dead}\n{heir}"), "172.38.0.14:"));
        assert!(!owns_last_slots(dead, "172.38.0.13:"));
        assert!(!owns_last_slots(
            "id2 172.38.0.14:6379@16379 slave id1 0 2 3 connected",
            "172.38.0.14:"
        ));
    }
}
