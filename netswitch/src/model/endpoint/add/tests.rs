//! Addresses, MACs, names and default routes of new endpoints.

use super::*;
use crate::model::testing::World;

/// Runs with changed settings on the first network.
fn run_with(world: &mut World, name: &str, network: &str, change: impl FnOnce(&mut Settings)) -> Result<Id> {
    let mut asked = World::asked(name, &[network]);
    change(&mut asked.networks[0].1);
    world.start(&asked)
}

#[test]
fn an_endpoint_gets_the_seeds_addresses_and_names() {
    let mut world = World::new();
    world.run("tomcat01", &["bridge"]);
    let endpoint = world.endpoint("tomcat01", "bridge");
    assert_eq!(endpoint.v4.unwrap().to_string(), "172.17.0.2/16");
    assert_eq!(
        (endpoint.mac.to_string().as_str(), endpoint.v6),
        ("02:42:ac:11:00:02", None)
    );
    assert_eq!(
        (endpoint.interface.as_str(), endpoint.mtu, endpoint.slot),
        ("eth0", 1500, 1)
    );
    assert!(endpoint.host_device.starts_with("veth") && endpoint.host_device.len() == 11);
    assert!(endpoint.default_route_v4 && !endpoint.default_route_v6);
    assert!(endpoint.number > 0 && endpoint.generation > 0);
}

#[test]
fn a_taken_device_name_is_passed_over() {
    let world = World::new();
    let id = Id("0123456789abcdef".repeat(4));
    let facts = Facts {
        devices: vec!["veth0123456".into()],
        ..world.facts()
    };
    assert_eq!(free_device(&facts, "veth", 7, &id), "veth1234567");
}

#[test]
fn a_chosen_address_is_honoured_and_the_next_one_goes_around_it() {
    let mut world = World::new();
    world.network6("mynet", &["10.0.0.0/24", "fd00::/64"]);
    run_with(&mut world, "six", "mynet", |settings| {
        settings.ip6 = Some("fd00::2".parse().unwrap());
    })
    .unwrap();
    world.run_at("four", "mynet", "10.0.0.3").unwrap();
    world.run("next", &["mynet"]);
    let addresses = |name: &str| {
        let endpoint = world.endpoint(name, "mynet");
        (
            endpoint.v4.unwrap().ip().to_string(),
            endpoint.v6.unwrap().ip().to_string(),
        )
    };
    assert_eq!(addresses("six"), ("10.0.0.2".into(), "fd00::2".into()));
    assert_eq!(addresses("four"), ("10.0.0.3".into(), "fd00::3".into()));
    assert_eq!(addresses("next"), ("10.0.0.4".into(), "fd00::4".into()));
}

#[test]
fn a_stopped_container_keeps_its_address() {
    let mut world = World::new();
    world.network("redis", &["172.38.0.0/29"]);
    let redis = world.run_at("redis-3", "redis", "172.38.0.3").unwrap();
    world.stop(&redis);
    for (name, address) in [
        ("aa", "172.38.0.2"),
        ("bb", "172.38.0.4"),
        ("cc", "172.38.0.5"),
        ("dd", "172.38.0.6"),
    ] {
        world.run(name, &["redis"]);
        assert_eq!(world.address(name, "redis"), address);
    }
    let id = world.state.network("redis").unwrap().id.clone();
    let full = world.start(&World::asked("ee", &["redis"])).unwrap_err();
    let message = format!("no available IPv4 addresses on this network's address pools: redis ({id})");
    assert_eq!(full, Error::internal(message));
    let taken = world.run_at("ff", "redis", "172.38.0.3").unwrap_err();
    assert_eq!(taken, Error::forbidden("Address already in use"));
    world.restart(&redis).unwrap();
    assert_eq!(world.address("redis-3", "redis"), "172.38.0.3");
}

#[test]
fn addresses_and_aliases_need_a_network_of_the_users() {
    let mut world = World::new();
    world.network("auto", &[]);
    world.network("mynet", &["10.0.0.0/24"]);
    world.run_at("web", "mynet", "10.0.0.9").unwrap();
    let ip = |address: &'static str| move |settings: &mut Settings| settings.ip = Some(address.parse().unwrap());
    let mut refused = |network: &str, change: &dyn Fn(&mut Settings)| {
        let before = world.state.clone();
        let error = run_with(&mut world, "new", network, change).unwrap_err();
        assert_eq!(world.state, before);
        error.message
    };
    let predefined = "user specified IP address is supported on user defined networks only";
    assert_eq!(refused("bridge", &ip("172.17.0.9")), predefined);
    assert_eq!(refused("none", &ip("172.17.0.9")), predefined);
    let no_subnet =
        "user specified IP address is supported only when connecting to networks with user configured subnets";
    assert_eq!(refused("auto", &ip("172.18.0.9")), no_subnet);
    let six = |settings: &mut Settings| settings.ip6 = Some("fd00::9".parse().unwrap());
    assert_eq!(refused("mynet", &six), no_subnet);
    assert_eq!(
        refused("mynet", &ip("10.0.1.9")),
        "Invalid address 10.0.1.9: It does not belong to any of this network's subnets"
    );
    assert_eq!(refused("mynet", &ip("10.0.0.9")), "Address already in use");
    assert_eq!(refused("mynet", &ip("10.0.0.1")), "Address already in use");
    assert_eq!(refused("mynet", &ip("fd00::1")), "invalid IPv4 address: fd00::1");
    let mapped = |settings: &mut Settings| settings.ip6 = Some("::ffff:10.0.0.1".parse().unwrap());
    assert_eq!(refused("mynet", &mapped), "invalid IPv6 address: ::ffff:10.0.0.1");
    let alias = |settings: &mut Settings| settings.aliases = vec!["db".into()];
    let no_alias = "network-scoped alias is supported only for containers in user defined networks";
    assert_eq!(refused("bridge", &alias), no_alias);
    assert_eq!(refused("host", &alias), no_alias);
}

#[test]
fn what_has_no_effect_on_an_attachment_is_refused_by_name() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let mut refused =
        |change: &dyn Fn(&mut Settings)| run_with(&mut world, "new", "mynet", change).unwrap_err().message;
    assert_eq!(
        refused(&|settings| settings.link_local_ips = vec!["169.254.1.1".parse().unwrap()]),
        "option --link-local-ip has no effect yet"
    );
    assert_eq!(
        refused(&|settings| drop(settings.driver_options.insert("a".into(), "b".into()))),
        "option --driver-opt a has no effect yet"
    );
}

#[test]
fn a_mac_is_unique_in_its_network() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let mac = |text: &str| {
        let mac = super::super::parse_mac(text);
        move |settings: &mut Settings| settings.mac = mac
    };
    run_with(&mut world, "web", "bridge", mac("02:42:ac:11:00:03")).unwrap();
    assert_eq!(world.endpoint("web", "bridge").mac.to_string(), "02:42:ac:11:00:03");
    // .3 would get a MAC that somebody chose
    world.run("db", &["bridge"]);
    assert_eq!(world.address("db", "bridge"), "172.17.0.4");
    let error = run_with(&mut world, "twin", "bridge", mac("02:42:ac:11:00:03")).unwrap_err();
    assert_eq!(
        error,
        Error::conflict("MAC address 02:42:ac:11:00:03 is already in use on network bridge")
    );
    let error = run_with(&mut world, "gateway", "bridge", mac("02:42:ac:11:00:01")).unwrap_err();
    assert_eq!(
        error.message,
        "MAC address 02:42:ac:11:00:01 is already in use on network bridge"
    );
    run_with(&mut world, "elsewhere", "mynet", mac("02:42:ac:11:00:03")).unwrap();
    for bad in ["01:00:5e:00:00:01", "00:00:00:00:00:00"] {
        let error = run_with(&mut world, "bad", "mynet", mac(bad)).unwrap_err();
        assert_eq!(error.message, format!("{bad} is not a valid mac address"));
    }
}

#[test]
fn the_default_route_goes_to_the_first_name_that_is_not_internal() {
    let mut world = World::new();
    world.internal_network("aa");
    world.network("zz", &[]);
    world.network6("mm", &[]);
    let routes = |world: &World| {
        let mut routes: Vec<String> = world
            .state
            .endpoints
            .values()
            .map(|endpoint| {
                let network = &world.state.networks[&endpoint.network].name;
                format!(
                    "{} {network} {} {}",
                    endpoint.interface, endpoint.default_route_v4, endpoint.default_route_v6
                )
            })
            .collect();
        routes.sort();
        routes
    };
    let id = world.run("web", &["zz", "aa", "mm"]);
    assert_eq!(
        routes(&world),
        ["eth0 mm true true", "eth1 zz false false", "eth2 aa false false"]
    );
    world.connect("bridge", "web", &Settings::default()).unwrap();
    assert_eq!(
        routes(&world),
        [
            "eth0 mm false true",
            "eth1 zz false false",
            "eth2 aa false false",
            "eth3 bridge true false"
        ]
    );
    world.disconnect("bridge", "web").unwrap();
    world.disconnect("mm", "web").unwrap();
    assert_eq!(routes(&world), ["eth1 zz true false", "eth2 aa false false"]);
    world.connect("mm", "web", &Settings::default()).unwrap();
    assert_eq!(
        routes(&world),
        ["eth0 mm true true", "eth1 zz false false", "eth2 aa false false"]
    );
    world.stop(&id);
    assert!(routes(&world).is_empty() && world.state.sandboxes.is_empty());
}
