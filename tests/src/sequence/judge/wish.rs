//! What a packet wants that begins something, by where it comes from and goes to.

use netswitch_common::endpoint::flags;

use super::has_first;
use crate::packet::{PROTOCOL_ICMP, PROTOCOL_ICMPV6};
use crate::sequence::scene::{CONTAINERS, PUBLICATIONS, Place, container, host, is_worlds};
use crate::sequence::sent::Sent;

/// What a packet wants that belongs to no flow.
pub(super) enum Wish {
    /// Out to the world.
    Out,
    /// In at a published port: the container, its port, and whether it sees the gateway as its client.
    In { to: usize, port: u16, from_gateway: bool },
    /// To a neighbour, as it is.
    Neighbour(usize),
    /// Nothing that the switch lets it have. The host's own stack may get it.
    Nothing,
}

/// What a packet wants if it belongs to no flow.
pub(super) fn wish(sent: &Sent) -> Wish {
    let (from, to) = (sent.tuple.from.ip(), sent.tuple.to.ip());
    let is_v4 = from.is_ipv4();
    if let Place::Container(number) = sent.place {
        let port = CONTAINERS[number];
        if is_worlds(to) {
            let is_internal = port.network.flags & flags::INTERNAL != 0;
            let is_answer =
                sent.tuple.from.port() == 0 && matches!(sent.tuple.protocol, PROTOCOL_ICMP | PROTOCOL_ICMPV6);
            return if is_internal || is_answer {
                Wish::Nothing
            } else {
                Wish::Out
            };
        }
        let neighbour = container(to).filter(|other| {
            sent.place != Place::Container(*other) && CONTAINERS[*other].network.number == port.network.number
        });
        if let Some(neighbour) = neighbour {
            return Wish::Neighbour(neighbour);
        }
    }
    if to != host(is_v4) {
        return Wish::Nothing;
    }
    // a fragment alone says no port
    let published = PUBLICATIONS.iter().filter(|_| has_first(sent)).find_map(|published| {
        let port = published.leads(is_v4, sent.tuple.protocol, sent.tuple.to.port())?;
        Some(Wish::In {
            to: published.container,
            port,
            from_gateway: published.from_gateway || sent.place == Place::Container(published.container),
        })
    });
    published.unwrap_or(Wish::Nothing)
}
