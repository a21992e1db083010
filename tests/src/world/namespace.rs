//! A network namespace without a name: its file keeps it, a thread or a child enters it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};
use std::{panic, thread};

use nix::sched::{CloneFlags, setns, unshare};

use super::Output;

pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one that forwards nothing: it would inherit that from a machine whose Docker switched it on.
    pub fn new() -> Self {
        let namespace = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root, for a network namespace");
            for path in [
                "ipv4/ip_forward",
                "ipv4/conf/default/forwarding",
                "ipv6/conf/all/forwarding",
            ] {
                fs::write(format!("/proc/sys/net/{path}"), "0").expect(path);
            }
            Self::open("/proc/thread-self/ns/net")
        });
        let namespace = namespace.join().expect("a namespace");
        namespace.sh("ip link set lo up").ok();
        namespace
    }

    pub fn open(path: &str) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { file }
    }

    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// For others to open, while this process lives and holds it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.descriptor())
    }

    /// Calls a function on a thread inside.
    pub fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        let result = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).expect("entering a namespace");
                function()
            });
            inside.join()
        });
        result.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }

    /// A command that runs inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let file = self.file.try_clone().expect("a descriptor");
        // SAFETY: setns is a bare system call, safe between fork and exec.
        unsafe {
            command.pre_exec(move || Ok(setns(&file, CloneFlags::CLONE_NEWNET)?));
        }
        command
    }

    /// A line of shell inside; at most a minute of it.
    pub fn sh(&self, line: &str) -> Output {
        Output::of(self.command("timeout").args(["60", "sh", "-c", line]))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}
