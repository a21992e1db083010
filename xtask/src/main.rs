//! `cargo xtask`: everything around netswitch, from a bare machine to the benchmark. One file per command.
#![expect(clippy::print_stdout, reason = "these commands are there to print")]
#![expect(clippy::print_stderr, reason = "progress and failures go to standard error")]

mod bench;
mod build;
mod check;
mod command;
mod demo;
mod fuzz;
mod isolation;
mod load;
mod place;
mod progress;
mod seed;
mod setup;
mod test;
mod vm;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, build, demo, tests and benchmarks of netswitch; each command does the set-up that it needs
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the eBPF programs are built with
    Setup(setup::Arguments),
    /// Build everything, eBPF included
    Build(build::Arguments),
    /// Build for release and start the agent on this host
    BuildAndLoad(load::Arguments),
    /// Walk through the tutorial: networks, names and a six-node Redis cluster
    Demo(demo::Args),
    /// Run every test and show which row of the tutorial each one proves
    Test(test::Arguments),
    /// Feed the agent or the programs generated inputs until one is too much, or for so many runs
    Fuzz(fuzz::Arguments),
    /// Record what Docker Engine isolates, for docs/isolation.md
    Isolation,
    /// Check formatting, lints, the eBPF crate's imports and stack, licences and advisories
    Check(check::Arguments),
    /// Measure against a direct veth pair, the kernel bridge, and docker0 with its rules and its proxy
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::BuildAndLoad(arguments) => load::run(&arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Isolation => isolation::run(),
        Command::Check(arguments) => check::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
