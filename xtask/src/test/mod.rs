//! `cargo xtask test`: builds every test, runs them as root, and shows which row of the tutorial each one proves.

mod build;
mod libtest;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use self::build::Binary;
use self::libtest::Report;
use crate::seed::{self, Outcome};
use crate::setup::programs::Programs;
use crate::setup::{self, Need};
use crate::vm::Extent;
use crate::{place, vm};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run the tests whose name contains this; rows without a test are no failure then
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    /// Leave out the run on the oldest kernel
    #[arg(long, conflicts_with = "vm_only")]
    no_vm: bool,
    /// Run on the oldest kernel and nothing else
    #[arg(long)]
    vm_only: bool,
    /// Run every datapath test on the oldest kernel, and not those alone that can differ by kernel
    #[arg(long, conflicts_with = "no_vm")]
    all_in_vm: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wants_vm = !arguments.no_vm && arguments.only.is_none();
    let has_vm = wants_vm && setup::why_no_machine().is_none();
    let mut needs = vec![Need::Ebpf, Need::Host];
    if !arguments.vm_only {
        needs.extend([
            Need::Shell,
            Need::Redis,
            Need::Traffic,
            Need::Inspect,
            Need::Names,
            Need::DockerClient,
        ]);
    }
    if has_vm {
        needs.push(Need::Vm);
    }
    setup::ensure(&needs)?;

    let netswitch = crate::build::netswitch(false)?;
    let binaries = build::binaries()?;
    let mut report = Report::default();
    if !arguments.vm_only {
        let _programs = Programs::link()?;
        for binary in binaries.iter().filter(|binary| binary.name != build::IN_VM) {
            report.add(libtest::run(binary, &netswitch, arguments.only.as_deref())?);
        }
    }
    let proofs = report.tests.clone();
    if has_vm {
        let extent = if arguments.all_in_vm {
            Extent::All
        } else {
            Extent::ByKernel
        };
        report.add(run_in_vm(&binaries, &netswitch, extent)?);
    } else if let (true, Some(reason)) = (wants_vm, setup::why_no_machine()) {
        println!("VM 6.1: skipped, {reason}");
    }

    let missing = if arguments.vm_only {
        0
    } else {
        print_rows(&proofs, arguments.only.is_some())
    };
    let failed = report.tests.iter().filter(|(_, passed)| !passed);
    let names: BTreeSet<_> = failed.clone().map(|(name, _)| name).collect();
    for name in names {
        println!("failed: {name}");
    }
    let failed = failed.count() + missing;
    println!("{} passed, {failed} failed", report.tests.len() + missing - failed);
    if failed > 0 {
        bail!("not every test passed");
    }
    if report.tests.is_empty() {
        bail!("no test ran");
    }
    Ok(())
}

fn run_in_vm(binaries: &[Binary], netswitch: &Path, extent: Extent) -> Result<Report> {
    let find = |name: &str| {
        let binary = binaries.iter().find(|binary| binary.name == name);
        binary.with_context(|| format!("the package `tests` has no test called {name} to run in the VM"))
    };
    let programs = vm::Programs {
        datapath: &find("datapath")?.path,
        devices: &find(build::IN_VM)?.path,
        netswitch,
    };
    let start = Instant::now();
    println!("VM 6.1: booting");
    let lines = vm::run(&setup::machine()?, &programs, extent)?;
    let mut report = Report::default();
    for line in lines.lines() {
        report.read(line);
    }
    let rows = report.tests.len();
    if rows == 0 {
        println!("{lines}");
    }
    for line in lines.lines().filter_map(|line| line.strip_prefix(vm::RESULT)) {
        let (name, passed) = line.rsplit_once(' ').unwrap_or((line, "failed"));
        report.tests.push((name.trim().to_owned(), passed == "ok"));
    }
    report.finish(
        "VM 6.1: datapath rows, two containers ping, kinds of uplinks",
        start.elapsed(),
    );
    if report.tests.iter().any(|(_, passed)| !passed) {
        println!("{lines}");
    }
    if !lines.contains(vm::END) {
        bail!("the VM stopped before its tests ended:\n{lines}");
    }
    report.prefix("VM 6.1: ");
    Ok(report)
}

/// Prints row, test and result; returns how many rows no test proves.
fn print_rows(tests: &[(String, bool)], is_filtered: bool) -> usize {
    let mut missing = 0;
    println!("\nrow  result   test");
    for (row, outcome) in seed::outcomes(tests) {
        let (result, names) = match outcome {
            Outcome::Missing if is_filtered => continue,
            Outcome::Missing => {
                missing += 1;
                ("MISSING", vec![format!("no test: {}", row.observed)])
            }
            Outcome::Passed(names) => ("ok", names),
            Outcome::Failed(names) => ("FAILED", names),
        };
        let names = row
            .proof()
            .filter(|_| result != "MISSING")
            .map_or(names, |proof| vec![proof]);
        for (index, name) in names.iter().enumerate() {
            if index == 0 {
                println!("S{:02}  {result:<8} {name}", row.number);
            } else {
                println!("{:14}{name}", "");
            }
        }
    }
    println!();
    missing
}

/// The environment that tests rely on.
fn environment(netswitch: &Path) -> Vec<(&'static str, std::ffi::OsString)> {
    let mut variables = vec![
        ("PATH", setup::programs::path()),
        ("NETSWITCH_BINARY", netswitch.into()),
        ("RUST_BACKTRACE", "1".into()),
    ];
    let docker = place::tools().join("docker");
    if docker.exists() {
        variables.push(("NETSWITCH_DOCKER", docker.into()));
    }
    variables
}
