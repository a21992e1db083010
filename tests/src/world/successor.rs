//! A process that has the number of one that has ended, as it may happen on a machine that starts many.

use std::ffi::CString;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::Namespace;

/// Sleeps until dropped.
pub struct Successor(Pid);

impl Successor {
    /// Inside a namespace, with the number of a process that has been waited for.
    pub fn of(number: u32, namespace: &Namespace) -> Self {
        let number = number.cast_signed();
        let program = CString::new("/bin/sleep").expect("a path");
        let arguments = ["sleep", "1000"].map(|argument| CString::new(argument).expect("an argument"));
        let started = || {
            let arguments = [arguments[0].as_ptr(), arguments[1].as_ptr(), std::ptr::null()];
            // SAFETY: all-zero is a valid `clone_args`
            let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
            how.exit_signal = libc::SIGCHLD as u64;
            how.set_tid = (&raw const number) as u64;
            how.set_tid_size = 1;
            // SAFETY: `how` is as long as the call is told, and what it points to lives
            let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of_val(&how)) };
            if pid == 0 {
                // SAFETY: program and arguments end with zeros; the child does nothing else, and `execv` and `_exit`
                // are safe after a fork
                unsafe {
                    libc::execv(program.as_ptr(), arguments.as_ptr());
                    libc::_exit(127);
                }
            }
            if pid < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        };
        namespace
            .enter(started)
            .unwrap_or_else(|error| panic!("process {number} again: {error}"));
        Self(Pid::from_raw(number))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}
