//! Subnets for those who did not choose one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network};

use super::overlap;
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
    pick(state, facts, candidates())
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
    pick(state, facts, candidates)
}

/// Shorter prefixes are no link's: a VPN writes the default route in parts, such as 0.0.0.0/1 and 128.0.0.0/1.
const WIDEST_LINK: u8 = 8;

/// The first candidate that is free. One that a gateway's route covers is taken only where all of them are, and then
/// one under the widest route, because the wider it is the less of it is in use.
fn pick(state: &State, facts: &Facts, candidates: impl Iterator<Item = IpNetwork>) -> Option<IpNetwork> {
    let of_links = facts.routes.iter().filter(|route| route.prefix() >= WIDEST_LINK);
    let parts_of_default = facts.routes.iter().filter(|route| route.prefix() < WIDEST_LINK);
    let by_gateway: Vec<IpNetwork> = facts
        .routes_by_gateway
        .iter()
        .chain(parts_of_default)
        .copied()
        .collect();
    let pools = state.networks.values().flat_map(|network| &network.pools);
    let taken: Vec<IpNetwork> = of_links.copied().chain(pools.map(|pool| pool.subnet)).collect();
    let narrowest = |candidate: IpNetwork| {
        let routes = by_gateway.iter().filter(|route| overlap(**route, candidate));
        routes.map(IpNetwork::prefix).max()
    };
    let mut best = None;
    for candidate in candidates.filter(|candidate| !taken.iter().any(|taken| overlap(*taken, *candidate))) {
        match narrowest(candidate) {
            None => return Some(candidate),
            Some(prefix) if best.is_none_or(|(narrowest, _)| prefix < narrowest) => best = Some((prefix, candidate)),
            Some(_) => {}
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Whether a subnet overlaps one of our networks' (that of `except` apart).
pub fn overlaps_network(state: &State, subnet: IpNetwork, except: Option<&Id>) -> bool {
    let others = state.networks.values().filter(|network| Some(&network.id) != except);
    others
        .flat_map(|network| &network.pools)
        .any(|pool| overlap(pool.subnet, subnet))
}
