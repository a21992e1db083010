//! A cgroup of the container's own, outside the agent's unit, so that the agent's limits and its end do not
//! reach the container. All of it is best effort: a machine without a writable cgroup2 runs containers too.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const SLICE: &str = "netswitch.slice";

/// Moves the calling process, and so all that it will start.
pub(super) fn enter(id: &str) {
    if let Some(root) = root() {
        let scope = scope(&root, id);
        if fs::create_dir_all(&scope).is_ok() {
            _ = move_to(&scope);
        }
    }
}

/// Removes what [`enter`] made; the calling process, if still inside, moves to the root. Nothing happens
/// while other processes are in it.
pub(super) fn leave(id: &str) {
    if let Some(root) = root() {
        let scope = scope(&root, id);
        if scope.exists() {
            _ = move_to(&root);
            _ = fs::remove_dir(&scope);
            _ = fs::remove_dir(root.join(SLICE));
        }
    }
}

/// How long processes that were killed may take to leave it, and how often to look.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(5);

/// Removes the cgroup of a shim that was killed, once it is empty: a process closes its files before it leaves.
pub(super) fn remove(id: &str) {
    let Some(root) = root() else { return };
    let scope = scope(&root, id);
    let deadline = Instant::now() + EMPTY_WITHIN;
    let is_busy = || fs::remove_dir(&scope).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy);
    while is_busy() && Instant::now() < deadline {
        thread::sleep(INTERVAL);
    }
}

fn move_to(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

fn scope(root: &Path, id: &str) -> PathBuf {
    root.join(SLICE).join(format!("{}.scope", &id[..id.len().min(12)]))
}

fn root() -> Option<PathBuf> {
    find_root(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn find_root(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem
            .starts_with("cgroup2 ")
            .then(|| mount.split(' ').nth(4))
            .flatten()
            .map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_beside_the_old_one() {
        let mountinfo = "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(find_root(mountinfo), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find_root("27 1 254:0 / / rw - ext4 /dev/vda rw\n"), None);
    }
}
