//! Asks a compiled policy as the switch asks the maps.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::policy::{PROTOCOL_BITS, Ruling, RulingKey, SET_BITS, flags, identity};

use super::{Compiled, Who};

/// One end of a flow.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    Here(Who<'a>),
    World(IpAddr),
}

/// What the policy says of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A rule's number and what it does.
    Ruled(Ruling),
    /// No rule allows it, and one end's default denies it.
    DeniedByDefault,
    Nothing,
}

pub struct Lookup<'a> {
    compiled: &'a Compiled,
    pairs: HashMap<(u32, u32), u32>,
    rulings: HashMap<(RulingKey, u32), Ruling>,
    cidrs: HashMap<IpNetwork, u32>,
}

impl<'a> Lookup<'a> {
    pub fn new(compiled: &'a Compiled) -> Self {
        let pairs = compiled.pairs.iter().map(|(from, to, set)| ((*from, *to), *set));
        let rulings = compiled.rulings.iter();
        Self {
            compiled,
            pairs: pairs.collect(),
            rulings: rulings
                .map(|(key, length, ruling)| ((*key, *length), *ruling))
                .collect(),
            cidrs: compiled.cidrs.iter().copied().collect(),
        }
    }

    /// Of a flow that `from` begins; `port` is the other end's own.
    pub fn answer(&self, from: End<'_>, to: End<'_>, protocol: u8, port: u16) -> Answer {
        if self.compiled.epoch == 0 {
            return Answer::Nothing;
        }
        let ((from, sender), (to, receiver)) = (self.identity(from), self.identity(to));
        let set = self.pairs.get(&(from, to));
        match set.and_then(|set| self.ruling(*set, protocol, port)) {
            Some(ruling) => Answer::Ruled(ruling),
            None if sender & flags::DENY_OUT | receiver & flags::DENY_IN != 0 => Answer::DeniedByDefault,
            None => Answer::Nothing,
        }
    }

    /// How many pairs and rulings there are.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.pairs.len(), self.rulings.len())
    }

    fn identity(&self, end: End<'_>) -> (u32, u32) {
        match end {
            End::Here(who) => self.compiled.standing(&who),
            End::World(address) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                let prefixes = (0..=bits).rev().filter_map(|prefix| {
                    let network = IpNetwork::new(address, prefix).ok()?;
                    IpNetwork::new(network.network(), prefix).ok()
                });
                let mut found = prefixes.filter_map(|network| self.cidrs.get(&network).copied());
                (found.next().unwrap_or(identity::WORLD), 0)
            }
        }
    }

    fn ruling(&self, set: u32, protocol: u8, port: u16) -> Option<Ruling> {
        let key = |protocol: u8, port: u16| RulingKey {
            set,
            protocol,
            _pad: 0,
            port: port.to_be(),
        };
        let ports = (1..=16).rev().map(|length| {
            let mask = u16::MAX << (16 - length);
            (key(protocol, port & mask), PROTOCOL_BITS + length)
        });
        let wider = [(key(protocol, 0), PROTOCOL_BITS), (key(0, 0), SET_BITS)];
        ports.chain(wider).find_map(|place| self.rulings.get(&place).copied())
    }
}
