//! What the kernel shows in a container: /proc, /sys and /dev, and what of them is kept from it.

use std::{os::fd::AsFd as _, os::unix::fs::symlink, path::Path};

use nix::{
    mount::MsFlags,
    sys::stat::{Mode, SFlag, makedev, mknod},
};

use super::{hide, make_folder, mount_on};
use crate::shim::{
    Doing as _, Error,
    mounts::{self, Depth, READ_ONLY},
};

// the two lists of Docker 20.10
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const WRITE_PROTECTED: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn mount_all() -> Result<(), Error> {
    let (no_setuid, no_devices, no_programs) = (MsFlags::MS_NOSUID, MsFlags::MS_NODEV, MsFlags::MS_NOEXEC);
    let nothing = no_setuid | no_devices | no_programs;
    mount_on(Some("proc"), "/proc", Some("proc"), nothing, None)?;
    mount_on(Some("sysfs"), "/sys", Some("sysfs"), nothing | MsFlags::MS_RDONLY, None)?;
    mount_on(
        Some("tmpfs"),
        "/dev",
        Some("tmpfs"),
        no_setuid,
        Some("mode=755,size=64k,nr_inodes=1k"),
    )?;
    let nodes = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
    for (name, major, minor) in nodes
        .map(|(name, minor)| (name, 1, minor))
        .into_iter()
        .chain([("tty", 5, 0)])
    {
        let path = Path::new("/dev").join(name);
        mknod(
            &path,
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            makedev(major, minor),
        )
        .doing(format!("create {}", path.display()))?;
    }
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
    ] {
        symlink(target, Path::new("/dev").join(name)).doing(format!("create /dev/{name}"))?;
    }
    for folder in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        make_folder(folder, 0o755)?;
    }
    let private = Some("newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount_on(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        no_setuid | no_programs,
        private,
    )?;
    mount_on(
        Some("shm"),
        "/dev/shm",
        Some("tmpfs"),
        nothing,
        Some("mode=1777,size=64m,nr_inodes=16k"),
    )?;
    // not every kernel has message queues
    _ = mount_on(Some("mqueue"), "/dev/mqueue", Some("mqueue"), nothing, None);
    Ok(())
}

/// Covers what a container must neither read nor write.
pub(super) fn mask() -> Result<(), Error> {
    for path in MASKED.map(Path::new) {
        if path.is_dir() {
            hide(path)?;
        } else if path.exists() {
            mount_on(Some("/dev/null"), path, None, MsFlags::MS_BIND, None)?;
        }
    }
    for path in WRITE_PROTECTED.map(Path::new).into_iter().filter(|path| path.exists()) {
        let tree = mounts::clone_tree(path, Depth::All).doing(format!("bind {}", path.display()))?;
        mounts::restrict(tree.as_fd(), Depth::All, READ_ONLY).doing(format!("make {} read-only", path.display()))?;
        mounts::attach(tree.as_fd(), path).doing(format!("mount on {}", path.display()))?;
    }
    Ok(())
}
