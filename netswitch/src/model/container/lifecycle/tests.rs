//! What starts, what stops, and what is left.

use super::*;
use crate::model::testing::World;

#[test]
fn a_start_makes_a_sandbox_and_a_stop_takes_it_away() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    let container = &world.state.containers[&id];
    let sandbox = &world.state.sandboxes[container.sandbox.as_ref().unwrap()];
    assert_eq!(sandbox.origin, Origin::Shim { pid: 0, start_time: 0 });
    assert_eq!((sandbox.number, container.status.name()), (1, "running"));
    assert!(start(&world.state, &mut world.facts(), &id).unwrap().is_empty());
    world.advance(5);
    let changes = stopped(&world.state, &world.facts(), &id, 137, "killed");
    world.apply(changes);
    let Status::Exited {
        exit_code,
        started,
        finished,
        error,
    } = &world.state.containers[&id].status
    else {
        panic!("not exited")
    };
    assert_eq!((*exit_code, error.as_str()), (137, "killed"));
    assert_eq!(
        (started.as_str(), finished.as_str()),
        ("2020-09-13T12:26:40.000000000Z", "2020-09-13T12:26:45.000000000Z")
    );
    assert!(world.state.sandboxes.is_empty() && world.state.endpoints.is_empty());
    assert!(stopped(&world.state, &world.facts(), &id, 0, "").is_empty());
    assert!(stopped(&world.state, &world.facts(), &Id("gone".into()), 0, "").is_empty());
}

#[test]
fn a_restart_gets_another_address_unless_one_was_chosen() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    world.stop(&id);
    world.restart(&id).unwrap();
    assert_eq!(world.address("web", "bridge"), "172.17.0.3");
}

#[test]
fn networks_are_looked_up_at_start() {
    let mut world = World::new();
    let id = world.create(&World::asked("web", &["later"])).unwrap();
    assert_eq!(world.restart(&id), Err(Error::not_found("network later not found")));
    world.network("later", &[]);
    world.restart(&id).unwrap();
    assert_eq!(world.address("web", "later"), "172.18.0.2");
}

#[test]
fn an_address_that_was_given_away_meanwhile_fails_the_start() {
    let mut world = World::new();
    let mut asked = World::asked("web", &["later"]);
    asked.networks[0].1.ip = Some("10.0.0.2".parse().unwrap());
    let early = world.create(&asked).unwrap();
    world.network("later", &["10.0.0.0/24"]);
    // the address is reserved from the moment that it was asked for
    world.run("db", &["later"]);
    assert_eq!(world.address("db", "later"), "10.0.0.3");
    world.restart(&early).unwrap();
    world.stop(&early);
    let changes =
        crate::model::endpoint::connect::disconnect(&world.state, &world.facts(), "later", "db", false).unwrap();
    world.apply(changes);
    let changes = crate::model::network::remove::remove(&world.state, "later").unwrap();
    world.apply(changes);
    world.network("later", &[]);
    let message =
        "user specified IP address is supported only when connecting to networks with user configured subnets";
    assert_eq!(world.restart(&early), Err(Error::bad_request(message)));
}

#[test]
fn a_joined_sandbox_lives_as_long_as_its_last_user() {
    let mut world = World::new();
    let web = world.run("web", &["bridge"]);
    let joined = world.run("joined", &["container:web"]);
    let sandbox = |world: &World, id: &Id| world.state.containers[id].sandbox.clone();
    assert_eq!(sandbox(&world, &joined), sandbox(&world, &web));
    assert_eq!((world.state.sandboxes.len(), world.state.endpoints.len()), (1, 1));
    world.stop(&web);
    assert_eq!((world.state.sandboxes.len(), world.state.endpoints.len()), (1, 0));
    let error = world.start(&World::asked("late", &["container:web"])).unwrap_err();
    assert_eq!(
        error,
        Error::conflict(format!("cannot join network of a non running container: {web}"))
    );
    world.restart(&web).unwrap();
    assert_ne!(sandbox(&world, &joined), sandbox(&world, &web));
    world.stop(&joined);
    assert_eq!(world.state.sandboxes.len(), 1);
    world.remove("web");
    assert_eq!(
        world.restart(&joined),
        Err(Error::not_found(format!("No such container: {web}")))
    );
}

#[test]
fn the_hosts_namespace_is_joined_through_a_container_too() {
    let mut world = World::new();
    let host = world.run("hosted", &["host"]);
    let joined = world.run("joined", &["container:hosted"]);
    let sandbox = world.state.containers[&joined].sandbox.clone().unwrap();
    assert_eq!(world.state.sandboxes[&sandbox].origin, Origin::Host);
    assert_eq!(world.state.containers[&host].hostname, "");
    assert!(world.state.endpoints.is_empty());
}

#[test]
fn linked_containers_must_run_on_the_default_network() {
    let mut world = World::new();
    let db = world.run("db", &["bridge"]);
    let mut asked = World::asked("web", &["bridge"]);
    asked.links = vec!["db:store".into()];
    let web = world.create(&asked).unwrap();
    world.stop(&db);
    let message = "Cannot link to a non running container: /db AS /web/store";
    assert_eq!(world.restart(&web), Err(Error::internal(message)));
    world.restart(&db).unwrap();
    world.network("mynet", &[]);
    world
        .connect("mynet", "db", &crate::model::endpoint::Settings::default())
        .unwrap();
    world.disconnect("bridge", "db").unwrap();
    let message = "Cannot link to /db, as it does not belong to the default network";
    assert_eq!(world.restart(&web), Err(Error::internal(message)));
    world.remove("db");
    world.restart(&web).unwrap();
}

#[test]
fn a_failed_start_leaves_a_created_container_with_the_reason() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    let changes = failed(
        &world.state,
        &world.facts(),
        &id,
        127,
        "executable file not found in $PATH",
    );
    world.apply(changes);
    let expected = Status::Created {
        exit_code: 127,
        error: "executable file not found in $PATH".into(),
    };
    assert_eq!(world.state.containers[&id].status, expected);
    assert!(world.state.endpoints.is_empty() && world.state.sandboxes.is_empty());
    world.restart(&id).unwrap();
    world.stop(&id);
    let changes = failed(&world.state, &world.facts(), &id, 126, "permission denied");
    world.apply(changes);
    assert!(matches!(
        &world.state.containers[&id].status,
        Status::Exited { exit_code: 126, .. }
    ));
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    let message = format!(
        "You cannot remove a running container {id}. Stop the container before attempting removal or force remove"
    );
    assert_eq!(remove(&world.state, "web", false), Err(Error::conflict(message)));
    assert_eq!(
        remove(&world.state, "nope", true),
        Err(Error::not_found("No such container: nope"))
    );
    world.remove("web");
    assert!(world.state.containers.is_empty() && world.state.endpoints.is_empty() && world.state.sandboxes.is_empty());
    world.run("web", &["bridge"]);
}

#[test]
fn process_and_namespace_are_filled_in() {
    let mut world = World::new();
    let origin = Origin::Shim { pid: 42, start_time: 7 };
    for (name, network, expected) in [
        ("web", "bridge", Some(origin.clone())),
        ("hosted", "host", Some(Origin::Host)),
        ("joined", "container:web", None),
    ] {
        let id = world.create(&World::asked(name, &[network])).unwrap();
        let mut changes = start(&world.state, &mut world.facts(), &id).unwrap();
        fill_in(&mut changes, &id, 43, &origin);
        let sandbox = changes
            .sandboxes
            .values()
            .flatten()
            .next()
            .map(|sandbox| sandbox.origin.clone());
        assert_eq!(sandbox, expected);
        world.apply(changes);
        assert!(matches!(
            world.state.containers[&id].status,
            Status::Running { pid: 43, .. }
        ));
    }
}
