//! Which `--ip-range`, `--gateway` and `--aux-address` belongs to which `--subnet`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::api::PoolRequest;

/// Matches them as Docker's client does, in its words where it refuses; everything else that may be
/// wrong with them is the agent's to judge.
pub fn pools(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    auxiliary: &BTreeMap<String, String>,
) -> Result<Vec<PoolRequest>, String> {
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".to_owned());
    }
    let mut pools: Vec<PoolRequest> = Vec::new();
    for subnet in subnets {
        for known in &pools {
            if contains(subnet, &known.subnet)? || contains(&known.subnet, subnet)? {
                return Err("multiple overlapping subnet configuration is not supported".to_owned());
            }
        }
        pools.push(PoolRequest {
            subnet: subnet.clone(),
            ..PoolRequest::default()
        });
    }
    for range in ranges {
        let pool = matching(&mut pools, range)?.ok_or_else(|| format!("no matching subnet for range {range}"))?;
        if !pool.ip_range.is_empty() {
            return Err(format!(
                "cannot configure multiple ranges ({range}, {}) on the same subnet ({})",
                pool.ip_range, pool.subnet
            ));
        }
        pool.ip_range.clone_from(range);
    }
    for gateway in gateways {
        let pool = matching(&mut pools, gateway)?.ok_or_else(|| format!("no matching subnet for gateway {gateway}"))?;
        if !pool.gateway.is_empty() {
            return Err(format!(
                "cannot configure multiple gateways ({gateway}, {}) for the same subnet ({})",
                pool.gateway, pool.subnet
            ));
        }
        pool.gateway.clone_from(gateway);
    }
    for (name, address) in auxiliary {
        let pool =
            matching(&mut pools, address)?.ok_or_else(|| format!("no matching subnet for aux-address {address}"))?;
        pool.auxiliary.insert(name.clone(), address.clone());
    }
    Ok(pools)
}

/// The pool that an address or a range begins in.
fn matching<'a>(pools: &'a mut [PoolRequest], text: &str) -> Result<Option<&'a mut PoolRequest>, String> {
    for pool in pools {
        if contains(&pool.subnet, text)? {
            return Ok(Some(pool));
        }
    }
    Ok(None)
}

/// Whether the subnet holds an address, or the first of a prefix.
fn contains(subnet: &str, text: &str) -> Result<bool, String> {
    let subnet = network(subnet).map_err(|error| format!("invalid subnet: {error}"))?;
    let address = if text.contains('/') {
        Some(network(text)?.ip())
    } else {
        text.parse::<IpAddr>().ok()
    };
    Ok(address.is_some_and(|address| subnet.contains(address)))
}

fn network(text: &str) -> Result<IpNetwork, String> {
    let parsed = text.contains('/').then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| format!("invalid CIDR address: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subnets, ranges, gateways and auxiliary addresses, separated by spaces.
    fn check(subnets: &str, ranges: &str, gateways: &str, auxiliary: &str) -> Result<Vec<PoolRequest>, String> {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let auxiliary = list(auxiliary)
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .collect();
        pools(&list(subnets), &list(ranges), &list(gateways), &auxiliary)
    }

    #[test]
    fn everything_finds_the_subnet_it_lies_in() {
        let pools = check(
            "10.1.0.0/16 fd00::/64",
            "10.1.4.0/24",
            "fd00::1 10.1.0.9",
            "router=10.1.0.5 six=fd00::5",
        )
        .unwrap();
        assert_eq!(
            (pools[0].gateway.as_str(), pools[1].gateway.as_str()),
            ("10.1.0.9", "fd00::1")
        );
        assert_eq!(
            (pools[0].ip_range.as_str(), pools[1].ip_range.as_str()),
            ("10.1.4.0/24", "")
        );
        assert_eq!(pools[0].auxiliary["router"], "10.1.0.5");
        assert_eq!(pools[1].auxiliary["six"], "fd00::5");
    }

    #[test]
    fn what_fits_no_subnet_is_refused_in_dockers_words() {
        let every = "every ip-range or gateway must have a corresponding subnet";
        let overlap = "multiple overlapping subnet configuration is not supported";
        let rows = [
            ("", "", "1.2.3", "", every),
            ("10.0.0.0/24", "10.0.0.0/25 10.0.0.128/25", "", "", every),
            ("10.0.0.0/24 10.0.0.0/25", "", "", "", overlap),
            ("10.0.0.0/25 10.0.0.0/24", "", "", "", overlap),
            (
                "10.0.0.0/24",
                "",
                "11.0.0.1",
                "",
                "no matching subnet for gateway 11.0.0.1",
            ),
            (
                "10.0.0.0/24",
                "11.0.0.0/25",
                "",
                "",
                "no matching subnet for range 11.0.0.0/25",
            ),
            ("10.0.0.0/24", "foo", "", "", "no matching subnet for range foo"),
            (
                "10.0.0.0/24",
                "",
                "",
                "a=1.2.3.4",
                "no matching subnet for aux-address 1.2.3.4",
            ),
            ("foo", "", "1.2.3.4", "", "invalid subnet: invalid CIDR address: foo"),
            (
                "10.0.0.0/24 11.0.0.0/24",
                "",
                "10.0.0.1 10.0.0.2",
                "",
                "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)",
            ),
        ];
        for (subnets, ranges, gateways, auxiliary, message) in rows {
            assert_eq!(check(subnets, ranges, gateways, auxiliary), Err(message.to_owned()));
        }
        assert!(
            check("foo", "", "", "").is_ok(),
            "a lone subnet is the agent's to judge"
        );
    }
}
