//! The virtual machine with Debian 12's own kernel, the oldest that netswitch supports. All of it is unpacked and none
//! installed: `busybox-static` would replace `busybox`, and qemu's packages the backported ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::{command, place};

const EMULATOR: &str = "qemu-system-x86_64";

/// What it takes to boot the kernel.
pub(crate) struct Machine {
    emulator: Emulator,
    /// The kernel's image.
    pub(crate) image: PathBuf,
    /// The `kernel` folder below `/lib/modules/<release>`.
    pub(crate) modules: PathBuf,
    /// The shell that the initramfs starts with.
    pub(crate) busybox: PathBuf,
}

enum Emulator {
    Installed(PathBuf),
    /// The folder that stands for `/`.
    Unpacked(PathBuf),
}

/// Why there is no such machine here, if so.
pub(crate) fn why_not() -> Option<&'static str> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !cfg!(target_arch = "x86_64") {
        Some("the emulated machine is x86_64")
    } else if !release.lines().any(|line| line == "VERSION_ID=\"12\"") {
        Some("kernel 6.1 is a package of Debian 12")
    } else {
        None
    }
}

/// The machine, fetched where it is not there yet.
pub(crate) fn machine() -> Result<Machine> {
    let kernel = place::tools().join("kernel-6.1");
    if !kernel.exists() {
        let mut names = apt::search("^linux-image-6[.]1[.]0-[0-9]+-cloud-amd64$")?;
        names.sort_by_key(|name| name.split('-').filter_map(|part| part.parse::<u32>().ok()).next_back());
        let Some(newest) = names.last() else {
            bail!("apt knows no linux-image-6.1.0-…-cloud-amd64: is it up to date?");
        };
        apt::unpack(&[newest], &kernel)?;
    }
    let busybox = place::tools().join("busybox");
    if !busybox.exists() {
        apt::unpack(&["busybox-static"], &busybox)?;
    }
    Ok(Machine {
        emulator: emulator()?,
        image: only_entry(&kernel.join("boot"), "vmlinuz-")?,
        modules: only_entry(&kernel.join("lib/modules"), "")?.join("kernel"),
        busybox: busybox.join("bin/busybox"),
    })
}

fn emulator() -> Result<Emulator> {
    if let Some(installed) = command::find(EMULATOR) {
        return Ok(Emulator::Installed(installed));
    }
    let qemu = place::tools().join("qemu");
    if !qemu.exists() {
        let packages = apt::with_missing_dependencies("qemu-system-x86")?;
        apt::unpack(&packages.iter().map(String::as_str).collect::<Vec<_>>(), &qemu)?;
    }
    Ok(Emulator::Unpacked(qemu))
}

impl Machine {
    /// The emulator, ended by `timeout` after so many seconds.
    pub(crate) fn emulator(&self, limit_seconds: &str) -> Command {
        let mut command = Command::new("timeout");
        command.arg(limit_seconds);
        match &self.emulator {
            Emulator::Installed(program) => command.arg(program),
            Emulator::Unpacked(root) => {
                let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| root.join(path));
                let path = std::env::join_paths(libraries).unwrap_or_default();
                command
                    .env("LD_LIBRARY_PATH", path)
                    .arg(root.join("usr/bin").join(EMULATOR))
                    .arg("-L")
                    .arg(root.join("usr/share/qemu"))
                    .arg("-L")
                    .arg(root.join("usr/share/seabios"))
            }
        };
        command
    }
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .with_context(|| format!("no {prefix}… in {}", directory.display()))
}
