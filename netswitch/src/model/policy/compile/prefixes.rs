//! Which prefixes of addresses lie within which.

use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};

/// All of IPv4.
const WHOLE: IpNetwork = match Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0) {
    Some(network) => IpNetwork::V4(network),
    None => panic!("0.0.0.0/0 is a network"),
};

/// Each prefix with the selectors of all that hold it, its own included. Where IPv4 lies within one of IPv6
/// (`::ffff:0:0/96`, which is how the maps have it) it stands there with none: `::/0` is not about it.
pub fn nested(mut cidrs: Vec<(IpNetwork, u32)>) -> Vec<(IpNetwork, Vec<u32>)> {
    let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    let hides_v4 = |network: &IpNetwork| matches!(network, IpNetwork::V6(network) if network.contains(mapped));
    let is_hidden = cidrs.iter().any(|(network, _)| hides_v4(network));
    let stands = cidrs.iter().any(|(network, _)| *network == WHOLE);
    let mut nested = Vec::new();
    if is_hidden && !stands {
        nested.push((WHOLE, Vec::new()));
    }
    // what holds others comes right before them
    cidrs.sort_unstable_by_key(|(network, _)| (network.is_ipv6(), network.network(), network.prefix()));
    let mut around: Vec<(IpNetwork, u32)> = Vec::new();
    for (network, selector) in cidrs {
        while around.last().is_some_and(|(outer, _)| !holds(outer, &network)) {
            around.pop();
        }
        around.push((network, selector));
        nested.push((network, around.iter().map(|(_, selector)| *selector).collect()));
    }
    nested
}

fn holds(outer: &IpNetwork, inner: &IpNetwork) -> bool {
    match (outer, inner) {
        (IpNetwork::V4(outer), IpNetwork::V4(inner)) => outer.is_supernet_of(*inner),
        (IpNetwork::V6(outer), IpNetwork::V6(inner)) => outer.is_supernet_of(*inner),
        _ => false,
    }
}
