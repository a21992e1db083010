//! `cargo xtask bench`: how fast netswitch is beside a direct veth pair, a bare kernel bridge, and bridge, rules and
//! proxy as Docker sets them up, and how fast it answers for names beside dnsmasq, on one machine in one run.
//!
//! Machines drift, so peers take turns within each round, in an order that rotates, and what is
//! judged is the median of the per-round ratios. `direct_again` is a second veth pair like the
//! first: how far its ratio is from 1 is how far any other can be trusted.

mod costs;
mod field;
mod lifecycle;
mod limits;
mod monitor;
mod peer;
mod policy;
mod program;
mod publication;
mod question;
mod report;
mod scenario;
pub mod series;
pub mod traffic;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::setup::{Need, programs::Programs};
use crate::world::{self, Directory};
use field::Field;
use peer::Peer;
use scenario::Scenario;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// How often every peer is measured; a noisy scenario gets up to 21
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: usize,

    /// Write the results to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Judge the results: print each floor with pass or fail, and fail when one does
    #[arg(long)]
    floors: bool,

    /// Measure only this; may be repeated
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,

    /// Measure only this peer, beside the one that all are judged by; may be repeated
    #[arg(long, value_name = "NAME")]
    peer: Vec<Peer>,

    /// Measure this netswitch instead of building one
    #[arg(long, value_name = "FILE")]
    netswitch: Option<PathBuf>,

    /// Measure another netswitch beside it, in turns, as another peer
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
}

/// What the peers that are netswitch run.
pub struct Binaries {
    netswitch: PathBuf,
    before: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds 0 measures nothing");
    let scenarios = if args.scenario.is_empty() {
        Scenario::value_variants()
    } else {
        &args.scenario
    };
    let before = args.before.is_some() || !args.peer.contains(&Peer::NetswitchBefore);
    ensure!(before, "--peer netswitch_before needs --before FILE");
    let mut needs = vec![Need::Host, Need::Shell, Need::Traffic, Need::Inspect, Need::Rivals];
    if scenarios
        .iter()
        .any(|scenario| scenario.peers().contains(&Peer::DockerProxy))
    {
        needs.push(Need::DockerProxy);
    }
    let binaries = Binaries {
        netswitch: world::netswitch_as_root(args.netswitch, &needs)?,
        before: args.before,
    };
    let _programs = Programs::link()?;
    world::catch_signals()?;

    let directory = Directory::new("bench")?;
    let (mut all, mut finished) = (Vec::new(), Ok(()));
    for &scenario in scenarios {
        let mut field = Field::new(scenario, &args.peer, &binaries, directory.path())?;
        let mut series = field.play(args.rounds)?;
        report::print_table(&series);
        series.programs = field.programs(args.rounds)?;
        if let Some(costs) = &series.programs {
            report::print_programs(scenario, costs);
        }
        all.push(series);
        if let Some(told) = field.told() {
            report::print_told(scenario, told);
        }
        // results are worth keeping even where something stayed behind
        finished = finished.and(field.finish());
    }
    if let Some(file) = &args.json {
        report::write_json(file, args.rounds, &all)?;
    }
    let hold = !args.floors || report::print_floors(&all);
    finished?;
    ensure!(hold, "a floor does not hold");
    Ok(())
}
