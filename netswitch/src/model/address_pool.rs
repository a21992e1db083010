//! Subnets: read as Docker reads them, chosen by the user or picked for them, and the next free
//! address in one.

pub mod automatic;
pub mod request;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::network::Pool;
use crate::api::Error;

type Result<T> = std::result::Result<T, Error>;

/// Reads `address/prefix length`; the host bits stay. Nothing else, as Go's `net.ParseCIDR`.
pub fn parse_cidr(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let network = IpNetwork::new(address.parse().ok()?, prefix.parse().ok()?).ok()?;
    // an IPv4 address in IPv6 clothes (::ffff:0:0/96) would be mistaken for the IPv4 one in the maps
    let mapped = network.is_ipv6() && network.network().to_canonical().is_ipv4();
    (!mapped).then_some(network)
}

/// The subnet itself: host bits zero.
pub fn subnet_of(address: IpNetwork) -> IpNetwork {
    // the prefix length was valid already
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}

/// Address blocks that no network may hold or reach into, and what they are for.
const RESERVED: [(IpAddr, u8, &str); 7] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8, "unspecified"),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8, "loopback"),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4, "multicast"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 127, "unspecified and loopback"),
    (
        IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)),
        96,
        "IPv4-mapped",
    ),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10, "link-local"),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8, "multicast"),
];

/// Refuses a subnet with addresses that mean something else everywhere.
pub fn check_subnet(subnet: IpNetwork) -> Result<()> {
    for (address, prefix, name) in RESERVED {
        if IpNetwork::new(address, prefix).is_ok_and(|reserved| overlap(reserved, subnet)) {
            return Err(Error::bad_request(format!(
                "invalid subnet {subnet}: it overlaps the {name} addresses {address}/{prefix}"
            )));
        }
    }
    Ok(())
}

pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

/// First and last address that may be given out, as numbers: all but the network's address and, in
/// IPv4, the broadcast address. `None` where nothing is left (/32, /31).
fn usable(pool: &Pool) -> Option<(u128, u128)> {
    let (network, last) = bounds(pool.subnet);
    let (from, to) = pool.ip_range.map_or((network, last), bounds);
    let first = from.max(network.checked_add(1)?);
    let last = if pool.subnet.is_ipv4() { to.min(last - 1) } else { to };
    (first <= last).then_some((first, last))
}

fn bounds(subnet: IpNetwork) -> (u128, u128) {
    match subnet {
        IpNetwork::V4(v4) => (u32::from(v4.network()).into(), u32::from(v4.broadcast()).into()),
        IpNetwork::V6(v6) => (u128::from(v6.network()), u128::from(v6.broadcast())),
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The next free address of a pool, from its range if it has one: behind the one given out last,
/// then again from the start. `taken` need not know the pool's own gateway and auxiliary addresses.
///
/// Costs a look per taken address in a row, however large the pool.
pub fn next(pool: &Pool, mut taken: impl FnMut(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, last) = usable(pool)?;
    let address = |number: u128| match pool.subnet {
        IpNetwork::V4(_) => u32::try_from(number).map(Ipv4Addr::from).map(IpAddr::V4).ok(),
        IpNetwork::V6(_) => Some(IpAddr::V6(Ipv6Addr::from(number))),
    };
    let start = match pool.last.map(number_of) {
        Some(given) if (first..last).contains(&given) => given + 1,
        _ => first,
    };
    (start..=last)
        .chain(first..start)
        .filter_map(address)
        .find(|&address| !is_own(pool, address) && !taken(address))
}

/// Judges an address that somebody asked for.
pub fn check_requested(pool: &Pool, address: IpAddr, taken: bool) -> Result<()> {
    if !pool.subnet.contains(address) {
        return Err(Error::bad_request(not_in_any_subnet(address)));
    }
    let (network, last) = bounds(pool.subnet);
    let number = number_of(address);
    let special = number == network || (pool.subnet.is_ipv4() && number == last);
    if taken || special || is_own(pool, address) {
        return Err(Error::forbidden("Address already in use"));
    }
    Ok(())
}

pub fn not_in_any_subnet(address: IpAddr) -> String {
    format!("Invalid address {address}: It does not belong to any of this network's subnets")
}

/// Gateway and auxiliary addresses.
fn is_own(pool: &Pool, address: IpAddr) -> bool {
    pool.gateway == address || pool.auxiliary.values().any(|auxiliary| *auxiliary == address)
}

#[cfg(test)]
mod tests;
