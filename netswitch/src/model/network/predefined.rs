//! The networks that exist from the start: `bridge`, `host` and `none`.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use super::{Driver, Network, Pool, create, options, renumber::renumber};
use crate::{
    api::Error,
    model::{
        Facts,
        address_pool::{automatic, check_subnet, request, subnet_of},
        changes::{Changes, Draft},
        state::State,
    },
};

/// Makes those of `bridge`, `host` and `none` that do not exist. `bip` is the address of the
/// default network's gateway with its prefix length; another one than before renumbers the network.
pub fn predefined(state: &State, facts: &mut Facts, bip: Option<IpNetwork>) -> Result<Changes, Error> {
    let mut draft = Draft::new(state);
    for (name, driver) in [("host", Driver::Host), ("none", Driver::Null)] {
        if state.network_named(name).is_none() {
            let network = plain(facts, name, driver)?;
            draft.put_network(network);
        }
    }
    match (state.network_named("bridge"), bip) {
        (None, _) => {
            let network = default_bridge(&mut draft, facts, bip)?;
            draft.put_network(network);
        }
        (Some(bridge), Some(bip)) => return Ok(draft.finish().then(renumber(state, &bridge.id, bip)?)),
        (Some(_), None) => {}
    }
    Ok(draft.finish())
}

fn plain(facts: &mut Facts, name: &str, driver: Driver) -> Result<Network, Error> {
    Ok(Network {
        id: facts.id()?,
        name: name.into(),
        created: facts.now.clone(),
        driver,
        internal: false,
        attachable: false,
        enable_ipv6: false,
        pools: Vec::new(),
        idle_pools: Vec::new(),
        ipam_options: None,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        bridge: None,
    })
}

fn default_bridge(draft: &mut Draft<'_>, facts: &mut Facts, bip: Option<IpNetwork>) -> Result<Network, Error> {
    let state = draft.state();
    let pool = if let Some(address) = bip {
        let subnet = subnet_of(address);
        check_subnet(subnet)?;
        create::check_overlap(state, subnet, None)?;
        if !subnet.is_ipv4() || [subnet.network(), subnet.broadcast()].contains(&address.ip()) {
            let message = format!("invalid --bip {address}: it is not the address of a host");
            return Err(Error::bad_request(message));
        }
        Pool {
            gateway: address.ip(),
            ..request::automatic_pool(subnet)?
        }
    } else {
        let subnet = automatic::pick_v4(state, facts)
            .ok_or_else(|| Error::not_found("no free subnet is left for the default network: choose one with --bip"))?;
        Pool {
            shows_gateway: false,
            ..request::automatic_pool(subnet)?
        }
    };
    let host_end = std::iter::once("docker0".to_owned())
        .chain((0..=facts.devices.len()).map(|number| format!("nsw{number}")))
        .find(|name| !facts.devices.contains(name))
        .unwrap_or_default();
    let mut network = plain(facts, "bridge", Driver::Bridge)?;
    network.pools = vec![pool];
    network.options = [
        (options::DEFAULT_BRIDGE, "true"),
        (options::ENABLE_ICC, "true"),
        (options::ENABLE_MASQUERADE, "true"),
        (options::HOST_BINDING, "0.0.0.0"),
        (options::BRIDGE_NAME, &host_end),
        (options::MTU, "1500"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let defaults = options::parse(&BTreeMap::new(), false)?;
    network.bridge = Some(create::bridge(draft, facts, &network, host_end, &defaults)?);
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{network::inspect::inspect, testing::World};

    #[test]
    fn three_networks_exist_at_first_start() {
        let world = World::new();
        let bridge = inspect(&world.state, "bridge").unwrap();
        assert_eq!(
            serde_json::to_string(&bridge.options).unwrap(),
            r#"{"com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_icc":"true","com.docker.network.bridge.enable_ip_masquerade":"true","com.docker.network.bridge.host_binding_ipv4":"0.0.0.0","com.docker.network.bridge.name":"docker0","com.docker.network.driver.mtu":"1500"}"#
        );
        assert_eq!(
            serde_json::to_string(&bridge.ipam).unwrap(),
            r#"{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16"}]}"#
        );
        let device = world.state.network("bridge").unwrap().bridge.clone().unwrap();
        assert_eq!(
            (device.host_end.as_str(), device.mtu, device.icc),
            ("docker0", 1500, true)
        );
        assert_eq!(device.mac.to_string(), "02:42:ac:11:00:01");
        for (name, driver) in [("host", "host"), ("none", "null")] {
            let network = inspect(&world.state, name).unwrap();
            assert_eq!((network.driver.as_str(), network.ipam.config.len()), (driver, 0));
            assert!(network.options.is_empty());
        }
    }

    #[test]
    fn a_second_start_changes_nothing() {
        let world = World::new();
        assert!(predefined(&world.state, &mut world.facts(), None).unwrap().is_empty());
    }

    #[test]
    fn docker0_and_its_pool_give_way() {
        let mut world = World::empty();
        world.devices = vec!["docker0".into(), "nsw0".into()];
        world.routes = vec!["172.17.0.0/16".parse().unwrap(), "172.18.4.0/24".parse().unwrap()];
        world.apply(predefined(&world.state, &mut world.facts(), None).unwrap());
        let bridge = world.state.network("bridge").unwrap();
        assert_eq!(bridge.bridge.as_ref().unwrap().host_end, "nsw1");
        assert_eq!(bridge.options[options::BRIDGE_NAME], "nsw1");
        assert_eq!(bridge.pools[0].subnet.to_string(), "172.19.0.0/16");
    }

    #[test]
    fn bip_chooses_the_gateway_and_renumbers_later() {
        let mut world = World::empty();
        let bip = |text: &str| Some(text.parse().unwrap());
        world.apply(predefined(&world.state, &mut world.facts(), bip("10.9.0.1/24")).unwrap());
        let pool = |world: &World| world.state.network("bridge").unwrap().pools[0].clone();
        assert_eq!(
            (pool(&world).subnet.to_string(), pool(&world).gateway.to_string()),
            ("10.9.0.0/24".into(), "10.9.0.1".into())
        );
        assert!(pool(&world).shows_gateway && !pool(&world).chosen);
        world.apply(predefined(&world.state, &mut world.facts(), bip("10.8.0.7/24")).unwrap());
        assert_eq!(
            (pool(&world).subnet.to_string(), pool(&world).gateway.to_string()),
            ("10.8.0.0/24".into(), "10.8.0.7".into())
        );
        let error = predefined(&World::empty().state, &mut world.facts(), bip("10.9.0.0/24")).unwrap_err();
        assert_eq!(
            error.message,
            "invalid --bip 10.9.0.0/24: it is not the address of a host"
        );
        let loopback = "invalid subnet 127.0.0.0/8: it overlaps the loopback addresses 127.0.0.0/8";
        for state in [&World::empty().state, &world.state] {
            let error = predefined(state, &mut world.facts(), bip("127.0.0.1/8")).unwrap_err();
            assert_eq!(error.message, loopback);
        }
    }
}
