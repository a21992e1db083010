//! Debian's docker command line, the stock client of the compatibility tests, and the engine's userland proxy, which
//! the benchmark measures against: two static binaries, taken out of their package, so that no engine comes with them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::apt;
use crate::place;

/// The docker client, fetched when it is not there yet.
pub(crate) fn client() -> Result<PathBuf> {
    program("usr/bin/docker")
}

/// `docker-proxy`, fetched when it is not there yet.
pub(crate) fn proxy() -> Result<PathBuf> {
    program("usr/sbin/docker-proxy")
}

/// The whole engine, with what its containers run; fetched when it is not there yet.
pub(crate) fn engine() -> Result<PathBuf> {
    let engine = place::tools().join("engine");
    if !engine.exists() {
        apt::unpack(&["busybox-static", "containerd", "runc", "docker.io"], &engine)?;
    }
    Ok(engine)
}

fn program(packaged: &str) -> Result<PathBuf> {
    let name = packaged.rsplit('/').next().unwrap_or(packaged);
    let program = place::tools().join(name);
    if !program.exists() {
        let package = place::tools().join("docker.io");
        apt::unpack(&["docker.io"], &package)?;
        fs::rename(package.join(packaged), &program).with_context(|| program.display().to_string())?;
        fs::remove_dir_all(&package).with_context(|| package.display().to_string())?;
    }
    Ok(program)
}
