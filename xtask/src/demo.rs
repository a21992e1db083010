//! `cargo xtask demo`: the tutorial, step by step.

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_arguments: Args) -> anyhow::Result<()> {
    anyhow::bail!("the demo is not there yet")
}
