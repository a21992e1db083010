//! Subnets for those who did not choose one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network};

use super::{bounds, overlap};
use crate::model::{Facts, Id, state::State};

/// (base, its prefix length, prefix length of the slices). The first seven are Docker's own
/// (libnetwork `ipamutils`), 31 networks in all; the last adds 2,048 and keeps clear of Docker's
/// global pools (10.0/16, swarm), Podman's (10.88/15) and Kubernetes' usual ones (10.96/12, 10.244/16).
const BASES: [(Ipv4Addr, u8, u8); 8] = [
    (Ipv4Addr::new(172, 17, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 18, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 19, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 20, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 24, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 28, 0, 0), 14, 16),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
    (Ipv4Addr::new(10, 200, 0, 0), 13, 24),
];

/// Every IPv4 subnet that may be picked, in order.
pub fn candidates() -> impl Iterator<Item = IpNetwork> {
    BASES.into_iter().flat_map(|(base, prefix, slice)| {
        (0..1_u32 << (slice - prefix)).filter_map(move |number| {
            let address = Ipv4Addr::from(u32::from(base) + (number << (32 - slice)));
            Ipv4Network::new(address, slice).ok().map(IpNetwork::V4)
        })
    })
}

/// An IPv4 subnet that overlaps none of our networks and nothing on the host's links.
pub fn pick_v4(state: &State, facts: &Facts) -> Option<IpNetwork> {
    pick(state, facts, false, candidates())
}

/// A unique local /64 (RFC 4193) whose 56 random bits come from the network's id, so that the same
/// network always gets the same.
pub fn pick_v6(state: &State, facts: &Facts, id: &Id) -> Option<IpNetwork> {
    // 14 hexadecimal digits make 56 bits; a collision is settled by the digits that follow
    let candidates = (0..id.0.len().saturating_sub(13)).filter_map(|from| {
        let random = u64::from_str_radix(id.0.get(from..from + 14)?, 16).ok()?;
        let address = Ipv6Addr::from((0xfd << 120) | (u128::from(random) << 64));
        IpNetwork::new(IpAddr::V6(address), 64).ok()
    });
    pick(state, facts, true, candidates)
}

/// Shorter prefixes are no link's: a VPN writes the default route in parts, such as 0.0.0.0/1 and 128.0.0.0/1.
const WIDEST_LINK: u8 = 8;

/// The first candidate that is free. One that a gateway's route covers is taken only where all of them are, and then
/// one under the widest route, because the wider it is the less of it is in use.
fn pick(state: &State, facts: &Facts, v6: bool, candidates: impl Iterator<Item = IpNetwork>) -> Option<IpNetwork> {
    let (of_links, parts_of_default): (Vec<IpNetwork>, Vec<IpNetwork>) =
        facts.routes.iter().partition(|route| route.prefix() >= WIDEST_LINK);
    let pools = state.networks.values().flat_map(|network| &network.pools);
    let pools = pools.map(|pool| pool.subnet);
    let taken = Intervals::of(
        of_links
            .into_iter()
            .chain(pools)
            .filter(|subnet| subnet.is_ipv6() == v6),
    );
    let mut by_prefix: BTreeMap<u8, Vec<IpNetwork>> = BTreeMap::new();
    let by_gateway = facts.routes_by_gateway.iter().copied().chain(parts_of_default);
    for route in by_gateway.filter(|route| route.is_ipv6() == v6) {
        by_prefix.entry(route.prefix()).or_default().push(route);
    }
    let by_gateway: Vec<(u8, Intervals)> = by_prefix
        .into_iter()
        .rev()
        .map(|(prefix, routes)| (prefix, Intervals::of(routes.into_iter())))
        .collect();
    let narrowest = |candidate| {
        let mut routes = by_gateway.iter();
        routes
            .find(|(_, routes)| routes.meet(candidate))
            .map(|(prefix, _)| *prefix)
    };
    let mut best = None;
    for candidate in candidates.filter(|candidate| !taken.meet(*candidate)) {
        match narrowest(candidate) {
            None => return Some(candidate),
            Some(prefix) if best.is_none_or(|(narrowest, _)| prefix < narrowest) => best = Some((prefix, candidate)),
            Some(_) => {}
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Addresses of many subnets of one family, first and last of each stretch, in order.
struct Intervals(Vec<(u128, u128)>);

impl Intervals {
    fn of(subnets: impl Iterator<Item = IpNetwork>) -> Self {
        let mut sorted: Vec<(u128, u128)> = subnets.map(bounds).collect();
        sorted.sort_unstable();
        // of two subnets that overlap one holds the other
        sorted.dedup_by(|(_, last), (_, before)| *last <= *before);
        Self(sorted)
    }

    /// Whether one of the subnets overlaps another.
    fn meet(&self, other: IpNetwork) -> bool {
        let (first, last) = bounds(other);
        let at = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(at).is_some_and(|(start, _)| *start <= last)
    }
}

/// Whether a subnet overlaps one of our networks' (that of `except` apart).
pub fn overlaps_network(state: &State, subnet: IpNetwork, except: Option<&Id>) -> bool {
    let others = state.networks.values().filter(|network| Some(&network.id) != except);
    others
        .flat_map(|network| &network.pools)
        .any(|pool| overlap(pool.subnet, subnet))
}
