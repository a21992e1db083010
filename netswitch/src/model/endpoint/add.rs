//! A new endpoint: addresses, MAC, numbers, names; and which one carries the default route.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netswitch_common::address::Mac;

use super::{Endpoint, Settings, openings::Openings};
use crate::{
    api::Error,
    model::{
        Facts, Id, address_pool,
        changes::Draft,
        container::{Container, parse},
        names,
        network::{Network, Pool, create::free_device, options::no_effect},
        policy::Leashes,
        state::State,
    },
};

type Result<T> = std::result::Result<T, Error>;

/// Judges what was asked of an attachment, as far as the network's state today tells.
pub fn check(state: &State, network: &Network, container: &Id, settings: &Settings) -> Result<()> {
    check_support(network, settings)?;
    Openings::of_endpoint(&settings.driver_options)?.check(network)?;
    for (address, pool) in [(settings.ip, network.pool_v4()), (settings.ip6, network.pool_v6())] {
        let (Some(address), Some(pool)) = (address, pool) else {
            continue;
        };
        let holder = state.endpoint_with_address(&network.id, address);
        let taken = holder.is_some_and(|holder| holder.container != *container)
            || state.is_reserved(&network.name, address, container);
        address_pool::check_requested(pool, address, taken)?;
    }
    Ok(())
}

/// Whether the network takes chosen addresses and aliases at all (`validateNetworkingConfig`).
fn check_support(network: &Network, settings: &Settings) -> Result<()> {
    if names::is_predefined(&network.name) {
        if settings.ip.or(settings.ip6).is_some() {
            return Err(Error::bad_request(
                "user specified IP address is supported on user defined networks only",
            ));
        }
        if !settings.aliases.is_empty() {
            return Err(Error::bad_request(
                "network-scoped alias is supported only for containers in user defined networks",
            ));
        }
    }
    let chosen = |pool: Option<&Pool>| pool.is_some_and(|pool| pool.chosen);
    if settings.ip.is_some() && !chosen(network.pool_v4()) || settings.ip6.is_some() && !chosen(network.pool_v6()) {
        return Err(Error::bad_request(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ));
    }
    Ok(())
}

/// Judges what was asked of an attachment without a look at the network.
pub fn check_form(settings: &Settings) -> Result<()> {
    if let Some(address) = settings.ip.filter(|address| !address.is_ipv4()) {
        return Err(Error::bad_request(format!("invalid IPv4 address: {address}")));
    }
    // an IPv4 address in IPv6 clothes is none, as in Go
    if let Some(address) = settings.ip6.filter(|address| address.to_canonical().is_ipv4()) {
        return Err(Error::bad_request(format!("invalid IPv6 address: {address}")));
    }
    if let Some(mac) = settings.mac.filter(|mac| mac.is_group() || *mac == Mac::default()) {
        return Err(Error::bad_request(format!("{mac} is not a valid mac address")));
    }
    for link in &settings.links {
        parse::link(link)?;
    }
    if !settings.link_local_ips.is_empty() {
        return Err(no_effect("--link-local-ip"));
    }
    Openings::of_endpoint(&settings.driver_options).map(drop)
}

/// Gives a container an endpoint on a bridge network, in a sandbox that exists or is in the draft.
pub fn add(
    draft: &mut Draft<'_>,
    facts: &mut Facts,
    container: &Container,
    sandbox: &Id,
    network: &Id,
    settings: &Settings,
) -> Result<()> {
    let mut network = draft
        .network(network)
        .cloned()
        .ok_or_else(|| Error::not_found(format!("network {network} not found")))?;
    let Some(mtu) = network.bridge.as_ref().map(|bridge| bridge.mtu) else {
        return Err(Error::bad_request(format!("network {} has no endpoints", network.name)));
    };
    check_support(&network, settings)?;
    let in_sandbox = draft.endpoints_of_sandbox(sandbox);
    if in_sandbox
        .iter()
        .any(|endpoint| endpoint.container == container.id && endpoint.network == network.id)
    {
        return Err(exists(container, &network));
    }
    let interface = (0..=in_sandbox.len() + facts.interfaces.len())
        .map(|number| format!("eth{number}"))
        .find(|name| !facts.interfaces.contains(name) && !in_sandbox.iter().any(|other| other.interface == *name))
        .unwrap_or_default();
    let v4 = address(draft, container, &mut network, settings.ip, settings.mac, true)?;
    let v6 = address(draft, container, &mut network, settings.ip6, settings.mac, false)?;
    let mac = settings
        .mac
        .or_else(|| v4.map(|v4| mac_of(v4.ip())))
        .unwrap_or_default();
    if draft.has_mac(&network, mac) {
        return Err(Error::conflict(format!(
            "MAC address {mac} is already in use on network {}",
            network.name
        )));
    }
    let own = Openings::of_endpoint(&settings.driver_options)?;
    own.check(&network)?;
    let openings = network
        .bridge
        .as_ref()
        .map_or_else(|| own.clone(), |bridge| own.clone().within(&bridge.openings));
    let (number, generation) = draft.endpoint_number()?;
    let id = facts.id()?;
    let endpoint = Endpoint {
        host_device: free_device(facts, "veth", 7, &id),
        id,
        network: network.id.clone(),
        container: container.id.clone(),
        sandbox: sandbox.clone(),
        number,
        generation,
        slot: draft.member_count(&network.id) + 1,
        mac,
        v4,
        v6,
        interface,
        mtu,
        default_route_v4: false,
        default_route_v6: false,
        index: None,
        publications: Vec::new(),
        openings,
        leashes: Leashes {
            container: container.egress.clone(),
            network: network.bridge.as_ref().and_then(|bridge| bridge.egress.clone()),
        },
    };
    draft.put_endpoint(endpoint);
    draft.put_network(network);
    Ok(())
}

pub fn exists(container: &Container, network: &Network) -> Error {
    let message = format!(
        "endpoint with name {} already exists in network {}",
        container.name, network.name
    );
    Error::forbidden(message)
}

/// The address asked for or the next free one, with the subnet's prefix length; `None` where the
/// network has no such family. A picked address is noted in the pool.
fn address(
    draft: &Draft<'_>,
    container: &Container,
    network: &mut Network,
    asked: Option<IpAddr>,
    mac: Option<Mac>,
    v4: bool,
) -> Result<Option<IpNetwork>> {
    let Some(at) = network.pools.iter().position(|pool| pool.subnet.is_ipv4() == v4) else {
        return Ok(None);
    };
    let picked = {
        let pool = &network.pools[at];
        let taken = |address| draft.has_address(&network.id, address);
        if let Some(address) = asked {
            address_pool::check_requested(pool, address, taken(address))?;
            return with_prefix(pool, address).map(Some);
        }
        // the MAC follows the IPv4 address: one whose MAC somebody chose cannot be picked
        let mac_taken = |address: IpAddr| v4 && mac.is_none() && draft.has_mac(network, mac_of(address));
        let reserved = |address| draft.state().is_reserved(&network.name, address, &container.id);
        address_pool::next(pool, |address| {
            taken(address) || reserved(address) || mac_taken(address)
        })
        .ok_or_else(|| {
            let version = if v4 { 4 } else { 6 };
            Error::internal(format!(
                "no available IPv{version} addresses on this network's address pools: {} ({})",
                network.name, network.id
            ))
        })?
    };
    let pool = &mut network.pools[at];
    pool.last = Some(picked);
    with_prefix(pool, picked).map(Some)
}

fn with_prefix(pool: &Pool, address: IpAddr) -> Result<IpNetwork> {
    IpNetwork::new(address, pool.subnet.prefix()).map_err(|error| Error::internal(error.to_string()))
}

fn mac_of(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(v4) => Mac::of_v4(v4.octets()),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            Mac::of_v4([a, b, c, d])
        }
    }
}

/// Gives each family's default route to the sandbox's endpoint on the first network by name that is
/// not internal, and to that one only.
pub fn choose_default_routes(draft: &mut Draft<'_>, sandbox: &Id) {
    let first = |has: fn(&Endpoint) -> bool| {
        let endpoints = draft.endpoints_of_sandbox(sandbox);
        let named = endpoints
            .into_iter()
            .filter(|endpoint| has(endpoint))
            .filter_map(|endpoint| {
                let network = draft.network(&endpoint.network).filter(|network| !network.internal)?;
                Some((network.name.clone(), endpoint.id.clone()))
            });
        named.min().map(|(_, id)| id)
    };
    let routed = draft
        .sandbox(sandbox)
        .map_or_else(Default::default, |sandbox| sandbox.routed);
    let (v4, v6) = (
        first(|endpoint| endpoint.v4.is_some()).filter(|_| !routed.v4),
        first(|endpoint| endpoint.v6.is_some()).filter(|_| !routed.v6),
    );
    let changed: Vec<Endpoint> = draft
        .endpoints_of_sandbox(sandbox)
        .into_iter()
        .filter_map(|endpoint| {
            let default_route_v4 = v4.as_ref() == Some(&endpoint.id);
            let default_route_v6 = v6.as_ref() == Some(&endpoint.id);
            let same = endpoint.default_route_v4 == default_route_v4 && endpoint.default_route_v6 == default_route_v6;
            (!same).then(|| Endpoint {
                default_route_v4,
                default_route_v6,
                ..endpoint.clone()
            })
        })
        .collect();
    for endpoint in changed {
        draft.put_endpoint(endpoint);
    }
}

#[cfg(test)]
mod tests;
