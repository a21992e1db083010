//! A thread of another process that does not go on.

use std::fs;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Until this is dropped, by the thread that made it.
pub struct Frozen(Pid);

impl Frozen {
    /// The thread of this name.
    pub fn thread(process: Pid, name: &str) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a process");
        let mut threads = threads.map(|thread| thread.expect("a thread").path());
        let is_named = |comm: String| comm.trim_end() == name;
        let thread = threads.find(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(is_named));
        let thread = thread.unwrap_or_else(|| panic!("process {process} has no thread {name}"));
        let number = thread.file_name().and_then(|name| name.to_str()?.parse().ok());
        let thread = Pid::from_raw(number.expect("a thread's number"));
        ptrace::seize(thread, ptrace::Options::empty()).expect("it is traced");
        let frozen = Self(thread);
        ptrace::interrupt(thread).expect("it is interrupted");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it has stopped");
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // it may have ended with its process
        let _ = ptrace::detach(self.0, None);
    }
}
