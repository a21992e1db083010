//! A cgroup of the container's own, outside the agent's unit, so that the agent's limits and its end do not
//! reach the container. Without limits all of it is best effort: a machine without a writable cgroup2 runs containers
//! too. Shims are in another, so that a container's limits are not its shim's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Doing as _, Error, protocol::Limits};

const SLICE: &str = "netswitch.slice";
/// Where all shims are.
const SHIMS: &str = "shims.scope";
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// Moves the calling process, a shim.
pub(super) fn enter_as_shim() {
    if let Some(root) = Hierarchies::read().unified() {
        _ = enter(&root.join(SLICE).join(SHIMS));
    }
}

/// Makes the container's, with its limits, and moves the calling process and so all that it will start.
pub(super) fn make(id: &str, limits: &Limits) -> Result<(), Error> {
    let hierarchies = Hierarchies::read();
    let unified = hierarchies.unified();
    if let Some(root) = &unified {
        _ = enter(&scope(root, id));
    }
    let (memory, pids) = (limits.memory, limits.pids);
    for (controller, limit) in CONTROLLERS.into_iter().zip([memory, pids]) {
        let Some(limit) = limit else { continue };
        let doing = || format!("limit {controller}");
        if let Some(root) = hierarchies.of(controller) {
            let scope = scope(&root, id);
            fs::create_dir_all(&scope).doing(doing())?;
            let (file, swap) = if controller == "memory" {
                let swap = ("memory.memsw.limit_in_bytes", limit.saturating_mul(2));
                ("memory.limit_in_bytes", Some(swap))
            } else {
                ("pids.max", None)
            };
            write(&scope, file, limit).and_then(|()| enter(&scope)).doing(doing())?;
            // as much again in swap, as Docker; not every kernel accounts for it
            _ = swap.map(|(file, limit)| write(&scope, file, limit));
        } else {
            let root = unified.as_deref().unwrap_or(Path::new("/sys/fs/cgroup"));
            let scope = scope(root, id);
            // the root's own may be enabled already
            for folder in [root, &root.join(SLICE)] {
                _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            write(&scope, &format!("{controller}.max"), limit).doing(doing())?;
            if controller == "memory" {
                _ = write(&scope, "memory.swap.max", limit);
            }
        }
    }
    Ok(())
}

/// Moves the calling process to where the container is.
pub(super) fn join(id: &str) {
    for scope in Hierarchies::read().scopes(id) {
        _ = move_to(&scope);
    }
}

/// Removes what [`make`] made, and what no shim is in any more once the calling one leaves it. Nothing happens
/// while other processes are in it.
pub(super) fn leave(id: &str) {
    let hierarchies = Hierarchies::read();
    for scope in hierarchies.scopes(id) {
        _ = fs::remove_dir(scope);
    }
    if let Some(root) = hierarchies.unified() {
        _ = move_to(&root);
    }
    for root in hierarchies.roots() {
        _ = fs::remove_dir(root.join(SLICE).join(SHIMS));
        _ = fs::remove_dir(root.join(SLICE));
    }
}

/// How long processes that were killed may take to leave it, and how often to look.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(5);

/// Removes the cgroup of a container whose shim was killed, once it is empty: a process closes its files before it
/// leaves.
pub(super) fn remove(id: &str) {
    let deadline = Instant::now() + EMPTY_WITHIN;
    for scope in Hierarchies::read().scopes(id) {
        let is_busy = || fs::remove_dir(&scope).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy);
        while is_busy() && Instant::now() < deadline {
            thread::sleep(INTERVAL);
        }
    }
}

/// Makes it if it is not there. Another shim that ends may remove it meanwhile.
fn enter(cgroup: &Path) -> io::Result<()> {
    let enter = || fs::create_dir_all(cgroup).and_then(|()| move_to(cgroup));
    enter().or_else(|_| enter())
}

fn move_to(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

fn write(cgroup: &Path, file: &str, limit: u64) -> io::Result<()> {
    fs::write(cgroup.join(file), limit.to_string())
}

fn scope(root: &Path, id: &str) -> PathBuf {
    root.join(SLICE).join(format!("{}.scope", &id[..id.len().min(12)]))
}

/// What of cgroups is mounted: /proc/self/mountinfo.
struct Hierarchies(String);

impl Hierarchies {
    fn read() -> Hierarchies {
        Hierarchies(fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// That of version 2.
    fn unified(&self) -> Option<PathBuf> {
        self.find(|kind, _| kind == "cgroup2")
    }

    /// That of version 1 which has the controller.
    fn of(&self, controller: &str) -> Option<PathBuf> {
        self.find(|kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller))
    }

    /// See `proc_pid_mountinfo(5)`.
    fn find(&self, is_wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
        self.0
            .lines()
            .find_map(|line| {
                let (mount, filesystem) = line.split_once(" - ")?;
                let mut fields = filesystem.split(' ');
                is_wanted(fields.next()?, fields.nth(1)?).then(|| mount.split(' ').nth(4))?
            })
            .map(PathBuf::from)
    }

    fn roots(&self) -> impl Iterator<Item = PathBuf> {
        let old = CONTROLLERS.into_iter().filter_map(|controller| self.of(controller));
        self.unified().into_iter().chain(old)
    }

    /// Where the container is.
    fn scopes(&self, id: &str) -> Vec<PathBuf> {
        let scopes = self.roots().map(|root| scope(&root, id));
        scopes.filter(|scope| scope.is_dir()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hierarchies_are_found() {
        let mixed = Hierarchies(
            "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
             42 31 0:39 / /sys/fs/cgroup/cpu,memory rw,relatime - cgroup cgroup rw,cpu,memory\n"
                .to_owned(),
        );
        assert_eq!(mixed.unified(), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mixed.of("memory"), Some(PathBuf::from("/sys/fs/cgroup/cpu,memory")));
        assert_eq!(mixed.of("pids"), None);
        let none = Hierarchies("27 1 254:0 / / rw - ext4 /dev/vda rw\n".to_owned());
        assert_eq!(none.roots().count(), 0);
    }
}
