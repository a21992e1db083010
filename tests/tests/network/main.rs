//! Networks, containers and the data path end to end: each test has a host of its own, with an agent.
//!
//! `cargo xtask test` runs this; by hand: `cargo test -p tests --test network`, as root.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod addresses;
mod agent;
mod attach;
mod broadcast;
mod bulk;
mod connect;
mod container;
mod container_counters;
mod default_network;
mod direct;
mod docker_client;
mod dual_stack;
mod egress;
mod engine_api;
mod firewall;
mod footprint;
mod forged_clients;
mod host_first;
mod host_first_echo;
mod host_first_ports;
mod host_first_sockets;
mod host_names;
mod hostile;
mod icmp_answers;
mod inspect;
mod ipsec_policies;
mod isolation;
mod isolation_table;
mod lan_broadcasts;
mod limits;
mod links;
mod many;
mod masquerade;
mod masquerade_fragments;
mod masquerade_icmp;
mod masquerade_life;
mod masquerade_modes;
mod masquerade_overlap;
mod masquerade_scale;
mod mode;
mod monitor;
mod names;
mod names_flood;
mod names_forward;
mod names_isolated;
mod names_kernel;
mod names_message;
mod names_questions;
mod names_real;
mod names_servers;
mod names_without_agent;
mod no_way;
mod no_way_kinds;
mod observe;
mod observer;
mod openings;
mod pcap;
mod policy;
mod policy_traffic;
mod profile;
mod publish_closed;
mod publish_conflict;
mod publish_forms;
mod publish_live;
mod publish_reach;
mod publish_source;
mod redis;
mod refusal;
mod relay;
mod reserved;
mod restart;
mod run;
mod sctp_unsummed;
mod short_connections;
mod silence;
mod source_ports;
mod starts;
mod top;
mod uplink;
mod uplink_bare;
mod uplink_kinds;
mod uplink_routing;
mod uplink_stack;
mod uplink_stack_life;
mod uplink_ways;
mod uplink_xdp;
mod user_network;
mod wait;
mod why;

use std::net::IpAddr;

use tests::world::{Namespace, PATIENCE, World, eventually};

/// Asks once with the real `ping`; every answer must carry this TTL, which tells a switch from a router.
#[track_caller]
fn ping(from: &Namespace, target: &str, ttl: u8) {
    let said = from.sh(&format!("ping -n -c 3 -i 0.05 -W 5 {target}")).ok();
    let answers: Vec<&str> = said.lines().filter(|line| line.contains("bytes from")).collect();
    assert_eq!(answers.len(), 3, "{said}");
    for answer in answers {
        assert!(answer.contains(&format!(" ttl={ttl} ")), "{said}");
    }
}

/// Asks with the real `ping` and must not be answered.
#[track_caller]
fn no_ping(from: &Namespace, target: &str) {
    let output = from.sh(&format!("ping -n -c 2 -i 0.2 -W 1 {target}"));
    assert_ne!(output.status, 0, "{output:?}");
    assert!(output.stdout.contains(" 0 received"), "{output:?}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Words of a line: what `ip` printed, or arguments.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// `timeout` for tools that have a limit of their own.
fn patience() -> String {
    PATIENCE.as_secs().to_string()
}

/// What `ip` is told of a family, IPv4 first.
const FAMILIES: [&str; 2] = ["-4", "-6"];

/// What an address that `ip` adds needs to be bound at once: IPv6 would look for its like first.
fn at_once(family: &str) -> &'static str {
    if family == FAMILIES[1] { " nodad" } else { "" }
}

/// Makes a network with 10.N.0.0/24 and `fdN::/64`.
fn dual(world: &World, name: &str, number: u32, options: &[&str]) {
    let subnets = [format!("10.{number}.0.0/24"), format!("fd{number}::/64")];
    let subnets = ["--ipv6", "--subnet", &subnets[0], "--subnet", &subnets[1]];
    world.ok(&[&["network", "create"], &subnets[..], options, &[name]].concat());
}

/// `from` resolves `name` to this and nothing else.
#[track_caller]
fn finds(world: &World, from: &str, name: &str, expected: &[&str]) {
    let said = world.exec(from, &["getent", "ahosts", name]).stdout;
    let mut found: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, expected, "{from} looks for {name}: {said}");
}

/// The drop counter of a container reaches a number.
#[track_caller]
fn drops_reach(world: &World, container: &str, network: &str, reason: &str, least: u64) {
    eventually(reason, || match world.drops(container, network, reason) {
        now if now >= least => Ok(()),
        now => Err(format!("{now}")),
    });
}
