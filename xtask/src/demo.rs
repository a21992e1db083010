//! `cargo xtask demo`: the tutorial that netswitch was asked for with, step by step, on a host of
//! its own: real commands, real output, and every step checks what it must show.

mod containers;
mod networks;
mod ports;
mod redis;
mod screen;
mod speed;
mod stage;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::setup::{Need, programs::Programs};
use crate::world;
use stage::Stage;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show this netswitch instead of building one
    #[arg(long, value_name = "FILE")]
    netswitch: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let needs = [Need::Host, Need::Shell, Need::Traffic, Need::Redis];
    let binary = world::netswitch_as_root(args.netswitch, &needs)?;
    let _programs = Programs::link()?;
    world::catch_signals()?;
    let start = Instant::now();
    let mut stage = Stage::new(&binary)?;
    tour(&mut stage).inspect_err(|_| stage.break_off())?;
    stage.finish()?;
    println!("\nEverything above ran in {} s.", start.elapsed().as_secs());
    Ok(())
}

fn tour(stage: &mut Stage) -> Result<()> {
    containers::host_alone(stage)?;
    containers::first_container(stage)?;
    containers::second_container(stage)?;
    containers::default_network(stage)?;
    containers::link(stage)?;
    ports::published(stage)?;
    ports::masqueraded(stage)?;
    networks::create(stage)?;
    networks::names(stage)?;
    networks::isolation(stage)?;
    networks::connect(stage)?;
    redis::start_nodes(stage)?;
    redis::published(stage)?;
    redis::create_cluster(stage)?;
    redis::redirected_set(stage)?;
    redis::failover(stage)?;
    speed::side_by_side(stage)
}
