//! Debian 12's own kernel, the oldest that netswitch supports, unpacked for qemu.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::place;

/// The emulator. Its shell comes from [`oldest`]: installing `busybox-static` would remove `busybox`.
pub(super) const PACKAGES: &[&str] = &["qemu-system-x86"];

/// Why there is no such kernel here, if so.
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

/// An unpacked kernel and the shell that its initramfs starts with.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// The `kernel` folder below `/lib/modules/<release>`.
    pub(crate) modules: PathBuf,
    pub(crate) busybox: PathBuf,
}

/// Debian's 6.1 kernel for virtual machines.
pub(crate) fn oldest() -> Result<Kernel> {
    let place = place::tools().join("kernel-6.1");
    if !place.exists() {
        let mut names = apt::search("^linux-image-6[.]1[.]0-[0-9]+-cloud-amd64$")?;
        names.sort_by_key(|name| name.split('-').filter_map(|part| part.parse::<u32>().ok()).next_back());
        let Some(newest) = names.last() else {
            bail!("apt knows no linux-image-6.1.0-…-cloud-amd64; it is a package of Debian 12");
        };
        apt::unpack(newest, &place)?;
    }
    let busybox = place::tools().join("busybox");
    if !busybox.exists() {
        apt::unpack("busybox-static", &busybox)?;
    }
    Ok(Kernel {
        image: only_entry(&place.join("boot"), "vmlinuz-")?,
        modules: only_entry(&place.join("lib/modules"), "")?.join("kernel"),
        busybox: busybox.join("bin/busybox"),
    })
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .with_context(|| format!("no {prefix}… in {}", directory.display()))
}
