//! The programs that tests, demo and benchmark may start. Their `PATH` is a folder with links to these alone, so one
//! that does not stand here is found on no machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use super::Need;
use crate::command;

/// Programs of a Debian package, and what needs them.
struct Package {
    needs: &'static [Need],
    name: &'static str,
    programs: &'static [&'static str],
    /// Of a library that tests build with: one of its headers.
    header: Option<&'static str>,
}

const fn package(needs: &'static [Need], name: &'static str, programs: &'static [&'static str]) -> Package {
    Package {
        needs,
        name,
        programs,
        header: None,
    }
}

/// The name by which Debian's `musl-gcc` starts the compiler.
const COMPILER: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-linux-gnu-gcc"
} else {
    "x86_64-linux-gnu-gcc"
};

const PACKAGES: &[Package] = &[
    package(&[Need::Shell], "bash", &["bash"]),
    package(&[Need::Shell], "bsdutils", &["script"]),
    package(
        &[Need::Shell],
        "coreutils",
        &[
            "cat", "echo", "env", "false", "head", "id", "ls", "mkdir", "mknod", "printf", "pwd", "readlink", "rm",
            "seq", "sleep", "stat", "stty", "test", "timeout", "touch", "tr", "true", "tty", "wc",
        ],
    ),
    package(&[Need::Shell], "dash", &["sh"]),
    package(&[Need::Shell], "grep", &["grep"]),
    package(&[Need::Shell], "hostname", &["hostname"]),
    package(&[Need::Shell], "libc-bin", &["getent"]),
    package(&[Need::Shell], "login", &["su"]),
    package(&[Need::Shell], "mawk", &["awk"]),
    package(&[Need::Shell], "mount", &["mount"]),
    package(&[Need::Shell], "perl-base", &["perl"]),
    package(&[Need::Shell], "procps", &["ps", "sysctl"]),
    package(&[Need::Shell], "util-linux", &["setpriv", "taskset", "unshare"]),
    package(&[Need::Redis], "redis-server", &["redis-server"]),
    package(&[Need::Redis], "redis-tools", &["redis-cli"]),
    package(&[Need::Traffic], "iperf3", &["iperf3"]),
    package(&[Need::Traffic], "iproute2", &["ip", "nstat", "ss", "tc"]),
    package(&[Need::Traffic], "iputils-ping", &["ping"]),
    package(&[Need::Inspect], "ethtool", &["ethtool"]),
    package(
        &[Need::Inspect, Need::Rivals],
        "iptables",
        &[
            "ip6tables",
            "ip6tables-save",
            "iptables",
            "iptables-restore",
            "iptables-save",
        ],
    ),
    package(&[Need::Inspect, Need::Rivals], "nftables", &["nft"]),
    package(&[Need::Inspect], "tcpdump", &["tcpdump"]),
    package(&[Need::Names], "bind9", &["named"]),
    package(&[Need::Names], "bind9-dnsutils", &["delv", "dig"]),
    package(&[Need::Names], "binutils", &["as", "ld"]), // which the compilers start
    package(&[Need::Names], "busybox", &["busybox"]),
    package(&[Need::Names, Need::Rivals], "dnsmasq-base", &["dnsmasq"]),
    package(&[Need::Names], "gcc", &["cc", COMPILER]),
    package(&[Need::Names], "ldnsutils", &["drill"]),
    Package {
        header: Some("/usr/include/ares.h"),
        ..package(&[Need::Names], "libc-ares-dev", &[])
    },
    package(&[Need::Names], "musl-tools", &["musl-gcc"]),
    package(&[Need::Names], "unbound", &["unbound"]),
];

/// Packages of what `need` needs and this machine does not have.
pub(super) fn missing_packages(need: Need) -> impl Iterator<Item = &'static str> {
    let packages = PACKAGES.iter().filter(move |package| package.needs.contains(&need));
    packages
        .filter(|package| package.is_missing())
        .map(|package| package.name)
}

impl Package {
    fn is_missing(&self) -> bool {
        let lacks = |program: &&str| command::find(program).is_none();
        self.programs.iter().any(lacks) || self.header.is_some_and(|header| !Path::new(header).exists())
    }
}

/// The only folder in the `PATH` of what is tested, shown or measured; it goes when this goes.
///
/// Not below the target folder: containers reach it too, which have a `/tmp` of their own, whoever their user is.
pub(crate) struct Programs(PathBuf);

/// How its name begins; the process's id follows.
const FOLDER: &str = "/var/tmp/netswitch-programs-";

static LINKED: OnceLock<PathBuf> = OnceLock::new();

impl Programs {
    /// Links every program of the list that this machine has.
    pub(crate) fn link() -> Result<Self> {
        remove_leftovers();
        let programs = Self(format!("{FOLDER}{}", process::id()).into());
        let folder = &programs.0;
        fs::create_dir(folder).with_context(|| folder.display().to_string())?;
        for program in PACKAGES.iter().flat_map(|package| package.programs) {
            if let Some(file) = command::find(program) {
                symlink(&file, folder.join(program)).with_context(|| format!("a link to {}", file.display()))?;
            }
        }
        LINKED.get_or_init(|| folder.clone());
        Ok(programs)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // a folder that is gone already is no loss
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The `PATH` that leads to [`Programs`], once they are linked.
pub(crate) fn path() -> OsString {
    LINKED.get().map(OsString::from).unwrap_or_default()
}

/// Folders of processes that were killed.
fn remove_leftovers() {
    let all = Path::new(FOLDER).parent().and_then(|folder| fs::read_dir(folder).ok());
    for folder in all.into_iter().flatten().flatten().map(|entry| entry.path()) {
        let process = folder.to_str().and_then(|folder| folder.strip_prefix(FOLDER));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // it may be another user's
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_stands_in_the_list_once() {
        let mut programs: Vec<_> = PACKAGES.iter().flat_map(|package| package.programs).collect();
        let all = programs.len();
        programs.sort_unstable();
        programs.dedup();
        assert_eq!(programs.len(), all);
    }
}
