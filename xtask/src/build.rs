//! `cargo xtask build`: everything, eBPF included.

use std::path::PathBuf;

use anyhow::Result;

use crate::setup::{self, Need};
use crate::{command, place};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Optimised, as for real use
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Need::Ebpf])?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--workspace", "--exclude", "fuzz"]);
    if arguments.release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)
}

/// Builds the program `netswitch`, agent and command line in one, and returns its path.
pub(crate) fn netswitch(release: bool) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "netswitch"]);
    if release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    Ok(place::binary("netswitch", release))
}
