//! Detached mounts (`open_tree`, `mount_setattr`, `move_mount`; Linux 5.12): what a container is given is
//! taken hold of before its root is entered and put in place afterwards, so that no path inside the
//! container is ever resolved against the host.

use std::{
    ffi::{CString, c_long, c_uint},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

// linux/mount.h
const OPEN_TREE_CLONE: c_uint = 1;
const OPEN_TREE_CLOEXEC: c_uint = libc::O_CLOEXEC as c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 4;
pub(super) const READ_ONLY: u64 = 1;
pub(super) const NO_SETUID: u64 = 2;
/// Device nodes do not open.
pub(super) const NO_DEVICES: u64 = 4;
const AT_RECURSIVE: c_uint = 0x8000;
const AT_EMPTY_PATH: c_uint = libc::AT_EMPTY_PATH as c_uint;

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Whether what is mounted below comes along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    One,
    All,
}

impl Depth {
    fn flag(self) -> c_uint {
        match self {
            Depth::One => 0,
            Depth::All => AT_RECURSIVE,
        }
    }
}

/// A copy of the mount at `path`, attached nowhere.
pub(super) fn clone_tree(path: &Path, depth: Depth) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string; the kernel keeps no pointer.
    let tree = result(unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            path.as_ptr(),
            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | depth.flag(),
        )
    })?;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(tree) })
}

/// Adds attributes to those a detached tree has.
pub(super) fn restrict(tree: BorrowedFd, depth: Depth, attributes: u64) -> io::Result<()> {
    let attributes = MountAttributes {
        set: attributes,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: path and attributes live through the call and the size is that of the attributes.
    result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            AT_EMPTY_PATH | depth.flag(),
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })?;
    Ok(())
}

/// Puts a detached tree at `path`.
pub(super) fn attach(tree: BorrowedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: both paths are C strings; the kernel keeps no pointer.
    result(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })?;
    Ok(())
}

fn result(returned: c_long) -> io::Result<i32> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        i32::try_from(returned).map_err(io::Error::other)
    }
}
