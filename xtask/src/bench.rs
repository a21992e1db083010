//! `cargo xtask bench`: speed against a direct veth pair, the kernel bridge and docker0.

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_arguments: Args) -> anyhow::Result<()> {
    anyhow::bail!("the benchmark is not there yet")
}
