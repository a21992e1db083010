//! The host's own name servers, as its `resolv.conf` names them at any time.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::watch;

use super::name_server::PORT;
use super::surroundings::Surroundings;
use crate::model::resolv_conf::ResolvConf;

/// Until the next look, where the kernel cannot tell of changes.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads the file, and again whenever it changes, on a thread of its own, and tells of it. `own` is where the host asks us: we
/// know no more than that.
pub fn follow(
    path: &Path,
    own: SocketAddr,
    surroundings: Surroundings,
    tell: impl Fn() + Send + 'static,
) -> io::Result<watch::Receiver<Arc<ResolvConf>>> {
    let own = (own.port() == PORT).then_some(own.ip());
    let (sender, receiver) = watch::channel(Arc::new(read(path, own)));
    let path = path.to_owned();
    std::thread::Builder::new().name("resolv.conf".into()).spawn(move || {
        loop {
            // watched first, read then: nothing falls in between
            let watched = watch(&path);
            let found = read(&path, own);
            if found != **sender.borrow() {
                let servers: Vec<String> = found.servers.iter().map(ToString::to_string).collect();
                tracing::info!(?servers, "the host's name servers changed");
                if sender.send(Arc::new(found)).is_err() {
                    return;
                }
                surroundings.have_changed();
                tell();
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
    found.servers.retain(|server| Some(server.address) != own);
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
