//! Look-up by key, numbers and indexes.

use netswitch_common::capacity;

use super::*;
use crate::model::{container::lifecycle, testing::World};

#[test]
fn a_key_is_an_id_a_name_or_the_beginning_of_an_id() {
    let mut world = World::new();
    let network = world.network("mynet", &[]);
    let container = world.run("web", &["mynet"]);
    for key in [network.0.as_str(), "mynet", network.short()] {
        assert_eq!(world.state.network(key).unwrap().id, network);
    }
    for key in [container.0.as_str(), "web", "/web", container.short()] {
        assert_eq!(world.state.container(key).unwrap().id, container);
    }
}

#[test]
fn a_key_that_finds_nothing_or_too_much_is_refused() {
    let mut world = World::new();
    for number in 0..40 {
        world.run(&format!("web{number}"), &["none"]);
    }
    let network = |key| world.state.network(key).unwrap_err();
    let container = |key| world.state.container(key).unwrap_err();
    assert_eq!(network("nope"), Error::not_found("network nope not found"));
    assert_eq!(
        network(""),
        Error::bad_request("network  is ambiguous (3 matches found based on ID prefix)")
    );
    assert_eq!(container("nope"), Error::not_found("No such container: nope"));
    assert_eq!(container(""), Error::bad_request("invalid name or ID supplied: \"\""));
    let first = |digit: &str| {
        world
            .state
            .containers
            .keys()
            .filter(|id| id.0.starts_with(digit))
            .count()
    };
    let common = (0..16)
        .map(|digit| format!("{digit:x}"))
        .find(|digit| first(digit) > 1)
        .unwrap();
    let message = format!("Multiple IDs found with provided prefix: {common}");
    assert_eq!(container(&common), Error::internal(message));
}

#[test]
fn a_name_wins_over_the_beginning_of_an_id() {
    let mut world = World::new();
    let web = world.run("web", &["none"]);
    let named = world.run(web.short(), &["none"]);
    assert_eq!(world.state.container(web.short()).unwrap().id, named);
}

#[test]
fn numbers_are_not_used_twice_and_freed_ones_come_last() {
    let mut world = World::new();
    let mut seen = BTreeSet::new();
    let mut generation = 0;
    for _ in 0..50 {
        let id = world.run("web", &["bridge"]);
        let endpoint = world.endpoint("web", "bridge");
        assert!(seen.insert(endpoint.number), "{} was just freed", endpoint.number);
        assert!(endpoint.generation > generation);
        generation = endpoint.generation;
        world.remove(&id.0);
    }
    // at the end of the range the search starts again, and skips the host's port
    world.state.numbers.endpoint = LAST_ENDPOINT;
    let host_port = world
        .state
        .network("bridge")
        .unwrap()
        .bridge
        .as_ref()
        .unwrap()
        .host_port;
    assert_eq!(host_port, 1);
    world.run("web", &["bridge"]);
    let endpoint = world.endpoint("web", "bridge");
    assert_eq!(endpoint.number, 2);
    assert!(endpoint.generation > generation);
}

#[test]
fn network_numbers_start_at_one_and_run_out() {
    let mut world = World::new();
    let number = |world: &World, name: &str| world.state.network(name).unwrap().bridge.as_ref().unwrap().number;
    assert_eq!(number(&world, "bridge"), 1);
    world.state.numbers.network = LAST_NETWORK;
    world.network("mynet", &[]);
    assert_eq!(number(&world, "mynet"), 2);
    for taken in 3..=LAST_NETWORK {
        world.state.index.network_numbers.insert(taken);
    }
    let error = world.make(&World::asked_network("more", &[])).unwrap_err();
    assert_eq!(error.message, "too many networks: there can be 4095");
}

#[test]
fn sandbox_numbers_start_again_behind_the_last_and_run_out() {
    let mut world = World::new();
    let number = |world: &World, name: &str| {
        let sandbox = world.state.container(name).unwrap().sandbox.clone().unwrap();
        world.state.sandboxes[&sandbox].number
    };
    world.run("first", &["none"]);
    assert_eq!(number(&world, "first"), 1);
    // stores of agents that only counted up hold numbers beyond the last
    for last in [LAST_SANDBOX, LAST_SANDBOX + 1, u32::MAX] {
        world.state.numbers.sandbox = last;
        let id = world.run("second", &["none"]);
        assert_eq!(number(&world, "second"), 2);
        world.remove(&id.0);
    }
    world.state.numbers.sandbox = LAST_SANDBOX - 1;
    world.run("last", &["none"]);
    assert_eq!(number(&world, "last"), LAST_SANDBOX);
    let more = world.create(&World::asked("more", &["none"])).unwrap();
    for taken in 2..LAST_SANDBOX {
        world.state.index.sandbox_numbers.insert(taken);
    }
    let error = lifecycle::start(&world.state, &mut world.facts(), &more).unwrap_err();
    assert_eq!(error.message, "too many sandboxes: there can be 65535");
}

#[test]
fn every_number_has_an_entry_in_its_map() {
    for (map, last, entries) in [
        ("SLOTS", LAST_ENDPOINT, capacity::SLOTS),
        ("NETWORKS", LAST_NETWORK, capacity::NETWORKS),
        ("VIEWS", LAST_SANDBOX, capacity::VIEWS),
        ("LIMITS", LAST_SANDBOX, capacity::LIMITS),
        ("PUBLICATIONS", u32::from(u16::MAX), capacity::PUBLICATIONS),
    ] {
        assert!(last < entries, "{map} has {entries} entries, the last number is {last}");
    }
}

#[test]
fn the_last_member_moves_into_the_hole() {
    let mut world = World::new();
    let ids: Vec<Id> = (0..5)
        .map(|number| world.run(&format!("web{number}"), &["bridge"]))
        .collect();
    let slot = |world: &World, name: &str| world.endpoint(name, "bridge").slot;
    world.stop(&ids[1]);
    assert_eq!(
        (slot(&world, "web0"), slot(&world, "web4"), slot(&world, "web3")),
        (1, 2, 4)
    );
    world.stop(&ids[3]);
    assert_eq!(world.state.member_count(&world.endpoint("web0", "bridge").network), 3);
    world.run("web5", &["bridge"]);
    assert_eq!(slot(&world, "web5"), 4);
}

#[test]
fn many_endpoints_cost_no_more_each() {
    let mut world = World::new();
    for number in 0..1500 {
        world.run(&format!("web{number}"), &["bridge"]);
    }
    assert_eq!(world.address("web1499", "bridge"), "172.17.5.221");
    for number in (0..1500).step_by(3) {
        let id = world.state.container(&format!("web{number}")).unwrap().id.clone();
        world.stop(&id);
    }
    assert_eq!(world.state.endpoints.len(), 1000);
    world.check();
}

#[test]
fn changes_on_top_of_changes_win() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    let container = world.state.containers[&id].clone();
    let first = Changes {
        containers: [(id.clone(), Some(container))].into(),
        ..Changes::default()
    };
    let numbers = Some(Numbers {
        sandbox: 9,
        ..Numbers::default()
    });
    let second = Changes {
        containers: [(id.clone(), None)].into(),
        numbers,
        ..Changes::default()
    };
    let both = first.clone().then(second).then(Changes::default());
    assert_eq!((both.containers.get(&id), both.numbers), (Some(&None), numbers));
    assert!(Changes::default().is_empty() && !first.is_empty());
}

/// What must hold whatever was done: one default route per namespace and family where a network
/// leads outside, addresses and MACs once per network, no sandbox without a user.
fn check_promises(state: &State) {
    for sandbox in state.sandboxes.keys() {
        assert!(
            state.containers_of_sandbox(sandbox).count() > 0,
            "a sandbox without a user"
        );
        let outside = |endpoint: &&Endpoint| !state.networks[&endpoint.network].internal;
        let routes = state
            .endpoints_of_sandbox(sandbox)
            .filter(|endpoint| endpoint.default_route_v4)
            .count();
        assert_eq!(
            routes,
            usize::from(state.endpoints_of_sandbox(sandbox).any(|endpoint| outside(&endpoint)))
        );
    }
    for network in state.networks.values() {
        let members: Vec<&Endpoint> = state.endpoints_of_network(&network.id).collect();
        let addresses: BTreeSet<IpAddr> = members
            .iter()
            .flat_map(|member| member.addresses())
            .map(|address| address.ip())
            .collect();
        let macs: BTreeSet<Mac> = members.iter().map(|member| member.mac).collect();
        let numbers: BTreeSet<u32> = members.iter().map(|member| member.number).collect();
        assert_eq!(
            addresses.len(),
            members.iter().flat_map(|member| member.addresses()).count()
        );
        assert_eq!((macs.len(), numbers.len()), (members.len(), members.len()));
        assert!(network.pools.iter().all(|pool| !addresses.contains(&pool.gateway)));
    }
}

#[test]
fn a_long_life_breaks_no_promise() {
    use crate::model::endpoint::Settings;

    let mut world = World::new();
    world.network("aa", &["10.1.0.0/28"]);
    world.network6("bb", &[]);
    world.internal_network("cc");
    let networks = ["bridge", "aa", "bb", "cc"];
    let mut random = 7_usize;
    let mut refused = 0;
    for _ in 0..1500 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (what, who, network) = (random >> 60, random >> 40 & 31, networks[random >> 30 & 3]);
        let name = format!("web{who}");
        let id = world.state.container_named(&name).map(|container| container.id.clone());
        let result = match (what, id) {
            (_, None) => world.start(&World::asked(&name, &[network])).map(drop),
            (0..4, _) => world.connect(network, &name, &Settings::default()),
            (4..8, _) => world.disconnect(network, &name),
            (8..11, Some(id)) => {
                world.stop(&id);
                Ok(())
            }
            (11..14, Some(id)) => world.restart(&id),
            (_, Some(id)) => {
                world.remove(&id.0);
                Ok(())
            }
        };
        refused += usize::from(result.is_err());
        check_promises(&world.state);
    }
    assert!(
        (200..1000).contains(&refused),
        "{refused} of 1500 were refused: the walk is lopsided"
    );
}
