//! Debian's docker command line, the stock client of the compatibility tests: one static binary, taken out of its
//! package, so that no engine comes with it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::apt;
use crate::place;

/// The docker client, fetched when it is not there yet.
pub(crate) fn client() -> Result<PathBuf> {
    let client = place::tools().join("docker");
    if !client.exists() {
        let package = place::tools().join("docker.io");
        apt::unpack(&["docker.io"], &package)?;
        fs::rename(package.join("usr/bin/docker"), &client).with_context(|| client.display().to_string())?;
        fs::remove_dir_all(&package).with_context(|| package.display().to_string())?;
    }
    Ok(client)
}
