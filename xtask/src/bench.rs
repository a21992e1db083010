//! `cargo xtask bench`: how fast netswitch is beside a direct veth pair, a bare kernel bridge and a
//! bridge as Docker sets it up, on one machine in one run.
//!
//! Machines drift, so peers take turns within each round, in an order that rotates, and what is
//! judged is the median of the per-round ratios. `direct_again` is a second veth pair like the
//! first: how far its ratio is from 1 is how far any other can be trusted.

mod peer;
mod program;
mod report;
pub mod series;
pub mod traffic;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::setup::Need;
use crate::world::{self, Directory};
use peer::{Pair, Peer};
use series::Series;

/// A scenario that is still noisy after this many rounds is called so.
const MOST_ROUNDS: usize = 21;

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

    /// Measure only this peer, beside direct; may be repeated
    #[arg(long, value_name = "NAME")]
    peer: Vec<Peer>,

    /// Measure this netswitch instead of building one
    #[arg(long, value_name = "FILE")]
    netswitch: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Scenario {
    /// One TCP stream by iperf3, what the receiver got
    TcpStream,
    /// 64-byte datagrams by iperf3, as many as go: what the receiver got
    #[value(name = "udp_64b")]
    Udp64b,
    /// One 64-byte request and its answer at a time: the median
    TcpRr,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::TcpStream => "tcp_stream",
            Self::Udp64b => "udp_64b",
            Self::TcpRr => "tcp_rr",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::TcpStream => "Gbit/s",
            Self::Udp64b => "packets/s",
            Self::TcpRr => "us",
        }
    }

    fn better(self) -> &'static str {
        match self {
            Self::TcpStream | Self::Udp64b => "higher",
            Self::TcpRr => "lower",
        }
    }

    /// BIG TCP changes the size of segments, so only bulk TCP is measured with it.
    fn concerns(self, peer: Peer) -> bool {
        self == Self::TcpStream || !matches!(peer, Peer::DirectBigTcp | Peer::NetswitchBigTcp)
    }

    fn measure(self, pair: &Pair) -> Result<f64> {
        match self {
            Self::TcpStream => traffic::tcp_stream(pair),
            Self::Udp64b => traffic::udp_64b(pair),
            Self::TcpRr => traffic::tcp_rr(pair),
        }
        .with_context(|| format!("{} on {}", self.name(), pair.peer.name()))
    }
}

pub fn run(args: Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds 0 measures nothing");
    let scenarios = if args.scenario.is_empty() {
        Scenario::value_variants()
    } else {
        &args.scenario
    };
    let peers = chosen_peers(&args.peer, scenarios);
    let binary = world::netswitch_as_root(args.netswitch, &[Need::Host, Need::Traffic, Need::Rivals])?;
    world::catch_signals()?;

    let directory = Directory::new("bench")?;
    let field = peer::Field::new(&peers, &binary, directory.path())?;
    let mut all = Vec::new();
    for &scenario in scenarios {
        let series = play(scenario, field.pairs(), args.rounds)?;
        report::print_table(&series);
        all.push(series);
    }
    if let Some(pair) = field.pairs().iter().find(|pair| pair.peer == Peer::Netswitch) {
        report::print_programs(&program::cost(|| traffic::udp_64b(pair).map(drop))?);
    }
    // results are worth keeping even where something stayed behind
    let finished = field.finish();
    if let Some(file) = &args.json {
        report::write_json(file, args.rounds, &all)?;
    }
    let hold = !args.floors || report::print_floors(&all);
    finished?;
    ensure!(hold, "a floor does not hold");
    Ok(())
}

/// Those asked for, or all that a scenario concerns; direct always, because all are judged by it.
fn chosen_peers(asked: &[Peer], scenarios: &[Scenario]) -> Vec<Peer> {
    Peer::value_variants()
        .iter()
        .copied()
        .filter(|peer| asked.is_empty() || *peer == Peer::Direct || asked.contains(peer))
        .filter(|peer| scenarios.iter().any(|scenario| scenario.concerns(*peer)))
        .collect()
}

/// All rounds of one scenario.
fn play(scenario: Scenario, pairs: &[Pair], rounds: usize) -> Result<Series> {
    let pairs: Vec<&Pair> = pairs.iter().filter(|pair| scenario.concerns(pair.peer)).collect();
    let mut series = Series::new(scenario, pairs.iter().map(|pair| pair.peer));
    let bar = ProgressBar::new((rounds * pairs.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} {msg}")?);
    bar.set_prefix(scenario.name());
    while series.rounds() < rounds || (series.is_noisy() && series.rounds() < MOST_ROUNDS) {
        if series.rounds() >= rounds {
            bar.inc_length(pairs.len() as u64);
        }
        let mut figures = vec![0.0; pairs.len()];
        for turn in 0..pairs.len() {
            let index = (turn + series.rounds()) % pairs.len();
            bar.set_message(pairs[index].peer.name());
            figures[index] = scenario.measure(pairs[index])?;
            world::interrupted()?;
            bar.inc(1);
        }
        series.push(&figures);
    }
    bar.finish_and_clear();
    Ok(series)
}
