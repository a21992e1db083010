//! `--subnet`, `--ip-range`, `--gateway` and `--aux-address`, checked with the engine's words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Result, automatic, check_requested, check_subnet, next, parse_cidr, subnet_of};
use crate::{
    api::{Error, PoolRequest},
    model::{Facts, Id, network::Pool, state::State},
};

/// The pools of a new network, v4 before v6; and those that stay idle.
pub struct Pools {
    pub active: Vec<Pool>,
    pub idle: Vec<Pool>,
}

/// Judges the pools asked for and picks those that are missing.
pub fn pools(
    state: &State,
    facts: &Facts,
    id: &Id,
    name: &str,
    requests: &[PoolRequest],
    enable_ipv6: bool,
) -> Result<Pools> {
    let mut chosen = Vec::new();
    for request in requests {
        let pool = chosen_pool(name, request)?;
        chosen.push(pool);
    }
    let (mut active, v6): (Vec<Pool>, Vec<Pool>) = chosen.into_iter().partition(|pool| pool.subnet.is_ipv4());
    if active.len() > 1 || v6.len() > 1 {
        return Err(Error::forbidden("bridge driver doesn't support multiple subnets"));
    }
    if active.is_empty() {
        let subnet = automatic::pick_v4(state, facts).ok_or_else(|| none_left(4))?;
        active.push(automatic_pool(subnet)?);
    }
    let idle = if !enable_ipv6 {
        v6
    } else if v6.is_empty() {
        let subnet = automatic::pick_v6(state, facts, id).ok_or_else(|| none_left(6))?;
        active.push(automatic_pool(subnet)?);
        Vec::new()
    } else {
        active.extend(v6);
        Vec::new()
    };
    if active
        .iter()
        .any(|pool| pool.chosen && automatic::overlaps_network(state, pool.subnet, None))
    {
        return Err(Error::forbidden("Pool overlaps with other one on this address space"));
    }
    Ok(Pools { active, idle })
}

/// A pool that nobody chose; its gateway is the first address.
pub fn automatic_pool(subnet: IpNetwork) -> Result<Pool> {
    let mut pool = empty(subnet, None);
    pool.gateway = first_gateway(&pool)?;
    Ok(Pool {
        chosen: false,
        shows_gateway: true,
        ..pool
    })
}

fn chosen_pool(network: &str, request: &PoolRequest) -> Result<Pool> {
    let subnet = parse_cidr(&request.subnet).map(subnet_of).ok_or_else(|| {
        Error::internal(format!(
            "Invalid subnet {0} : invalid CIDR address: {0}",
            request.subnet
        ))
    })?;
    check_subnet(subnet)?;
    let mut pool = empty(subnet, ip_range(subnet, request)?);
    let gateway_refused = |text: &dyn std::fmt::Display| {
        Error::internal(format!("failed to allocate gateway ({}): {text}", request.gateway))
    };
    if request.gateway.is_empty() {
        pool.gateway = first_gateway(&pool)?;
    } else {
        let gateway: IpAddr = request.gateway.parse().map_err(|_| {
            Error::bad_request(format!(
                "invalid gateway address {} in Ipam configuration",
                request.gateway
            ))
        })?;
        if !subnet.contains(gateway) {
            return Err(gateway_refused(&"Requested address is out of range"));
        }
        check_requested(&pool, gateway, false).map_err(|error| gateway_refused(&error))?;
        pool.gateway = gateway;
    }
    for (key, text) in &request.auxiliary {
        let address: IpAddr = text.parse().map_err(|_| {
            Error::bad_request(format!(
                "non parsable secondary ip address ({key}:{text}) passed for network {network}"
            ))
        })?;
        if !subnet.contains(address) {
            return Err(Error::forbidden(format!(
                "auxiliary address: ({key}:{text}) must belong to the master pool: {subnet}"
            )));
        }
        check_requested(&pool, address, false).map_err(|error| {
            Error::internal(format!(
                "failed to allocate secondary ip address ({key}:{text}): {error}"
            ))
        })?;
        pool.auxiliary.insert(key.clone(), address);
    }
    Ok(Pool {
        shows_gateway: !request.gateway.is_empty(),
        ..pool
    })
}

fn ip_range(subnet: IpNetwork, request: &PoolRequest) -> Result<Option<IpNetwork>> {
    if request.ip_range.is_empty() {
        return Ok(None);
    }
    let range = parse_cidr(&request.ip_range).map(subnet_of).ok_or_else(|| {
        Error::internal(format!(
            "failed to parse pool request for address space \"LocalDefault\" pool {:?} subpool {:?}: Invalid Address SubPool",
            request.subnet, request.ip_range
        ))
    })?;
    if range.prefix() < subnet.prefix() || !subnet.contains(range.network()) {
        return Err(Error::bad_request(format!(
            "no matching subnet for range {}",
            request.ip_range
        )));
    }
    Ok(Some(range))
}

/// A chosen pool without a gateway: the address stands for "none yet", as it is never given out.
fn empty(subnet: IpNetwork, ip_range: Option<IpNetwork>) -> Pool {
    Pool {
        subnet,
        gateway: subnet.network(),
        chosen: true,
        shows_gateway: false,
        ip_range,
        auxiliary: BTreeMap::new(),
        last: None,
    }
}

/// As in the engine, a gateway that is not chosen comes from the range, too.
fn first_gateway(pool: &Pool) -> Result<IpAddr> {
    next(pool, |_| false)
        .ok_or_else(|| Error::internal("failed to allocate gateway (): No available addresses on this pool"))
}

fn none_left(version: u8) -> Error {
    Error::not_found(format!(
        "could not find an available, non-overlapping IPv{version} address pool among the defaults to assign to the network"
    ))
}
