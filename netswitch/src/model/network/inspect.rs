//! `network inspect` and `network ls`.

use std::collections::BTreeMap;

use super::{Driver, Network, Pool};
use crate::{
    api::{ConfigFrom, EndpointResource, Error, Filters, IpamConfig, IpamResource, NetworkResource},
    model::{
        container::{Container, Mode},
        filter, names, natural_order,
        state::State,
    },
};

/// One network with its running containers, by name, id or beginning of the id.
pub fn inspect(state: &State, key: &str) -> Result<NetworkResource, Error> {
    let network = state.network(key)?;
    Ok(NetworkResource {
        containers: containers(state, network),
        ..resource(network)
    })
}

/// The networks that the filters let through, by name, without their containers.
pub fn list(state: &State, filters: &Filters) -> Result<Vec<NetworkResource>, Error> {
    filter::check(filters, &["dangling", "driver", "id", "label", "name", "scope", "type"])?;
    let dangling = dangling(filters)?;
    for kind in filter::given(filters, "type").unwrap_or_default() {
        if kind != "builtin" && kind != "custom" {
            return Err(Error::internal(format!("invalid filter: 'type'='{kind}'")));
        }
    }
    let (ids, named) = (filter::patterns(filters, "id"), filter::patterns(filters, "name"));
    let shown = |network: &&Network| {
        let builtin = names::is_predefined(&network.name);
        let unused = !builtin && state.member_count(&network.id) == 0;
        filter::exact(filters, "driver", network.driver.name())
            && named.match_value(&network.name)
            && ids.match_value(&network.id.0)
            && filter::labels(filters, "label", &network.labels)
            && filter::exact(filters, "scope", "local")
            && filter::exact(filters, "type", if builtin { "builtin" } else { "custom" })
            && dangling.is_none_or(|dangling| dangling == unused)
    };
    let mut networks: Vec<NetworkResource> = state.networks.values().filter(shown).map(resource).collect();
    networks.sort_by(|a, b| natural_order::compare(&a.name, &b.name));
    Ok(networks)
}

fn dangling(filters: &Filters) -> Result<Option<bool>, Error> {
    match filter::given(filters, "dangling") {
        None => Ok(None),
        Some([value]) => match value.as_str() {
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err(Error::bad_request(
                "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
            )),
        },
        Some(_) => Err(Error::bad_request(
            "got more than one value for filter key \"dangling\"",
        )),
    }
}

fn resource(network: &Network) -> NetworkResource {
    NetworkResource {
        name: network.name.clone(),
        id: network.id.0.clone(),
        created: network.created.clone(),
        scope: "local".into(),
        driver: network.driver.name().into(),
        enable_ipv4: Some(network.pool_v4().is_some()),
        enable_ipv6: network.enable_ipv6,
        ipam: IpamResource {
            driver: "default".into(),
            options: network.ipam_options.clone(),
            config: network.pools.iter().chain(&network.idle_pools).map(config).collect(),
        },
        internal: network.internal,
        attachable: network.attachable,
        ingress: false,
        config_from: ConfigFrom::default(),
        config_only: false,
        containers: BTreeMap::new(),
        options: network.options.clone(),
        labels: network.labels.clone(),
    }
}

fn config(pool: &Pool) -> IpamConfig {
    IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.ip_range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: if pool.shows_gateway {
            pool.gateway.to_string()
        } else {
            String::new()
        },
        auxiliary: pool
            .auxiliary
            .iter()
            .map(|(key, address)| (key.clone(), address.to_string()))
            .collect(),
    }
}

fn containers(state: &State, network: &Network) -> BTreeMap<String, EndpointResource> {
    let name = |id| {
        state
            .containers
            .get(id)
            .map(|container: &Container| container.name.clone())
            .unwrap_or_default()
    };
    let with_endpoint = state.endpoints_of_network(&network.id).map(|endpoint| {
        let text = |address: Option<ipnetwork::IpNetwork>| address.map(|address| address.to_string());
        let resource = EndpointResource {
            name: name(&endpoint.container),
            endpoint_id: endpoint.id.0.clone(),
            mac_address: endpoint.mac.to_string(),
            ipv4_address: text(endpoint.v4).unwrap_or_default(),
            ipv6_address: text(endpoint.v6).unwrap_or_default(),
        };
        (endpoint.container.0.clone(), resource)
    });
    // containers on host and none have no interface of ours: the sandbox stands for the endpoint
    let without = (network.driver != Driver::Bridge).then(|| state.containers.values());
    let without = without.into_iter().flatten().filter_map(|container| {
        let on_it = matches!(
            (network.driver, &container.mode),
            (Driver::Host, Mode::Host) | (Driver::Null, Mode::None)
        );
        let sandbox = container.sandbox.as_ref().filter(|_| on_it)?;
        let resource = EndpointResource {
            name: container.name.clone(),
            endpoint_id: sandbox.0.clone(),
            mac_address: String::new(),
            ipv4_address: String::new(),
            ipv6_address: String::new(),
        };
        Some((container.id.0.clone(), resource))
    });
    with_endpoint.chain(without).collect()
}

#[cfg(test)]
mod tests;
