//! What the kernel shows in a container: /proc, /sys and /dev, and what of them is kept from it.

use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::symlink},
    path::{Path, PathBuf},
};

use nix::{
    mount::MsFlags,
    sys::stat::{Mode, SFlag, makedev, mknod},
};

use super::{hide, make_folder, mount_on};
use crate::shim::{
    Doing as _, Error,
    mounts::{self, Depth, NO_DEVICES, READ_ONLY},
};

// the two lists of Docker 28
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const WRITE_PROTECTED: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn mount_all() -> Result<(), Error> {
    let (no_setuid, no_devices, no_programs) = (MsFlags::MS_NOSUID, MsFlags::MS_NODEV, MsFlags::MS_NOEXEC);
    let nothing = no_setuid | no_devices | no_programs;
    mount_on(Some("proc"), "/proc", Some("proc"), nothing, None)?;
    mount_on(Some("sysfs"), "/sys", Some("sysfs"), nothing | MsFlags::MS_RDONLY, None)?;
    devices()?;
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

/// /dev opens the devices that are put there, and none that a container makes: it may make nodes, as Docker's may.
fn devices() -> Result<(), Error> {
    mount_on(
        Some("tmpfs"),
        "/dev",
        Some("tmpfs"),
        MsFlags::MS_NOSUID,
        Some("mode=755,size=64k,nr_inodes=1k"),
    )?;
    let nodes = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
    let nodes = nodes
        .map(|(name, minor)| (name, 1, minor))
        .into_iter()
        .chain([("tty", 5, 0)]);
    let mut given = Vec::new();
    for (name, major, minor) in nodes {
        let path = Path::new("/dev").join(name);
        let doing = || format!("create {}", path.display());
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor)).doing(doing())?;
        given.push((mounts::clone_tree(&path, Depth::One).doing(doing())?, path));
    }
    let folder = File::open("/dev").doing("open /dev")?;
    mounts::restrict(folder.as_fd(), Depth::One, NO_DEVICES).doing("close /dev to devices")?;
    for (tree, path) in given {
        mounts::attach(tree.as_fd(), &path).doing(format!("mount on {}", path.display()))?;
    }
    Ok(())
}

/// Covers what a container must neither read nor write.
pub(super) fn mask() -> Result<(), Error> {
    let fixed = MASKED.iter().map(PathBuf::from);
    for path in fixed.chain(thermal_counters()) {
        let path = path.as_path();
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

/// Of each processor: what its neighbours do can be told from its heat.
fn thermal_counters() -> impl Iterator<Item = PathBuf> {
    let processors = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    processors.map(|processor| processor.path().join("thermal_throttle"))
}
