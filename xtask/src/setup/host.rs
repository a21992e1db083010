//! What an agent needs of the host.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Where bpffs is, by convention.
const BPFFS: &str = "/sys/fs/bpf";

/// The oldest kernel that netswitch runs on (Debian 12's).
const OLDEST_KERNEL: (u32, u32) = (6, 1);

pub(super) fn check() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("/proc/sys/kernel/osrelease")?;
    if version(&release).is_some_and(|kernel| kernel < OLDEST_KERNEL) {
        bail!("kernel {} is too old: netswitch needs 6.1", release.trim());
    }
    if !command::can_be_root() {
        bail!("networks and eBPF programs need root: run this as root, or install sudo");
    }
    Ok(())
}

pub(super) fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let is_mounted = mounts
        .lines()
        .any(|mount| mount.split(' ').skip(1).take(2).eq([BPFFS, "bpf"]));
    if is_mounted {
        return Ok(());
    }
    eprintln!("set-up mounts bpffs on {BPFFS}");
    command::run(command::as_root("mount").args(["-t", "bpf", "bpf", BPFFS]))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_compare_by_number() {
        assert!(version("6.18.44-cloud").unwrap() > OLDEST_KERNEL);
        assert!(version("5.10.0-30-amd64").unwrap() < OLDEST_KERNEL);
        assert_eq!(version("6.1.0-56-cloud-amd64"), Some(OLDEST_KERNEL));
    }
}
