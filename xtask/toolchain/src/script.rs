//! The build script of `netswitch`: the eBPF object goes to `OUT_DIR`, where the agent embeds it from.
#![expect(clippy::print_stdout, reason = "a build script speaks to cargo on standard output")]
#![expect(clippy::print_stderr, reason = "cargo shows a failed build script's standard error")]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::build::{self, OBJECT};
use crate::{Error, at};

/// What `build.rs` runs.
pub fn run() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ Error::NotSetUp(_)) => {
            println!("cargo::error={error}"); // one sentence, without a trace
            ExitCode::SUCCESS
        }
        Err(error @ Error::Failed(_)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Error> {
    let variable = |name| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let (crate_root, out) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    let root = crate_root.parent().unwrap_or(&crate_root);
    for source in ["netswitch-ebpf", "netswitch-common", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // cargo marks the target folder, whatever it is called, and the one of a chosen platform inside it
    let platform = variable("TARGET");
    let target = out
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists() && !directory.ends_with(&platform))
        .unwrap_or(&out);
    let object = build::object(root, target)?;
    fs::copy(&object, out.join(OBJECT)).map_err(at(&object))?;
    Ok(())
}
