//! What of the host's own files no container sees, although its root is the host's: homes, and what proves who
//! somebody is.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    },
    path::Path,
};

use nix::mount::MsFlags;

use super::{Grant, mount_on, read_only};
use crate::shim::{
    Doing as _, Error,
    mounts::{self, Depth, READ_ONLY},
};

const FOLDERS: [&str; 3] = ["/root", "/home", "/etc/ssh"];
/// Passwords and their earlier versions.
const SECRETS: [&str; 4] = ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"];

/// Stands in for files with passwords, made in the current folder: every account is there, so that `su` and `sudo`
/// find it, and nobody's password is.
pub(super) fn secrets() -> Result<Vec<Grant>, Error> {
    let present = SECRETS.iter().map(Path::new).filter(|path| path.exists());
    present.map(secret).collect()
}

fn secret(path: &Path) -> Result<Grant, Error> {
    let doing = || format!("stand in for {}", path.display());
    let name = path.file_name().unwrap_or_default();
    let text = match name.to_str() {
        Some("shadow") => locked("/etc/passwd", ":*:::::::"),
        Some("gshadow") => locked("/etc/group", ":*::"),
        _ => String::new(),
    };
    let original = fs::metadata(path).doing(doing())?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(name)
        .doing(doing())?;
    file.write_all(text.as_bytes()).doing(doing())?;
    fchown(&file, Some(original.uid()), Some(original.gid())).doing(doing())?;
    file.set_permissions(Permissions::from_mode(original.mode() & 0o7777))
        .doing(doing())?;
    read_only(Path::new(name), path, doing)
}

/// A line for each name of a file like /etc/passwd.
fn locked(names: &str, rest: &str) -> String {
    let text = fs::read_to_string(names).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split(':').next());
    let locked = names
        .filter(|name| !name.is_empty())
        .flat_map(|name| [name, rest, "\n"]);
    locked.collect()
}

/// Covers folders with empty ones, in which what the user asks for can still be put; [`close`] ends that.
pub(super) fn cover() -> Result<Vec<OwnedFd>, Error> {
    let present = FOLDERS.iter().filter(|folder| Path::new(folder).is_dir());
    let cover = |folder: &&str| {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount_on(
            Some("tmpfs"),
            folder,
            Some("tmpfs"),
            flags,
            Some("mode=755,size=64k,nr_inodes=1k"),
        )?;
        let opened = File::open(folder).doing(format!("open {folder}"))?;
        Ok(opened.into())
    };
    present.map(cover).collect()
}

/// Makes what [`cover`] mounted read-only.
pub(super) fn close(covers: &[OwnedFd]) -> Result<(), Error> {
    for cover in covers {
        mounts::restrict(cover.as_fd(), Depth::One, READ_ONLY).doing("close a folder of the host's")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_is_locked() {
        let path = std::env::temp_dir().join(format!("netswitch-passwd-{}", std::process::id()));
        fs::write(&path, "root:x:0:0:root:/root:/bin/bash\n\nnobody:x:65534:65534::/:\n").unwrap();
        let text = locked(path.to_str().unwrap(), ":*:::::::");
        fs::remove_file(&path).unwrap();
        assert_eq!(text, "root:*:::::::\nnobody:*:::::::\n");
        assert!(text.lines().all(|line| line.split(':').count() == 9));
    }
}
