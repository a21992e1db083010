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

/// The first IPv4 subnet that overlaps neither a route of the host nor one of our networks.
pub fn pick_v4(state: &State, facts: &Facts) -> Option<IpNetwork> {
    let taken: Vec<IpNetwork> = occupied(state, facts).filter(IpNetwork::is_ipv4).collect();
    candidates().find(|candidate| !taken.iter().any(|taken| overlap(*taken, *candidate)))
}

/// A unique local /64 (RFC 4193) whose 56 random bits come from the network's id, so that the same
/// network always gets the same.
pub fn pick_v6(state: &State, facts: &Facts, id: &Id) -> Option<IpNetwork> {
    let taken: Vec<IpNetwork> = occupied(state, facts).filter(IpNetwork::is_ipv6).collect();
    // 14 hexadecimal digits make 56 bits; a collision is settled by the digits that follow
    (0..id.0.len().saturating_sub(13)).find_map(|from| {
        let random = u64::from_str_radix(id.0.get(from..from + 14)?, 16).ok()?;
        let address = Ipv6Addr::from((0xfd << 120) | (u128::from(random) << 64));
        let candidate = IpNetwork::new(IpAddr::V6(address), 64).ok()?;
        (!taken.iter().any(|taken| overlap(*taken, candidate))).then_some(candidate)
    })
}

/// Whether a subnet overlaps one of our networks' (that of `except` apart).
pub fn overlaps_network(state: &State, subnet: IpNetwork, except: Option<&Id>) -> bool {
    let others = state.networks.values().filter(|network| Some(&network.id) != except);
    others
        .flat_map(|network| &network.pools)
        .any(|pool| overlap(pool.subnet, subnet))
}

fn occupied<'a>(state: &'a State, facts: &'a Facts) -> impl Iterator<Item = IpNetwork> + 'a {
    let pools = state
        .networks
        .values()
        .flat_map(|network| &network.pools)
        .map(|pool| pool.subnet);
    facts.routes.iter().copied().chain(pools)
}
