//! A private world for `demo` and `bench`: namespaces, links and an agent that nothing else on the
//! machine sees, and that are gone when their owner goes.
//!
//! A namespace is held by a descriptor of this process alone, so even a killed run leaves none behind.

pub mod agent;
pub mod link;
pub mod namespace;
pub mod process;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::setup::{self, Need};
use crate::{build, command};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_signal(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on INT, TERM and HUP make the next [`interrupted`] an error instead of ending the
/// process, so that every owner on the way out can clean up.
pub fn catch_signals() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }.with_context(|| format!("catch {signal}"))?;
    }
    Ok(())
}

/// An error once per signal: what cleans up afterwards is not interrupted by the same one.
pub fn interrupted() -> Result<()> {
    if INTERRUPTED.swap(false, Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// A folder under the machine's temporary one, removed with everything in it on drop.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("netswitch-{name}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // what cannot be removed is a mount left by the agent, which its purge has reported
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Sets up `needs` and says which netswitch to run: `given`, or one built now. From here on we are
/// root, if need be through sudo, which starts us again with the same arguments and `--netswitch`.
pub fn netswitch_as_root(given: Option<PathBuf>, needs: &[Need]) -> Result<PathBuf> {
    setup::ensure(needs)?;
    let binary = if let Some(binary) = given {
        binary
    } else {
        setup::ensure(&[Need::Ebpf])?;
        build::netswitch(true)?
    };
    if !nix::unistd::geteuid().is_root() {
        let this = std::env::current_exe().context("find xtask's own binary")?;
        let mut again = command::as_root(this);
        again.args(std::env::args_os().skip(1)).arg("--netswitch").arg(&binary);
        return Err(again.exec()).context("become root through sudo");
    }
    Ok(binary)
}
