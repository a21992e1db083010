//! The host's own name servers, as its `resolv.conf` names them at any time.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::forward::Upstream;
use crate::model::resolv_conf::ResolvConf;

/// Until the next look, where the kernel cannot tell of changes.
const PAUSE: Duration = Duration::from_secs(5);
/// Where all servers that the file names are asked.
const PORT: u16 = 53;

/// Reads the file, and again whenever it changes, on a thread of its own. `own` is where the host asks us: we
/// know no more than that.
pub fn follow(path: &Path, own: SocketAddr, runtime: &Handle) -> io::Result<watch::Receiver<Upstream>> {
    let own = (own.port() == PORT).then_some(own.ip());
    let mut known = read(path, own);
    let (sender, receiver) = watch::channel(Upstream::new(&known.servers));
    let (path, runtime) = (path.to_owned(), runtime.clone());
    std::thread::Builder::new().name("resolv.conf".into()).spawn(move || {
        loop {
            // watched first, read then: nothing falls in between
            let watched = watch(&path);
            let found = read(&path, own);
            if found != known {
                tracing::info!(servers = ?found.servers, "the host's name servers changed");
                let _context = runtime.enter();
                if sender.send(Upstream::new(&found.servers)).is_err() {
                    return;
                }
                known = found;
            }
            let heard = watched.and_then(|inotify| Ok(inotify.read_events()?));
            if heard.is_err() {
                std::thread::sleep(PAUSE);
            }
        }
    })?;
    Ok(receiver)
}

/// A file that is not there names no servers.
fn read(path: &Path, own: Option<IpAddr>) -> ResolvConf {
    let mut found = ResolvConf::parse(&std::fs::read_to_string(path).unwrap_or_default());
    found.servers.retain(|server| Some(*server) != own);
    found
}

/// The file, which may be written in place, and the folders where it, or what it links to, may be replaced.
fn watch(path: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let target = path.canonicalize().ok();
    let files = [Some(path.to_owned()), target];
    let folders: BTreeSet<PathBuf> = files.iter().flatten().filter_map(|file| folder(file)).collect();
    let replaced = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
    for folder in &folders {
        inotify.add_watch(folder, replaced | AddWatchFlags::IN_ONLYDIR)?;
    }
    if let [_, Some(target)] = &files {
        inotify.add_watch(target, AddWatchFlags::IN_CLOSE_WRITE)?;
    }
    Ok(inotify)
}

fn folder(file: &Path) -> Option<PathBuf> {
    file.parent().map(Path::to_owned)
}
