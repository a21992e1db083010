//! `cargo xtask check`: formatting, lints of both sides, the eBPF crate's imports and the stack its programs take,
//! licences, bans, sources and advisories.

mod imports;
mod stack;

use anyhow::{Context as _, Result, bail};
use toolchain::detect;

use crate::setup::{self, Need};
use crate::{command, place};

/// clippy's driver for Debian's compiler, from `rust-web-clippy`.
const EBPF_CLIPPY: &str = "/usr/bin/clippy-driver";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the one check of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Check, Need::Fuzz])?;
    let all = [
        ("fmt", format as fn() -> Result<()>),
        ("clippy", lint),
        ("clippy, eBPF", lint_ebpf),
        ("imports", imports::run),
        ("stack", stack::run),
        ("deny", deny),
    ];
    let is_wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let checks: Vec<_> = all.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    if checks.is_empty() {
        bail!("the checks are: {}", all.map(|(name, _)| name).join("; "));
    }
    let mut failed = Vec::new();
    for (name, check) in &checks {
        println!("check {name}");
        if let Err(error) = check() {
            eprintln!("{error:#}");
            failed.push(*name);
        }
    }
    println!("{} passed, {} failed", checks.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))
}

fn lint() -> Result<()> {
    command::run(command::cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// The workspace's clippy sees the host's stub only; this sees the programs, and rustc's own warnings where the
/// compiler for BPF has no clippy.
fn lint_ebpf() -> Result<()> {
    let compiler = detect::compilers().into_iter().next().context("no compiler for BPF")?;
    let linker = detect::linker(&place::tools().join("bin")).context("no bpf-linker")?;
    // a folder of its own: other flags would build the object anew at every turn
    let target = place::target().join("check");
    let mut cargo = toolchain::build::cargo(&compiler, &linker, place::root(), &target, "check", &["-Dwarnings"]);
    if compiler.rustc.starts_with("/usr/bin") && command::find("clippy-driver").is_some() {
        cargo.env("RUSTC_WORKSPACE_WRAPPER", EBPF_CLIPPY);
    }
    command::run(&mut cargo)
}

fn deny() -> Result<()> {
    let deny = |checks: &[&str]| {
        let mut command = command::cargo();
        command
            .env("PATH", command::path())
            .args(["deny", "check", "--hide-inclusion-graph"])
            .args(checks);
        command
    };
    let mut fetch = command::cargo();
    fetch.env("PATH", command::path()).args(["deny", "fetch", "db"]);
    if command::succeeds(&mut fetch) {
        return command::run(&mut deny(&["advisories", "bans", "licenses", "sources"]));
    }
    println!("the advisory database cannot be fetched from here: advisories are not checked");
    command::run(&mut deny(&["bans", "licenses", "sources"]))
}
