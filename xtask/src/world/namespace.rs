//! Network namespaces: made, entered, and gone with the descriptor that holds them.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

use super::process;
use crate::setup::programs;

pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Loopback up; forwarding off, whatever the machine's own setting taught new namespaces.
    pub fn new() -> Result<Self> {
        let file = thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            File::open("/proc/thread-self/ns/net").context("open the new network namespace")
        })
        .join()
        .map_err(|_| anyhow!("the thread that makes a namespace panicked"))??;
        let namespace = Self { file };
        for setting in [
            "ipv4/ip_forward",
            "ipv4/conf/all/forwarding",
            "ipv4/conf/default/forwarding",
        ] {
            namespace.set(setting, "0")?;
        }
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// A path that other processes can open for as long as this one holds the namespace.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// A command that runs inside, in a process group of its own so that a terminal's Ctrl-C
    /// reaches only us; it dies with us.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", programs::path());
        let descriptor = self.file.as_raw_fd();
        command.process_group(0);
        // SAFETY: between fork and exec only two system calls are made, on a descriptor that the
        // caller's borrow keeps open; neither allocates.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(descriptor, libc::CLONE_NEWNET) != 0
                    || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command
    }

    /// Moves this thread inside, for good.
    pub fn enter(&self) -> Result<()> {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).context("enter a network namespace")
    }

    /// Runs `work` on a thread that is inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| self.enter().and_then(|()| work()))
                .join()
                .map_err(|_| anyhow!("a thread inside a namespace panicked"))?
        })
    }

    /// Sets `/proc/sys/net/SETTING`.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        self.inside(|| {
            fs::write(format!("/proc/sys/net/{setting}"), value).with_context(|| format!("set {setting} to {value}"))
        })
    }

    /// `ip ARGUMENTS`, separated by spaces.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        process::check(self.command("ip").args(arguments.split_whitespace()))
    }
}
