//! The container's root: an overlay over the host's own, so that nothing written in it reaches the host.

mod host;
mod kernel;

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, umask},
    unistd::{chdir, chroot, pivot_root},
};

use super::{
    Doing as _, Error,
    mounts::{self, Depth, NO_DEVICES, NO_SETUID, READ_ONLY},
    protocol::{HOSTNAME, HOSTS, RESOLV_CONF, Spec},
};

/// Folder inside the run directory that the root is put together in (visible in the container's mount
/// namespace only, and gone from there once the root is entered).
const STAGE: &str = "root";
/// What a host keeps files on. Everything else it has mounted stays outside: kernel interfaces, temporary
/// files, other containers' overlays.
const REAL_FILESYSTEMS: [&str; 17] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "erofs", "squashfs", "iso9660", "vfat", "exfat",
    "ntfs3", "nfs", "nfs4", "virtiofs",
];
const OWN_FOLDERS: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// Something of the host's that appears in the container.
struct Grant {
    tree: OwnedFd,
    is_folder: bool,
    path: PathBuf,
    /// As the user wrote it; ours are not the user's fault.
    bind: Option<String>,
}

/// Moves the calling process, alone in new mount, PID and network namespaces, into the container's root.
pub(super) fn enter(spec: &Spec) -> Result<(), Error> {
    mount_on(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    // every mode is said where something is made
    umask(Mode::empty());
    let submounts = submounts()?;
    let files = files(spec)?;
    let binds = binds(&spec.binds)?;
    let storage = enter_overlay(&spec.run_dir.join(STAGE))?;
    for grant in &submounts {
        // a host may well have mounts that cannot be repeated; the container is then without them
        _ = put(grant);
    }
    for grant in &storage {
        put(grant)?;
    }
    make_folder("/run/lock", 0o1777)?;
    kernel::mount_all()?;
    let covers = host::cover()?;
    let log_folder = spec.log.parent().unwrap_or(&spec.run_dir);
    for folder in spec
        .hidden
        .iter()
        .map(PathBuf::as_path)
        .chain([spec.run_dir.as_path(), log_folder])
    {
        if folder.exists() {
            hide(folder)?;
        }
    }
    for grant in files.iter().chain(&binds) {
        put(grant)?;
    }
    host::close(&covers)?;
    kernel::mask()
}

/// File systems mounted below the host's root, read-only.
fn submounts() -> Result<Vec<Grant>, Error> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").doing("read /proc/self/mountinfo")?;
    let grants = real_submounts(&mountinfo).into_iter().filter_map(|path| {
        let tree = mounts::clone_tree(&path, Depth::One).ok()?;
        mounts::restrict(tree.as_fd(), Depth::One, READ_ONLY | NO_DEVICES).ok()?;
        Some(Grant {
            tree,
            is_folder: path.is_dir(),
            path,
            bind: None,
        })
    });
    Ok(grants.collect())
}

/// Mount points in the order they were mounted. See `proc_pid_mountinfo(5)`.
fn real_submounts(mountinfo: &str) -> Vec<PathBuf> {
    let mount_point = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let path = PathBuf::from(unescape(mount.split(' ').nth(4)?));
        let real = REAL_FILESYSTEMS.contains(&filesystem.split(' ').next()?);
        let ours = path == Path::new("/") || OWN_FOLDERS.iter().any(|folder| path.starts_with(folder));
        (real && !ours).then_some(path)
    };
    mountinfo.lines().filter_map(mount_point).collect()
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |text, (escape, character)| {
        text.replace(escape, character)
    })
}

/// The files the agent keeps for the container. It rewrites them in place, so they lie on the host's /run, which
/// a container that could write to them could fill: unlike Docker's they are read-only inside.
fn files(spec: &Spec) -> Result<Vec<Grant>, Error> {
    [
        (HOSTS, "/etc/hosts"),
        (RESOLV_CONF, "/etc/resolv.conf"),
        (HOSTNAME, "/etc/hostname"),
    ]
    .into_iter()
    .map(|(name, path)| {
        let file = spec.run_dir.join(name);
        let doing = || format!("bind {}", file.display());
        // whoever made it, each user of the container may read it
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(&file)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o644)))
            .doing(doing())?;
        read_only(&file, path, doing)
    })
    .collect()
}

/// A file that the container sees at `path` and cannot write to.
fn read_only(file: &Path, path: impl Into<PathBuf>, doing: impl Fn() -> String) -> Result<Grant, Error> {
    let tree = mounts::clone_tree(file, Depth::One).doing(doing())?;
    mounts::restrict(tree.as_fd(), Depth::One, READ_ONLY | NO_DEVICES).doing(doing())?;
    Ok(Grant {
        tree,
        is_folder: false,
        path: path.into(),
        bind: None,
    })
}

/// Outer mount points first, as Docker orders them.
fn binds(binds: &[String]) -> Result<Vec<Grant>, Error> {
    let mut grants = binds
        .iter()
        .map(|bind| parse_bind(bind))
        .collect::<Result<Vec<_>, _>>()?;
    grants.sort_by_key(|grant| grant.path.components().count());
    Ok(grants)
}

fn parse_bind(bind: &str) -> Result<Grant, Error> {
    let mut fields = bind.splitn(3, ':');
    let (host, path) = (
        Path::new(fields.next().unwrap_or_default()),
        fields.next().unwrap_or_default(),
    );
    let read_only = fields
        .next()
        .is_some_and(|options| options.split(',').any(|option| option == "ro"));
    let doing = || format!("bind {bind}");
    if !host.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(host)
            .doing(doing())?;
    }
    let tree = mounts::clone_tree(host, Depth::All).doing(doing())?;
    let attributes = if read_only { READ_ONLY | NO_DEVICES } else { NO_DEVICES };
    mounts::restrict(tree.as_fd(), Depth::All, attributes).doing(doing())?;
    Ok(Grant {
        tree,
        is_folder: host.is_dir(),
        path: PathBuf::from(path),
        bind: Some(bind.to_owned()),
    })
}

/// The answer is /tmp, /run and what stands in for files of the host's. They share one file system with what is written
/// over the host's files, so that all of it together takes at most half of the memory.
fn enter_overlay(stage: &Path) -> Result<Vec<Grant>, Error> {
    let doing = |what: &str| format!("{what} {}", stage.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(stage)
        .doing(doing("create"))?;
    let options = Some("mode=755,size=50%");
    mount(Some("tmpfs"), stage, Some("tmpfs"), MsFlags::MS_NODEV, options).doing(doing("mount tmpfs on"))?;
    chdir(stage).doing(doing("enter"))?;
    for folder in ["upper", "work", "merged"] {
        make_folder(folder, 0o755)?;
    }
    let mut storage = vec![storage("tmp", 0o1777)?, storage("run", 0o755)?];
    storage.extend(host::secrets()?);
    // relative, so that the stage's own path needs no escaping
    let options = Some("lowerdir=/,upperdir=upper,workdir=work");
    mount(Some("overlay"), "merged", Some("overlay"), MsFlags::MS_NODEV, options).doing(doing("mount overlay in"))?;
    chdir("merged").doing(doing("enter"))?;
    if pivot_root(".", ".").is_ok() {
        // the old root now lies on top of the new one
        umount2(".", MntFlags::MNT_DETACH).doing("detach the host's root")?;
    } else {
        // an initramfs cannot be pivoted away from
        mount_on(Some("."), "/", None, MsFlags::MS_MOVE, None)?;
        chroot(".").doing("enter the container's root")?;
    }
    chdir("/").doing("enter the container's root")?;
    Ok(storage)
}

/// An empty folder of the stage, to be mounted on the folder of the same name.
fn storage(name: &str, mode: u32) -> Result<Grant, Error> {
    make_folder(name, mode)?;
    let tree = mounts::clone_tree(Path::new(name), Depth::One).doing(format!("bind {name}"))?;
    mounts::restrict(tree.as_fd(), Depth::One, NO_DEVICES | NO_SETUID).doing(format!("bind {name}"))?;
    Ok(Grant {
        tree,
        is_folder: true,
        path: Path::new("/").join(name),
        bind: None,
    })
}

fn make_folder(path: &str, mode: u32) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .doing(format!("create {path}"))
}

/// Covers a folder with an empty one.
fn hide(folder: &Path) -> Result<(), Error> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some("mode=755,size=0"))
        .doing(format!("hide {}", folder.display()))
}

fn put(grant: &Grant) -> Result<(), Error> {
    let path = &grant.path;
    make_mount_point(path, grant)
        .and_then(|()| mounts::attach(grant.tree.as_fd(), path))
        .map_err(|source| match &grant.bind {
            Some(bind) if source.kind() == io::ErrorKind::NotADirectory || path.is_dir() != grant.is_folder => {
                Error::Failed {
                    exit_code: 127,
                    message: format!(
                        "OCI runtime create failed: mount {bind}: not a directory: unknown: Are you trying to mount \
                         a directory onto a file (or vice-versa)? Check if the specified host path exists and is the \
                         expected type"
                    ),
                }
            }
            Some(_) | None => Error::System {
                doing: format!("mount on {}", path.display()),
                source,
            },
        })
}

fn make_mount_point(path: &Path, grant: &Grant) -> io::Result<()> {
    if grant.is_folder {
        return DirBuilder::new().recursive(true).mode(0o755).create(path);
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    // /etc/resolv.conf is often a link into the host's /run
    if grant.bind.is_none() && path.is_symlink() {
        fs::remove_file(path)?;
    }
    if !path.exists() {
        OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    }
    Ok(())
}

fn mount_on(
    source: Option<&str>,
    path: impl AsRef<Path>,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), Error> {
    let path = path.as_ref();
    mount(source, path, kind, flags, options).doing(format!("mount {} on {}", kind.unwrap_or("it"), path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_filesystems_follow_into_a_container() {
        let mountinfo = "\
            22 27 0:21 / /proc rw - proc proc rw\n\
            27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 27 254:1 / /home/my\\040files rw,relatime shared:3 - xfs /dev/vdb rw\n\
            31 27 0:30 / /sys/fs/bpf rw - bpf bpf rw\n\
            32 27 254:2 / /run/disk rw - ext4 /dev/vdc rw\n\
            33 27 0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
            34 27 0:41 / /mnt rw - tmpfs tmpfs rw\n";
        assert_eq!(real_submounts(mountinfo), [PathBuf::from("/home/my files")]);
    }
}
