//! `network create`.

use netswitch_common::address::Mac;

use super::{Bridge, Driver, Network, options};
use crate::{
    api::{Error, NetworkCreate},
    model::{
        Facts, Id, address_pool,
        address_pool::request,
        changes::{Changes, Draft},
        names,
        state::State,
    },
};

/// What an engine says that does not manage a swarm.
pub const NO_SWARM_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm \
                                    join\" to connect this node to swarm and try again.";

type Result<T> = std::result::Result<T, Error>;

/// Judges a new network; answers with its id and with warnings.
pub fn create(state: &State, facts: &mut Facts, asked: &NetworkCreate) -> Result<(Changes, Id, Vec<String>)> {
    names::check_network(state, &asked.name)?;
    check_kind(asked)?;
    let options = options::parse(&asked.options, asked.enable_ipv6)?;
    if options.gateway.is_isolated() && !asked.internal {
        return Err(Error::internal(
            "gateway mode 'isolated' can only be used for an internal network",
        ));
    }
    let id = facts.id()?;
    let pools = request::pools(state, facts, &id, &asked.name, &asked.pools, asked.enable_ipv6)?;
    let host_end = match &options.host_end {
        Some(name) => {
            check_host_end(state, facts, &id, name)?;
            name.clone()
        }
        None => free_device(facts, "br-", 12, &id),
    };
    let mut draft = Draft::new(state);
    let mut network = Network {
        id: id.clone(),
        name: asked.name.clone(),
        created: facts.now.clone(),
        driver: Driver::Bridge,
        internal: asked.internal,
        attachable: asked.attachable,
        enable_ipv6: asked.enable_ipv6,
        pools: pools.active,
        idle_pools: pools.idle,
        ipam_options: asked.ipam_options.clone(),
        options: asked.options.clone(),
        labels: asked.labels.clone(),
        bridge: None,
    };
    options.openings.check(&network)?;
    network.bridge = Some(bridge(&mut draft, facts, &network, host_end, &options)?);
    draft.put_network(network);
    Ok((draft.finish(), id, Vec::new()))
}

/// Everything but name, options and pools: what kind of network it is to be.
fn check_kind(asked: &NetworkCreate) -> Result<()> {
    if asked.config_only {
        return Err(options::no_effect("--config-only"));
    }
    match asked.driver.as_str() {
        "" | "bridge" => {}
        driver @ ("host" | "null") => {
            return Err(Error::forbidden(format!(
                "only one instance of {driver:?} network is allowed"
            )));
        }
        "overlay" => return Err(Error::forbidden(NO_SWARM_MANAGER)),
        driver => return Err(Error::not_found(format!("plugin {driver:?} not found"))),
    }
    if asked.disable_ipv4 {
        return Err(options::no_effect("--ipv4=false"));
    }
    if asked.ingress {
        return Err(Error::forbidden("Ingress network can only be global scope network"));
    }
    match asked.scope.as_str() {
        "" | "local" => {}
        "swarm" => {
            return Err(Error::forbidden(
                "cannot create a swarm scoped network when swarm is not active",
            ));
        }
        scope => return Err(options::no_effect(&format!("--scope {scope}"))),
    }
    if !asked.config_from.is_empty() {
        let message = format!("configuration network {:?} does not exist", asked.config_from);
        return Err(Error::not_found(message));
    }
    match asked.ipam_driver.as_str() {
        "" | "default" => {}
        "null" => return Err(options::no_effect("--ipam-driver null")),
        driver => return Err(Error::not_found(format!("plugin {driver:?} not found"))),
    }
    match asked.ipam_options.iter().flatten().next() {
        Some((option, _)) => Err(options::no_effect(&format!("--ipam-opt {option}"))),
        None => Ok(()),
    }
}

fn check_host_end(state: &State, facts: &Facts, id: &Id, name: &str) -> Result<()> {
    let same_name = |network: &&Network| network.bridge.as_ref().is_some_and(|bridge| bridge.host_end == name);
    if let Some(other) = state.networks.values().find(same_name) {
        return Err(Error::forbidden(format!(
            "cannot create network {id} ({name}): conflicts with network {} ({name}): networks have same bridge name",
            other.id
        )));
    }
    if facts.devices.iter().any(|device| device == name) {
        return Err(Error::conflict(format!("device {name} exists already")));
    }
    Ok(())
}

/// The switch's side of a network, numbers and devices chosen.
pub(super) fn bridge(
    draft: &mut Draft<'_>,
    facts: &Facts,
    network: &Network,
    host_end: String,
    options: &options::Options,
) -> Result<Bridge> {
    let (host_port, host_port_generation) = draft.endpoint_number()?;
    Ok(Bridge {
        number: draft.network_number()?,
        host_port,
        host_port_generation,
        host_end,
        switch_end: free_device(facts, "sw-", 8, &network.id),
        mac: gateway_mac(network),
        mtu: options.mtu,
        icc: options.icc,
        big_tcp: options.big_tcp,
        allow: options.allow,
        closed: options.closed,
        gateway: options.gateway,
        trusted: options.trusted.clone(),
        name_servers: options.name_servers.clone(),
        host_names: options.host_names,
        egress: options.egress.clone(),
        openings: options.openings.clone(),
        host_end_index: None,
        switch_end_index: None,
    })
}

/// `02:42` and the gateway's address: no endpoint's, as the gateway's address is none's.
fn gateway_mac(network: &Network) -> Mac {
    match network.pool_v4().map(|pool| pool.gateway) {
        Some(std::net::IpAddr::V4(address)) => Mac::of_v4(address.octets()),
        _ => Mac::of_v4([0, 0, 0, 1]),
    }
}

/// A device name from digits of an id; the digits that follow where it is taken.
pub(crate) fn free_device(facts: &Facts, prefix: &str, digits: usize, id: &Id) -> String {
    let names = (0..=id.0.len().saturating_sub(digits)).filter_map(|from| {
        let name = format!("{prefix}{}", id.0.get(from..from + digits)?);
        (!facts.devices.contains(&name)).then_some(name)
    });
    let mut names = names;
    names.next().unwrap_or_else(|| format!("{prefix}{}", id.short()))
}

/// Whether a subnet that is about to be used belongs to another network already.
pub(super) fn check_overlap(state: &State, subnet: ipnetwork::IpNetwork, except: Option<&Id>) -> Result<()> {
    if address_pool::automatic::overlaps_network(state, subnet, except) {
        return Err(Error::forbidden("Pool overlaps with other one on this address space"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
