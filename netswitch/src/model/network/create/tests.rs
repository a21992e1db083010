//! `network create`: what it makes, and each way in which it refuses.

use super::*;
use crate::{
    api::{ErrorKind, PoolRequest},
    model::{network::inspect::inspect, testing::World},
};

fn with_pool(name: &str, subnet: &str, ip_range: &str, gateway: &str) -> NetworkCreate {
    let mut asked = World::asked_network(name, &[subnet]);
    asked.pools[0].ip_range = ip_range.into();
    asked.pools[0].gateway = gateway.into();
    asked
}

#[test]
fn a_network_gets_a_pool_devices_and_numbers() {
    let mut world = World::new();
    let id = world.network("mynet", &[]);
    let network = world.state.network("mynet").unwrap();
    let bridge = network.bridge.as_ref().unwrap();
    assert_eq!(network.pools[0].subnet.to_string(), "172.18.0.0/16");
    assert_eq!(bridge.host_end, format!("br-{}", id.short()));
    assert_eq!(bridge.switch_end, format!("sw-{}", &id.0[..8]));
    assert_eq!(bridge.mac.to_string(), "02:42:ac:12:00:01");
    assert_eq!(
        (bridge.number, bridge.mtu, bridge.icc, bridge.big_tcp),
        (2, 1500, true, None)
    );
    assert_ne!(bridge.host_port, 0);
}

#[test]
fn the_seeds_networks_are_made_as_asked() {
    let mut world = World::new();
    world.routes = vec!["192.168.56.0/24".parse().unwrap()]; // S30: a host's route may lie inside
    world
        .make(&with_pool("mynet", "192.168.0.0/16", "", "192.168.0.1"))
        .unwrap();
    world.network("redis", &["172.38.0.0/16"]);
    let config = |name: &str| serde_json::to_string(&inspect(&world.state, name).unwrap().ipam).unwrap();
    assert_eq!(
        config("mynet"),
        r#"{"Driver":"default","Options":{},"Config":[{"Subnet":"192.168.0.0/16","Gateway":"192.168.0.1"}]}"#
    );
    assert_eq!(
        config("redis"),
        r#"{"Driver":"default","Options":{},"Config":[{"Subnet":"172.38.0.0/16"}]}"#
    );
    assert_eq!(
        world.state.network("redis").unwrap().pools[0].gateway.to_string(),
        "172.38.0.1"
    );
}

#[test]
fn ranges_auxiliary_addresses_and_both_families_are_kept() {
    let mut world = World::new();
    let mut asked = with_pool("mynet", "10.1.2.3/24", "10.1.2.128/25", "");
    asked.pools[0].auxiliary.insert("router".into(), "10.1.2.9".into());
    asked.pools.insert(
        0,
        PoolRequest {
            subnet: "fd01::/64".into(),
            ..PoolRequest::default()
        },
    );
    asked.enable_ipv6 = true;
    world.make(&asked).unwrap();
    let network = world.state.network("mynet").unwrap();
    let (v4, v6) = (network.pool_v4().unwrap(), network.pool_v6().unwrap());
    assert_eq!(
        (v4.subnet.to_string(), v4.gateway.to_string()),
        ("10.1.2.0/24".into(), "10.1.2.128".into())
    );
    assert_eq!(
        (v6.subnet.to_string(), v6.gateway.to_string()),
        ("fd01::/64".into(), "fd01::1".into())
    );
    assert_eq!(
        serde_json::to_string(&inspect(&world.state, "mynet").unwrap().ipam.config).unwrap(),
        r#"[{"Subnet":"10.1.2.0/24","IPRange":"10.1.2.128/25","AuxiliaryAddresses":{"router":"10.1.2.9"}},{"Subnet":"fd01::/64"}]"#
    );
}

#[test]
fn an_ipv6_subnet_without_ipv6_is_shown_and_idle() {
    let mut world = World::new();
    world.network("mynet", &["fd01::/64"]);
    let network = world.state.network("mynet").unwrap();
    assert!(network.pool_v6().is_none() && network.pool_v4().is_some());
    let config = inspect(&world.state, "mynet").unwrap().ipam.config;
    assert_eq!(
        (config[0].subnet.as_str(), config[1].subnet.as_str()),
        ("172.18.0.0/16", "fd01::/64")
    );
}

#[test]
fn bad_pools_are_refused_in_the_engines_words() {
    let mut world = World::new();
    world.network("other", &["10.9.0.0/16"]);
    for (asked, message) in [
        (
            with_pool("n", "10.0.0", "", ""),
            "Invalid subnet 10.0.0 : invalid CIDR address: 10.0.0",
        ),
        (
            with_pool("n", "127.0.0.0/8", "", ""),
            "invalid subnet 127.0.0.0/8: it overlaps the loopback addresses 127.0.0.0/8",
        ),
        (with_pool("n", "", "", ""), "Invalid subnet  : invalid CIDR address: "),
        (
            with_pool("n", "10.0.0.0/24", "", "x"),
            "invalid gateway address x in Ipam configuration",
        ),
        (
            with_pool("n", "10.0.0.0/24", "", "10.0.1.1"),
            "failed to allocate gateway (10.0.1.1): Requested address is out of range",
        ),
        (
            with_pool("n", "10.0.0.0/24", "", "10.0.0.255"),
            "failed to allocate gateway (10.0.0.255): Address already in use",
        ),
        (
            with_pool("n", "10.0.0.0/24", "x", ""),
            "failed to parse pool request for address space \"LocalDefault\" pool \"10.0.0.0/24\" subpool \"x\": Invalid Address SubPool",
        ),
        (
            with_pool("n", "10.0.0.0/24", "10.0.1.0/25", ""),
            "no matching subnet for range 10.0.1.0/25",
        ),
        (
            with_pool("n", "10.0.0.0/24", "10.0.0.0/23", ""),
            "no matching subnet for range 10.0.0.0/23",
        ),
        (
            with_pool("n", "10.0.0.0/31", "", ""),
            "failed to allocate gateway (): No available addresses on this pool",
        ),
        (
            World::asked_network("n", &["10.9.1.0/24"]),
            "Pool overlaps with other one on this address space",
        ),
        (
            World::asked_network("n", &["10.0.0.0/8"]),
            "Pool overlaps with other one on this address space",
        ),
        (
            World::asked_network("n", &["10.1.0.0/24", "10.2.0.0/24"]),
            "bridge driver doesn't support multiple subnets",
        ),
    ] {
        assert_eq!(world.make(&asked).unwrap_err().message, message);
    }
    for (address, message) in [
        ("x", "non parsable secondary ip address (router:x) passed for network n"),
        (
            "10.0.1.1",
            "auxiliary address: (router:10.0.1.1) must belong to the master pool: 10.0.0.0/24",
        ),
        (
            "10.0.0.1",
            "failed to allocate secondary ip address (router:10.0.0.1): Address already in use",
        ),
    ] {
        let mut asked = World::asked_network("n", &["10.0.0.0/24"]);
        asked.pools[0].auxiliary.insert("router".into(), address.into());
        assert_eq!(world.make(&asked).unwrap_err().message, message);
    }
}

#[test]
fn what_is_no_bridge_network_is_refused() {
    let mut world = World::new();
    let asked = || World::asked_network("n", &[]);
    for (asked, kind, message) in [
        (
            NetworkCreate {
                driver: "host".into(),
                ..asked()
            },
            ErrorKind::Forbidden,
            "only one instance of \"host\" network is allowed",
        ),
        (
            NetworkCreate {
                driver: "null".into(),
                ..asked()
            },
            ErrorKind::Forbidden,
            "only one instance of \"null\" network is allowed",
        ),
        (
            NetworkCreate {
                driver: "macvlan".into(),
                ..asked()
            },
            ErrorKind::NotFound,
            "plugin \"macvlan\" not found",
        ),
        (
            NetworkCreate {
                ingress: true,
                ..asked()
            },
            ErrorKind::Forbidden,
            "Ingress network can only be global scope network",
        ),
        (
            NetworkCreate {
                scope: "swarm".into(),
                ..asked()
            },
            ErrorKind::Forbidden,
            "cannot create a swarm scoped network when swarm is not active",
        ),
        (
            NetworkCreate {
                scope: "global".into(),
                ..asked()
            },
            ErrorKind::NotImplemented,
            "option --scope global has no effect yet",
        ),
        (
            NetworkCreate {
                config_only: true,
                ..asked()
            },
            ErrorKind::NotImplemented,
            "option --config-only has no effect yet",
        ),
        (
            NetworkCreate {
                config_from: "base".into(),
                ..asked()
            },
            ErrorKind::NotFound,
            "configuration network \"base\" does not exist",
        ),
        (
            NetworkCreate {
                ipam_driver: "dhcp".into(),
                ..asked()
            },
            ErrorKind::NotFound,
            "plugin \"dhcp\" not found",
        ),
        (
            NetworkCreate {
                ipam_driver: "null".into(),
                ..asked()
            },
            ErrorKind::NotImplemented,
            "option --ipam-driver null has no effect yet",
        ),
        (
            NetworkCreate {
                ipam_options: Some([("a".into(), "b".into())].into()),
                ..asked()
            },
            ErrorKind::NotImplemented,
            "option --ipam-opt a has no effect yet",
        ),
    ] {
        assert_eq!(world.make(&asked), Err(Error::new(kind, message)));
    }
}

#[test]
fn a_name_is_taken_once() {
    let mut world = World::new();
    let asked = || World::asked_network("n", &[]);
    let fine = NetworkCreate {
        scope: "local".into(),
        ipam_driver: "default".into(),
        attachable: true,
        ..asked()
    };
    world.make(&fine).unwrap();
    assert_eq!(
        world.make(&asked()),
        Err(Error::conflict("network with name n already exists"))
    );
}

#[test]
fn a_chosen_device_must_be_free() {
    let mut world = World::new();
    world.devices = vec!["eth0".into()];
    let named = |network: &str, device: &str| NetworkCreate {
        options: [("com.docker.network.bridge.name".to_owned(), device.to_owned())].into(),
        ..World::asked_network(network, &[])
    };
    world.make(&named("a", "br-a")).unwrap();
    assert_eq!(
        world.make(&named("b", "eth0")),
        Err(Error::conflict("device eth0 exists already"))
    );
    let error = world.make(&named("b", "br-a")).unwrap_err();
    let (start, end) = error.message.split_once(" (br-a): conflicts with network ").unwrap();
    assert!(start.starts_with("cannot create network "), "{start}");
    let other = &world.state.network("a").unwrap().id;
    assert_eq!(end, format!("{other} (br-a): networks have same bridge name"));
    assert_eq!(world.state.networks.len(), 4);
}
