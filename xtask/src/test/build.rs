//! Builds the test binaries and asks cargo where they are.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::command;

/// A test binary.
pub(super) struct Binary {
    pub(super) name: String,
    /// Where its sources are; tests run there, as under `cargo test`.
    pub(super) package: PathBuf,
    pub(super) path: PathBuf,
    /// Belongs to the package `tests`: needs root and namespaces, runs after the unit tests.
    is_integration: bool,
}

/// The part of cargo's messages that we read.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The order among the integration tests, from the ground up.
const ORDER: [&str; 3] = ["datapath", "network", "cli"];

/// The one that runs in the machine alone: other kernels may lack its devices.
pub(super) const IN_VM: &str = "devices";

/// Every test binary of the workspace, unit tests first.
pub(super) fn binaries() -> Result<Vec<Binary>> {
    let mut cargo = command::cargo();
    let output = cargo
        .args([
            "test",
            "--workspace",
            "--exclude",
            "fuzz",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo test --no-run")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let mut binaries: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(binary)
        .collect();
    binaries.sort_by_key(|binary| {
        let place = ORDER
            .iter()
            .position(|name| *name == binary.name)
            .unwrap_or(ORDER.len());
        (binary.is_integration, place, binary.name.clone())
    });
    Ok(binaries)
}

fn binary(message: &str) -> Option<Binary> {
    let message: Message = serde_json::from_str(message).ok()?;
    let package = message.manifest_path?.parent()?.to_owned();
    message.profile?.test.then_some(())?;
    Some(Binary {
        name: message.target?.name,
        is_integration: package.ends_with("tests"),
        package,
        path: message.executable?,
    })
}
