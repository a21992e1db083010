//! What happens to the host's links, addresses, routes and `IPsec` policies, as it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
};

use ipnetwork::IpNetwork;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rtnetlink::{MulticastGroup, packet_core::NetlinkPayload, sys};

use super::{Error, Link, Result, address, ipsec, link, socket::Socket};

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// A change on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    LinkAdded(Link),
    LinkRemoved(Link),
    /// Up or down, renamed, another MAC, MTU or alias. A link that was down has lost its neighbours,
    /// permanent ones too.
    LinkChanged {
        before: Link,
        after: Link,
    },
    AddressAdded {
        index: u32,
        address: IpNetwork,
    },
    AddressRemoved {
        index: u32,
        address: IpNetwork,
    },
    /// Some route or rule came or went; told once for all that came together.
    RoutesChanged,
    /// Policies of `IPsec` came, went, or may have.
    IpsecChanged,
    /// The kernel had more to say than was read in time: address changes may be missing, link changes
    /// follow.
    Missed,
}

/// Watches until dropped.
pub struct Watch {
    /// The thread sees its other end close.
    _alive: UnixStream,
}

/// Watches the calling thread's namespace. `deliver` runs on a thread of its own; it returns whether
/// it wants more (a channel's `send(event).is_ok()`).
pub fn watch(deliver: impl FnMut(Event) -> bool + Send + 'static) -> Result<Watch> {
    let failed = |error| Error::system("watch links and addresses", error);
    let notifications = Socket::listen(&GROUPS).map_err(failed)?;
    let ipsec_notifications = ipsec::listen().map_err(failed)?;
    let mut requests = Socket::open().map_err(failed)?;
    // read after joining the groups, so that nothing falls between
    let links = by_index(link::all(&mut requests)?);
    let addresses = address::all(&mut requests)?.into_iter().collect();
    let (alive, stopped) = UnixStream::pair().map_err(failed)?;
    let watcher = Watcher {
        notifications,
        ipsec_notifications,
        requests,
        links,
        addresses,
        deliver,
    };
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || watcher.run(&stopped))
        .map_err(failed)?;
    Ok(Watch { _alive: alive })
}

struct Watcher<D> {
    notifications: Socket,
    /// `None` where the kernel has no `IPsec`.
    ipsec_notifications: Option<sys::Socket>,
    requests: Socket,
    links: BTreeMap<u32, Link>,
    /// The kernel tells of an address again with each router's word on its lifetime.
    addresses: BTreeSet<(u32, IpNetwork)>,
    deliver: D,
}

impl<D: FnMut(Event) -> bool> Watcher<D> {
    fn run(mut self, stopped: &UnixStream) {
        // they may have changed before there was a watch
        if !(self.deliver)(Event::IpsecChanged) {
            return;
        }
        loop {
            let mut ready = vec![
                PollFd::new(self.notifications.as_fd(), PollFlags::POLLIN),
                PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(socket) = &self.ipsec_notifications {
                ready.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return tracing::error!(%error, "watching links and addresses ended"),
            }
            if ready[1].any().unwrap_or(true) {
                return;
            }
            let has_ipsec_news = ready.get(2).is_some_and(|socket| socket.any().unwrap_or(true));
            drop(ready);
            if has_ipsec_news
                && self.ipsec_notifications.as_ref().is_some_and(ipsec::is_change)
                && !(self.deliver)(Event::IpsecChanged)
            {
                return;
            }
            let mut events: Vec<Event> = match self.notifications.receive() {
                Ok(messages) => messages
                    .into_iter()
                    .filter_map(|message| {
                        let NetlinkPayload::InnerMessage(message) = message.into_parts().1 else {
                            return None;
                        };
                        self.event(&message)
                    })
                    .collect(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => self.read_again(),
            };
            events.dedup_by(|next, last| *next == Event::RoutesChanged && *last == Event::RoutesChanged);
            for event in events {
                if !(self.deliver)(event) {
                    return;
                }
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other kinds belong to other groups")]
    fn event(&mut self, message: &RouteNetlinkMessage) -> Option<Event> {
        match message {
            // a bridge tells of its ports in the same group
            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family != AddressFamily::Unspec =>
            {
                None
            }
            RouteNetlinkMessage::NewLink(_) => {
                let after = link::of_message(message)?;
                self.link_is(after)
            }
            RouteNetlinkMessage::DelLink(_) => {
                let link = link::of_message(message)?;
                self.links.remove(&link.index).map(Event::LinkRemoved)
            }
            RouteNetlinkMessage::NewAddress(_) => {
                let (index, address) = address::of_message(message)?;
                let is_new = self.addresses.insert((index, address));
                is_new.then_some(Event::AddressAdded { index, address })
            }
            RouteNetlinkMessage::DelAddress(_) => {
                let (index, address) = address::of_message(message)?;
                self.addresses.remove(&(index, address));
                Some(Event::AddressRemoved { index, address })
            }
            RouteNetlinkMessage::NewRoute(_)
            | RouteNetlinkMessage::DelRoute(_)
            | RouteNetlinkMessage::NewRule(_)
            | RouteNetlinkMessage::DelRule(_) => Some(Event::RoutesChanged),
            _ => None,
        }
    }

    fn link_is(&mut self, after: Link) -> Option<Event> {
        match self.links.insert(after.index, after.clone()) {
            None => Some(Event::LinkAdded(after)),
            Some(before) if before == after => None,
            Some(before) => Some(Event::LinkChanged { before, after }),
        }
    }

    /// Notifications were lost: compares what is with what was.
    fn read_again(&mut self) -> Vec<Event> {
        let mut events = vec![Event::Missed];
        match address::all(&mut self.requests) {
            Ok(addresses) => self.addresses = addresses.into_iter().collect(),
            Err(error) => tracing::warn!(%error, "addresses not read after lost notifications"),
        }
        match link::all(&mut self.requests) {
            Ok(links) => {
                let links = by_index(links);
                let gone: Vec<u32> = self
                    .links
                    .keys()
                    .filter(|index| !links.contains_key(index))
                    .copied()
                    .collect();
                events.extend(
                    gone.iter()
                        .filter_map(|index| self.links.remove(index).map(Event::LinkRemoved)),
                );
                events.extend(links.into_values().filter_map(|link| self.link_is(link)));
            }
            Err(error) => tracing::warn!(%error, "links not read after lost notifications"),
        }
        events
    }
}

fn by_index(links: Vec<Link>) -> BTreeMap<u32, Link> {
    links.into_iter().map(|link| (link.index, link)).collect()
}
