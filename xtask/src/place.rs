//! Where things are: the workspace, the target folder, and the tools of our own in it.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => env::current_dir().unwrap_or_default().join(directory),
        None => root().join("target"),
    }
}

/// What set-up keeps here instead of installing it on the machine.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The built program `name`.
pub(crate) fn binary(name: &str, release: bool) -> PathBuf {
    target().join(if release { "release" } else { "debug" }).join(name)
}
