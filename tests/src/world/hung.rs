//! A file system that never answers, as one of a server that is gone.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Whoever looks up a path below it waits until this is dropped, and hears an error then.
pub struct Hung {
    at: PathBuf,
    /// Nobody reads what the kernel asks.
    device: Option<File>,
}

impl Hung {
    /// Mounts it at a new folder.
    pub fn new(at: &Path) -> Self {
        fs::create_dir(at).expect("a new folder");
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("/dev/fuse");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some("hung"), at, Some("fuse"), MsFlags::empty(), Some(options.as_str())).expect("a mount of fuse");
        Self {
            at: at.to_owned(),
            device: Some(device),
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // closing the device ends the connection
        self.device = None;
        umount2(&self.at, MntFlags::MNT_DETACH).expect("it is unmounted");
    }
}
