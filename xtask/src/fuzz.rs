//! `cargo xtask fuzz`: inputs without end. Those of `dns` are guided by the code that they reach (libFuzzer, a binary of
//! `tests/fuzz`); those of `packets` follow from a seed.

mod packets;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::progress::Step;
use crate::setup::{self, Need};
use crate::{command, place};

/// What libFuzzer is guided by: counters of the edges between blocks, and the operands of comparisons. As cargo-fuzz
/// sets them; a stable compiler takes them all.
const COVERAGE: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

const PROFILE: &str = "fuzzing";
/// Seconds after which one input has taken too long.
const SLOW: u32 = 10;
/// Lines of a failed fuzzer's log that are shown.
const SHOWN: usize = 20;

/// Where a target writes its seeds.
const SEEDS: &str = "NETSWITCH_FUZZ_SEEDS";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is fed
    target: Target,
    /// How many inputs
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// Feed this file alone, once: an input that was found
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    input: Option<PathBuf>,
    /// Of packets: play the sequence with this seed alone, one that has failed
    #[arg(long, conflicts_with_all = ["runs", "input"])]
    seed: Option<u64>,
    /// Only these of its steps, as a failure names them
    #[arg(long, requires = "seed", value_name = "STEP,STEP,…")]
    steps: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    /// Questions about names, to the agent's server and to the switch's rules
    Dns,
    /// Sequences of packets, to the loaded programs; a run is a packet
    Packets,
}

/// Bytes of the longest input: enough for a question with all its options.
const LONGEST: usize = 640;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.target {
        Target::Dns if arguments.seed.is_some() => bail!("a seed is of `packets`; `dns` has --input"),
        Target::Dns => feed("dns", arguments),
        Target::Packets if arguments.input.is_some() => bail!("an input is of `dns`; `packets` has --seed"),
        Target::Packets => packets::run(arguments.runs, arguments.seed, arguments.steps.as_deref()),
    }
}

/// Has libFuzzer feed a binary of `tests/fuzz`.
fn feed(name: &str, arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Fuzz])?;
    let fuzzer = build(name)?;
    if let Some(input) = &arguments.input {
        return command::run(Command::new(fuzzer).arg(input));
    }
    let directory = place::target().join("fuzz").join(name);
    let [corpus, seeds] = ["corpus", "seeds"].map(|folder| directory.join(folder));
    for folder in [&corpus, &seeds] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log = directory.join("log");
    let step = Step::start(format!("{name}: {} runs, told in {}", arguments.runs, log.display()));
    let status = Command::new(fuzzer)
        .env(SEEDS, &seeds)
        // what it panics with is shown, and not lost above a trace
        .env("RUST_BACKTRACE", "0")
        .arg(format!("-runs={}", arguments.runs))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-artifact_prefix={}/", directory.display()))
        .arg(format!("-timeout={SLOW}"))
        .args([&corpus, &seeds])
        .stderr(File::create(&log)?)
        .status()
        .with_context(|| format!("the fuzzer of {name}"))?;
    let told = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if status.success() {
        step.end(&format!(
            "no crash; {} edges reached",
            after(&told, "DONE   cov: ").unwrap_or("no")
        ));
        return Ok(());
    }
    step.end("failed");
    let last: Vec<_> = told.lines().rev().take(SHOWN).collect();
    for line in last.iter().rev() {
        eprintln!("{line}");
    }
    match after(&told, "Test unit written to ") {
        Some(input) => bail!("an input was too much; once more: cargo xtask fuzz {name} --input {input}"),
        None => bail!("the fuzzer of {name}: {status}"),
    }
}

/// Builds the target with coverage, in a profile of its own, and returns its path.
fn build(name: &str) -> Result<PathBuf> {
    // a platform is chosen, so that build scripts go without coverage
    let platform = command::read(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let mut cargo = command::cargo();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    cargo.args(["build", "--package", "fuzz", "--bin", name]);
    cargo.args(["--profile", PROFILE, "--target", platform.trim()]);
    command::run(&mut cargo)?;
    Ok(place::target().join(platform.trim()).join(PROFILE).join(name))
}

/// The word behind the last `mark`.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.rsplit_once(mark)?.1.split_whitespace().next()
}
