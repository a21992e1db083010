//! The part of a directory that the switch itself answers from: names with one address of a family, and
//! addresses. For all others the agent is asked, so that both say the same.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use netswitch_common::address::Address;
use netswitch_common::name::{self, Name, NameKey};

use super::{
    Directory, TIME_TO_LIVE, Touched,
    names::{Holder, Names},
    view::View,
};
use crate::model::Id;

/// The longest label (RFC 1035, 2.3.4).
const LABEL: usize = 63;

/// What may be asked on a network, in lower case.
pub type Question = (Id, String);

impl Directory {
    /// What may be asked about the endpoints of a change: names, names with their network, IPv4 addresses (those
    /// of IPv6 have longer names than the map).
    pub fn questions(&self, touched: &Touched) -> HashSet<Question> {
        let holders = touched.endpoints.iter().filter_map(|id| self.holders.get(id));
        holders.flat_map(|holder| self.questions_about(holder)).collect()
    }

    fn questions_about(&self, holder: &Holder) -> Vec<Question> {
        let Some(names) = self.networks.get(&holder.network) else {
            return Vec::new();
        };
        let full = holder.names.iter().map(|name| names.full(name).to_lowercase());
        let pointers = holder.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(pointer(*address)),
            IpAddr::V6(_) => None,
        });
        let texts = holder.names.iter().cloned().chain(full).chain(pointers);
        texts.map(|text| (holder.network.clone(), text)).collect()
    }

    /// What the switch says to it; `None` where it has no entry.
    pub fn entry(&self, (network, text): &Question) -> Option<(NameKey, Name)> {
        let names = self.networks.get(network)?;
        let name = say(names, text)?;
        let wire = wire(text)?;
        let length = u32::try_from(wire.len()).ok()?;
        Some((
            NameKey::new(names.number, &wire)?,
            Name {
                length: length | name.length,
                ..name
            },
        ))
    }

    /// The networks that the switch answers a sandbox from, under the sandbox's number.
    pub fn answered(&self, sandbox: &Id) -> Option<(u32, name::View)> {
        let view = self.views.get(sandbox)?;
        let mut answered = name::View::default();
        let found = view.networks.iter().map(|seen| {
            let names = self.networks.get(&seen.network)?;
            seen.links.is_empty().then_some(names)
        });
        let Some(names) = found.collect::<Option<Vec<&Names>>>().filter(|_| view.in_kernel) else {
            return Some((view.number, answered));
        };
        // `a.b` is looked for on all networks before `a` is on the network `b`
        let is_clear = names.len() == 1 || !names.iter().any(|names| names.has_dots());
        if is_clear && names.len() <= answered.networks.len() {
            for (place, names) in answered.networks.iter_mut().zip(names) {
                *place = names.number;
            }
        }
        Some((view.number, answered))
    }

    /// Sandboxes on a network that has got its first name with a dot by the change, or lost its last.
    pub fn unclear_since<'a>(&'a self, before: &'a Self, touched: &'a Touched) -> impl Iterator<Item = &'a Id> {
        let holders = touched
            .endpoints
            .iter()
            .filter_map(|id| self.holders.get(id).or_else(|| before.holders.get(id)));
        let networks: HashSet<&Id> = holders.map(|holder| &holder.network).collect();
        let has_dots = |directory: &Self, id: &Id| directory.networks.get(id).is_some_and(Names::has_dots);
        let changed: HashSet<&Id> = networks
            .into_iter()
            .filter(|id| has_dots(self, id) != has_dots(before, id))
            .collect();
        let sees = move |view: &View| view.networks.iter().any(|seen| changed.contains(&seen.network));
        self.views.iter().filter(move |(_, view)| sees(view)).map(|(id, _)| id)
    }
}

/// In the order in which the directory looks.
fn say(names: &Names, text: &str) -> Option<Name> {
    let front = || {
        let dots = text.rmatch_indices('.').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut fronts = dots.filter(|(_, network)| names.is_called(network));
        fronts.find_map(|(front, _)| names.addresses(front))
    };
    if let Some(addresses) = names.addresses(text).or_else(front) {
        return Some(of_addresses(addresses));
    }
    names.full_name(address(text)?.into()).map(|name| of_pointer(&name))
}

/// Under a name that the switch does not answer for.
const UNANSWERED: Name = Name {
    length: 0,
    pointer_length: 0,
    v4: 0,
    time_to_live: TIME_TO_LIVE,
    v6: Address::NONE,
    pointer: [0; name::LONGEST],
};

fn of_addresses(addresses: &[IpAddr]) -> Name {
    let mut found = UNANSWERED;
    for address in addresses {
        match address {
            // they take turns
            IpAddr::V4(_) if found.v4 != 0 => found.length = name::SEVERAL,
            IpAddr::V6(_) if !found.v6.is_none() => found.length = name::SEVERAL,
            IpAddr::V4(v4) => found.v4 = u32::from_ne_bytes(v4.octets()),
            IpAddr::V6(_) => found.v6 = (*address).into(),
        }
    }
    found
}

fn of_pointer(full_name: &str) -> Name {
    let wire = wire(full_name);
    let filled = wire.as_deref().and_then(|wire| Some((wire.len(), name::filled(wire)?)));
    filled.map_or(UNANSWERED, |(length, pointer)| Name {
        pointer_length: u32::try_from(length).unwrap_or(0),
        pointer,
        ..UNANSWERED
    })
}

/// A name on the wire (RFC 1035, 3.1). `None`: nobody can ask for it.
fn wire(text: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    for label in text.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > LABEL {
            return None;
        }
        wire.push(length);
        wire.extend(label.bytes());
    }
    wire.push(0);
    Some(wire)
}

fn pointer(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// The other way round.
fn address(pointer: &str) -> Option<Ipv4Addr> {
    let reversed: Ipv4Addr = pointer.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = reversed.octets();
    Some([d, c, b, a].into())
}
