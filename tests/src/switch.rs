//! The plain model of the switch: what becomes of a frame, in ordinary Rust over ordinary maps,
//! written from the design so that it can disagree with the eBPF program.

pub mod answer;
pub mod guard;
pub mod headers;
pub mod host;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch::action::Entry;
use netswitch_common::{
    address::{Address, Mac},
    endpoint::{Endpoint, Kind, Port, PortKey, flags},
    neighbour::{Neighbour, NeighbourKey},
    network::{Network, Subnet},
    verdict::{Decision, DropReason, Verdict},
    way::Way,
};

use crate::packet::Arp;
use headers::{Headers, Ip, Payload};
use host::{METADATA, is_gateway};

/// Copies that one frame is good for.
pub const MOST_COPIES: usize = 512;

/// The maps that the agent writes, and what the kernel knows besides.
#[derive(Debug, Default)]
pub struct Switch {
    endpoints: HashMap<u32, Endpoint>,
    ports: HashMap<PortKey, Port>,
    neighbours: HashMap<NeighbourKey, Neighbour>,
    networks: HashMap<u32, Network>,
    members: BTreeMap<(u32, u32), u32>,
    subnets: HashMap<IpNetwork, Subnet>,
    /// Addresses that a FIB look-up calls local.
    host_addresses: Vec<IpAddr>,
}

/// What leaves the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Dropped,
    /// The frame as it was, to the device that the decision names.
    Forwarded(Vec<u8>),
    /// As many copies to these devices, [`MOST_COPIES`] of them at most.
    Copied(BTreeMap<u32, usize>),
    /// Another frame, to the sender.
    Answered(Vec<u8>),
}

/// A counter and by how many packets it moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    Path(Verdict),
    /// Of the sender's endpoint id.
    Drop(u32, DropReason),
}

/// One frame on its way: who sent it, what it says.
struct Passage<'a> {
    sender: &'a Endpoint,
    network: &'a Network,
    frame: &'a [u8],
    headers: Headers<'a>,
}

type Outcome = (Decision, Effect);

impl Switch {
    pub fn new(entries: &[Entry], host_addresses: Vec<IpAddr>) -> Self {
        let mut switch = Self {
            host_addresses,
            ..Self::default()
        };
        for entry in entries {
            switch.write(entry);
        }
        switch
    }

    fn write(&mut self, entry: &Entry) {
        let index = |device: &netswitch::action::Device| device.index.expect("the fixture numbers its devices");
        match entry {
            Entry::Endpoint { device, value } => drop(self.endpoints.insert(index(device), *value)),
            Entry::Port { key, value, .. } => drop(self.ports.insert(*key, *value)),
            Entry::Address { key, value, .. } => drop(self.neighbours.insert(*key, *value)),
            Entry::Slot { .. } => (),
            Entry::Network { number, value, .. } => drop(self.networks.insert(*number, *value)),
            Entry::Member { key, value, .. } => drop(self.members.insert((key.network, key.slot), value.ifindex)),
            Entry::Subnet { subnet, value } => drop(self.subnets.insert(*subnet, *value)),
            Entry::Published { .. }
            | Entry::Publication { .. }
            | Entry::Outward { .. }
            | Entry::Source { .. }
            | Entry::View { .. }
            | Entry::Name { .. }
            | Entry::Standing { .. }
            | Entry::Cidr { .. }
            | Entry::Pair { .. }
            | Entry::Ruling { .. }
            | Entry::Leashed { .. }
            | Entry::LeashPorts { .. }
            | Entry::PolicyEpoch(_)
            | Entry::Limits { .. }
            | Entry::Uplink { .. }
            | Entry::Local { .. }
            | Entry::Trusted(_) => {}
        }
    }

    /// What becomes of a frame that arrives on a device.
    pub fn decide(&self, index: u32, frame: &[u8]) -> Outcome {
        let Some(sender) = self.endpoints.get(&index) else {
            return refused(Decision::default(), DropReason::UnknownEndpoint);
        };
        let start = Decision {
            source: sender.id,
            network: sender.network,
            ..Default::default()
        };
        self.judge(sender, frame, start)
            .unwrap_or_else(|reason| refused(start, reason))
    }

    /// The counters that a frame with this outcome moves.
    pub fn counters(decision: &Decision, effect: &Effect) -> BTreeMap<Counter, u64> {
        let verdict = Verdict::from_number(decision.verdict).expect("a verdict");
        let mut counters = BTreeMap::from([(Counter::Path(verdict), 1)]);
        if let Some(reason) = DropReason::from_number(decision.reason) {
            counters.insert(Counter::Drop(decision.source, reason), 1);
        }
        if let Effect::Copied(members) = effect {
            let missed = members.values().sum::<usize>().saturating_sub(MOST_COPIES);
            if missed > 0 {
                let counter = Counter::Drop(decision.source, DropReason::ReplicationLimit);
                counters.insert(counter, missed as u64);
            }
        }
        counters
    }

    fn judge(&self, sender: &Endpoint, frame: &[u8], start: Decision) -> Result<Outcome, DropReason> {
        let passage = Passage {
            sender,
            network: self.networks.get(&sender.network).unwrap_or(&NO_NETWORK),
            frame,
            headers: Headers::parse(frame)?,
        };
        self.guard(&passage)?;
        if let Some(target) = passage.asked_for()?
            && let Some(outcome) = self.answer(&passage, target, start)?
        {
            return Ok(outcome);
        }
        if passage.headers.destination.is_group() {
            self.may_be_heard(&passage)?;
            let verdict = Verdict::Replicate as u32;
            return Ok((Decision { verdict, ..start }, Effect::Copied(self.others(&passage))));
        }
        self.forward(&passage, start)
    }

    /// The devices of all members that may hear the sender.
    fn others(&self, passage: &Passage) -> BTreeMap<u32, usize> {
        let sender = passage.sender;
        let mut others = BTreeMap::new();
        for (_, index) in self.members.range((sender.network, 0)..(sender.network + 1, 0)) {
            let member = self.endpoints.get(index);
            let may = |kind| hears(sender, kind) && (kind != Kind::Host as u8 || passage.finds_the_host_open());
            if member.is_some_and(|member| member.id != sender.id && may(member.kind)) {
                *others.entry(*index).or_default() += 1;
            }
        }
        others
    }

    /// What the host hears of a container's group frame is for all, for the host, or for somebody on
    /// this network; never for another one or for the world.
    fn may_be_heard(&self, passage: &Passage) -> Result<(), DropReason> {
        if passage.is_from_host() {
            return Ok(());
        }
        match self.to_the_host(passage) {
            Ok(()) | Err(DropReason::NotRouted) if passage.may(flags::NO_ICC) && !passage.finds_the_host_open() => {
                Err(DropReason::HostAccess)
            }
            Err(DropReason::NotRouted) => Ok(()),
            judgement => judgement,
        }
    }

    fn forward(&self, passage: &Passage, start: Decision) -> Result<Outcome, DropReason> {
        let key = PortKey {
            network: passage.sender.network,
            mac: passage.headers.destination,
            _pad: [0; 2],
        };
        let Some(port) = self.ports.get(&key) else {
            return answer::unreachable(passage, DropReason::NoSuchNeighbour, start);
        };
        if !hears(passage.sender, port.kind) {
            return Err(DropReason::IccDisabled);
        }
        let verdict = if port.kind == Kind::Host as u8 {
            if let Err(reason) = self.to_the_host(passage) {
                return answer::unreachable(passage, reason, start);
            }
            if !passage.finds_the_host_open() && !passage.goes_on_with_the_host() {
                return Err(DropReason::HostAccess);
            }
            Verdict::Host
        } else {
            Verdict::Peer
        };
        if passage.frame.len() - 14 > usize::from(port.mtu) {
            return answer::too_big(passage, port.mtu, start);
        }
        let decision = Decision {
            verdict: verdict as u32,
            ifindex: port.ifindex,
            way: match verdict {
                Verdict::Host => Way::HostEnd as u8,
                _ => Way::Peer as u8,
            },
            destination: port.id,
            ..start
        };
        Ok((decision, Effect::Forwarded(passage.frame.to_vec())))
    }

    /// A frame to the gateway's MAC is judged by where its packet goes.
    fn to_the_host(&self, passage: &Passage) -> Result<(), DropReason> {
        let Payload::Ip(ip) = &passage.headers.payload else {
            return Ok(());
        };
        let (sender, network, to) = (passage.sender, passage.network, ip.destination);
        let broadcast = to == IpAddr::from([255; 4]);
        if passage.may(flags::NO_METADATA) && METADATA.contains(&to) {
            return Err(DropReason::Metadata);
        }
        if is_mapped(to) || to.is_unspecified() || to.is_loopback() {
            return Err(DropReason::Martian);
        }
        if is_gateway(network, to) || broadcast || to.is_multicast() {
            return Ok(());
        }
        if matches!(to, IpAddr::V6(to) if to.is_unicast_link_local()) {
            return Err(DropReason::NotRouted);
        }
        match self.subnet_of(to) {
            Some(subnet) if subnet.network != sender.network => {
                let is_group = passage.frame[0] & 1 != 0;
                let owner = self.networks.get(&subnet.network);
                if owner.is_some_and(|owner| !is_group && is_gateway(owner, to)) {
                    Ok(())
                } else {
                    Err(DropReason::OtherNetwork)
                }
            }
            _ if self.host_addresses.contains(&to) => Ok(()),
            Some(_) => Err(DropReason::NotRouted),
            None if sender.flags & flags::INTERNAL != 0 => Err(DropReason::InternalNetwork),
            None => Err(DropReason::NoUplink),
        }
    }

    fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        let containing = self.subnets.iter().filter(|(subnet, _)| subnet.contains(address));
        containing
            .max_by_key(|(subnet, _)| subnet.prefix())
            .map(|(_, value)| value)
    }

    /// Answers a question about a neighbour; `None`: it concerns the asker's own address, so it is
    /// an announcement for all to hear.
    fn answer(&self, passage: &Passage, target: IpAddr, start: Decision) -> Result<Option<Outcome>, DropReason> {
        if is_mapped(target) {
            return Err(DropReason::SpoofedNeighbour);
        }
        if self.owns(passage.sender, target) {
            return Ok(None);
        }
        let neighbour = self.neighbour(passage.sender.network, target);
        if passage.ip().is_some_and(|ip| ip.source.is_unspecified()) {
            // duplicate address detection claims the target; nobody else may have it
            return match neighbour {
                Some(_) => Err(DropReason::SpoofedNeighbour),
                None => Ok(None),
            };
        }
        let neighbour = neighbour.ok_or(DropReason::NoSuchNeighbour)?;
        if !hears(passage.sender, neighbour.port.kind) {
            return Err(DropReason::IccDisabled);
        }
        Ok(Some(answer::neighbour(passage, target, neighbour.mac, start)))
    }

    fn neighbour(&self, network: u32, address: IpAddr) -> Option<&Neighbour> {
        let address = address.into();
        self.neighbours.get(&NeighbourKey { network, address })
    }

    /// Whether an address is the endpoint's: its fixed ones, or a further one it was given.
    fn owns(&self, endpoint: &Endpoint, address: IpAddr) -> bool {
        let own = match address {
            IpAddr::V4(v4) => u32::from_ne_bytes(v4.octets()) == endpoint.v4,
            IpAddr::V6(_) => [endpoint.v6, endpoint.link_local].contains(&address.into()),
        };
        let further = || {
            endpoint.flags & flags::MORE_ADDRESSES != 0
                && self
                    .neighbour(endpoint.network, address)
                    .is_some_and(|neighbour| neighbour.port.id == endpoint.id)
        };
        !address.is_unspecified() && (own || further())
    }

    /// Whether an address is the host's: its network's gateway, or by a FIB look-up.
    fn is_local(&self, network: &Network, address: IpAddr) -> bool {
        is_gateway(network, address) || self.host_addresses.contains(&address)
    }
}

impl Passage<'_> {
    fn is_from_host(&self) -> bool {
        self.sender.kind == Kind::Host as u8
    }

    fn may(&self, flag: u32) -> bool {
        self.sender.flags & flag != 0
    }

    /// The address whose MAC this frame asks for.
    fn asked_for(&self) -> Result<Option<IpAddr>, DropReason> {
        match &self.headers.payload {
            Payload::Arp(None) => Err(DropReason::Malformed),
            Payload::Arp(Some(arp)) => {
                let asks = arp.kind == Arp::ETHERNET_V4 && arp.operation == 1 && arp.target.1 != arp.sender.1;
                Ok(asks.then(|| arp.target.1.into()))
            }
            Payload::Ip(ip) if ip.is_solicitation() => {
                let target = ip.target()?;
                // from this link, and no other message (RFC 4861, 7.1.1)
                if ip.hops != 255 || ip.transport[1] != 0 {
                    return Err(DropReason::Malformed);
                }
                Ok(Some(target.into()))
            }
            Payload::Ip(_) | Payload::Vlan | Payload::Other => Ok(None),
        }
    }

    fn ip(&self) -> Option<&Ip<'_>> {
        match &self.headers.payload {
            Payload::Ip(ip) => Some(ip),
            Payload::Arp(_) | Payload::Vlan | Payload::Other => None,
        }
    }
}

/// `::ffff:a.b.c.d`: for programs that speak both families, never for the wire.
fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// Without inter-container communication only the host hears a container.
fn hears(sender: &Endpoint, kind: u8) -> bool {
    sender.flags & flags::NO_ICC == 0 || sender.kind == Kind::Host as u8 || kind == Kind::Host as u8
}

fn refused(start: Decision, reason: DropReason) -> Outcome {
    let decision = Decision {
        verdict: Verdict::Drop as u32,
        reason: reason as u32,
        ..start
    };
    (decision, Effect::Dropped)
}

static NO_NETWORK: Network = Network {
    host_end: 0,
    switch_end: 0,
    flags: 0,
    members: 0,
    mac: Mac([0; 6]),
    mtu: 0,
    gateway_v4: Address::NONE,
    gateway_v6: Address::NONE,
    link_local: Address::NONE,
    source_v4: Address::NONE,
    source_v6: Address::NONE,
};
