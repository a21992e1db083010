//! One TCP stream through netswitch and through a kernel bridge, in turns.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::stage::Stage;
use crate::bench::series::median;
use crate::bench::traffic::{self, CLIENT_CPU, server_cpu};
use crate::progress::Step;
use crate::world::namespace::Namespace;
use crate::world::{link, process};

const ROUNDS: usize = 3;

pub fn side_by_side(stage: &mut Stage) -> Result<()> {
    stage
        .screen
        .heading("How fast: netswitch beside a kernel bridge", "S10");
    let receive = format!("taskset --cpu-list {} iperf3 --server", server_cpu());
    stage.show(&format!("netswitch run -d --name receiver -- {receive}"))?;
    stage.show("netswitch run -d --name sender -- sleep infinity")?;
    let receiver = stage.ask_json("netswitch inspect receiver")?;
    let address = receiver["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .context("the receiver has no address")?
        .to_owned();
    let through_netswitch = format!("netswitch exec sender {}", send(&address));
    stage.screen.command(&through_netswitch);
    stage
        .screen
        .note("and the same between two namespaces on a bare kernel bridge, in turns, three times");

    let (left, right) = (Namespace::new()?, Namespace::new()?);
    let (sender, receiver) = (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3));
    let _switch = link::bridge("br0", &[(&left, sender), (&right, receiver)], false)?;
    let _server = traffic::start_iperf_server(&right)?;
    let through_bridge = send(&receiver.to_string());
    let mut words = through_bridge.split_whitespace();
    let program = words.next().context("an empty command")?;
    let words: Vec<&str> = words.collect();

    let step = Step::start("twelve seconds of traffic");
    let (mut netswitch, mut bridge) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        netswitch.push(gigabits(&stage.ask(&through_netswitch)?)?);
        bridge.push(gigabits(&process::check(left.command(program).args(&words))?)?);
    }
    step.end("done");
    let ratios: Vec<f64> = netswitch
        .iter()
        .zip(&bridge)
        .map(|(netswitch, bridge)| netswitch / bridge)
        .collect();
    let table = format!(
        "netswitch      {:>6.2} Gbit/s\nkernel bridge  {:>6.2} Gbit/s\nratio          {:>6.2}",
        median(&netswitch),
        median(&bridge),
        median(&ratios)
    );
    stage.screen.output(&table, 3);
    stage.prove(
        netswitch.iter().all(|gigabits| *gigabits > 0.1),
        "one stream, sender and receiver pinned to a CPU each, median of three; `cargo xtask bench` measures properly",
    )
}

fn send(address: &str) -> String {
    format!("taskset --cpu-list {CLIENT_CPU} iperf3 --client {address} --time 2 --json")
}

fn gigabits(answer: &str) -> Result<f64> {
    traffic::received_gigabits(&serde_json::from_str(answer).context("iperf3 did not answer in JSON")?)
}
