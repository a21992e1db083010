//! Ctrl-C and its like, for a command that has something to finish.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static CAUGHT: AtomicBool = AtomicBool::new(false);

/// From now on the first such signal is only noted, and ends the system call that waits; the next one kills.
pub fn catch() -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only writes an atomic
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

/// Whether there was one.
pub fn caught() -> bool {
    CAUGHT.load(Ordering::Relaxed)
}

extern "C" fn note(_: libc::c_int) {
    CAUGHT.store(true, Ordering::Relaxed);
}
