//! A socket at each single published port, so that `ss -l` shows it. Nothing ever arrives there: the data
//! path steers it elsewhere, and holds the port with or without them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{Backlog, listen};

use super::relay::{bound, descriptors};
use crate::model::{changes::Changes, endpoint::Endpoint, publish::Protocol, state::State};

/// Descriptors for which the table has room from the start.
const ROOM: usize = 4096;

type Place = (Protocol, SocketAddr);

pub struct Placeholders {
    sockets: HashMap<Place, OwnedFd>,
    /// Further ports are not shown: the agent needs descriptors for more important things.
    most: usize,
}

impl Placeholders {
    pub fn new(state: &State) -> Self {
        let mut placeholders = Self {
            sockets: HashMap::new(),
            most: descriptors() / 4,
        };
        for place in state.endpoints.values().flat_map(places) {
            placeholders.add(place);
        }
        placeholders
    }

    /// Follows what has changed since `before`.
    pub fn apply(&mut self, before: &State, changes: &Changes) {
        let mut former: HashMap<Place, OwnedFd> = HashMap::new();
        for endpoint in changes.endpoints.keys().filter_map(|id| before.endpoints.get(id)) {
            former.extend(places(endpoint).filter_map(|place| self.sockets.remove_entry(&place)));
        }
        let (kept, new): (Vec<Place>, Vec<Place>) = changes
            .endpoints
            .values()
            .flatten()
            .flat_map(places)
            .partition(|place| former.contains_key(place));
        for place in kept {
            self.sockets.extend(former.remove_entry(&place));
        }
        drop(former);
        for place in new {
            self.add(place);
        }
    }

    fn add(&mut self, place: Place) {
        if self.sockets.len() >= self.most {
            return;
        }
        match hold(place) {
            Ok(socket) => {
                self.sockets.insert(place, socket);
            }
            Err(error) => tracing::warn!(%error, "no socket shows {}/{}", place.1, place.0),
        }
    }
}

/// Before there are threads: each time the kernel widens the table for several of them it waits a while.
pub fn make_room() {
    let highest = ROOM.min(descriptors()).saturating_sub(1);
    if let Ok(highest) = i32::try_from(highest) {
        let widened = fcntl(io::stderr(), FcntlArg::F_DUPFD_CLOEXEC(highest));
        // SAFETY: the descriptor was made here, and is nobody else's
        drop(widened.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }));
    }
}

/// Ports of the host's that are published one by one.
fn places(endpoint: &Endpoint) -> impl Iterator<Item = Place> + '_ {
    let single = endpoint.publications.iter().filter(|publication| {
        let is_routed = endpoint.has_address(publication.host);
        publication.first == publication.last && publication.protocol != Protocol::Sctp && !is_routed
    });
    single.map(|publication| (publication.protocol, (publication.host, publication.first).into()))
}

fn hold((protocol, address): Place) -> io::Result<OwnedFd> {
    let socket = bound(protocol, address)?;
    if protocol == Protocol::Tcp {
        listen(&socket, Backlog::new(1)?)?;
    }
    Ok(socket)
}
