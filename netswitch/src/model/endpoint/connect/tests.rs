//! `network connect` and `network disconnect`, and each way in which they refuse.

use super::*;
use crate::model::{Id, container::create::create, network::remove::remove, testing::World};

fn connect_error(world: &World, network: &str, container: &str) -> Error {
    connect(
        &world.state,
        &mut world.facts(),
        network,
        container,
        &Settings::default(),
    )
    .unwrap_err()
}

fn disconnect_error(world: &World, network: &str, container: &str, force: bool) -> Error {
    disconnect(&world.state, &world.facts(), network, container, force).unwrap_err()
}

#[test]
fn a_running_container_gets_a_second_address_and_gives_it_back() {
    let mut world = World::new();
    let mynet = world.network("mynet", &["192.168.0.0/16"]);
    let id = world.run("tomcat01", &["bridge"]);
    world.connect(mynet.short(), "tomcat01", &Settings::default()).unwrap();
    assert_eq!(world.address("tomcat01", "mynet"), "192.168.0.2");
    assert_eq!(world.endpoint("tomcat01", "mynet").interface, "eth1");
    assert_eq!(
        world.endpoint("tomcat01", "mynet").sandbox,
        world.endpoint("tomcat01", "bridge").sandbox
    );
    assert!(world.state.containers[&id].attachments["mynet"].connected);
    world.disconnect("bridge", "tomcat01").unwrap();
    assert_eq!(world.state.endpoints_of_container(&id).count(), 1);
    assert!(world.endpoint("tomcat01", "mynet").default_route_v4);
}

#[test]
fn a_stopped_container_is_connected_from_its_next_start() {
    let mut world = World::new();
    world.network("mynet", &["10.0.0.0/24"]);
    let id = world.run("web", &["bridge"]);
    world.stop(&id);
    let settings = Settings {
        ip: Some("10.0.0.7".parse().unwrap()),
        ..Settings::default()
    };
    world.connect("mynet", "web", &settings).unwrap();
    assert!(world.state.endpoints.is_empty());
    let again = connect(&world.state, &mut world.facts(), "mynet", "web", &settings).unwrap();
    assert!(again.is_empty());
    let taken = connect(
        &world.state,
        &mut world.facts(),
        "mynet",
        &world.state.containers[&id].name,
        &settings,
    );
    assert!(taken.is_ok());
    world.disconnect("bridge", "web").unwrap();
    world.restart(&id).unwrap();
    assert_eq!(world.address("web", "mynet"), "10.0.0.7");
    assert_eq!(world.state.endpoints.len(), 1);
}

#[test]
fn an_address_of_a_stopped_container_is_not_given_to_another() {
    let mut world = World::new();
    world.network("mynet", &["10.0.0.0/24"]);
    let id = world.run_at("web", "mynet", "10.0.0.7").unwrap();
    world.stop(&id);
    world.run("db", &["bridge"]);
    let settings = Settings {
        ip: Some("10.0.0.7".parse().unwrap()),
        ..Settings::default()
    };
    let error = connect(&world.state, &mut world.facts(), "mynet", "db", &settings).unwrap_err();
    assert_eq!(error, Error::forbidden("Address already in use"));
}

#[test]
fn what_cannot_be_connected_is_refused_in_the_engines_words() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let web = world.run("web", &["bridge"]);
    world.run("hosted", &["host"]);
    world.run("alone", &["none"]);
    world.run("joined", &[&format!("container:{web}")]);
    for (network, container, error) in [
        (
            "bridge",
            "web",
            Error::forbidden("endpoint with name web already exists in network bridge"),
        ),
        (
            "host",
            "hosted",
            Error::forbidden("endpoint with name hosted already exists in network host"),
        ),
        (
            "none",
            "alone",
            Error::forbidden("endpoint with name alone already exists in network none"),
        ),
        ("mynet", "hosted", Error::bad_request(SHARED)),
        ("mynet", "joined", Error::bad_request(SHARED)),
        ("host", "web", Error::bad_request(HOST)),
        ("mynet", "alone", Error::bad_request(NONE)),
        ("none", "web", Error::bad_request(NONE)),
        ("nope", "web", Error::not_found("network nope not found")),
        ("mynet", "nope", Error::not_found("No such container: nope")),
    ] {
        assert_eq!(
            connect_error(&world, network, container),
            error,
            "{network} {container}"
        );
    }
}

#[test]
fn what_is_not_connected_cannot_be_disconnected() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let web = world.run("web", &["bridge"]);
    world.run("hosted", &["host"]);
    let old = world.run("old", &["bridge"]);
    world.stop(&old);
    for (network, container, force, error) in [
        (
            "mynet",
            "web",
            false,
            Error::internal(format!("container {web} is not connected to network mynet")),
        ),
        (
            "mynet",
            "old",
            false,
            Error::internal(format!("container {old} is not connected to the network mynet")),
        ),
        (
            "nope",
            "old",
            false,
            Error::internal(format!("container {old} is not connected to the network nope")),
        ),
        ("nope", "web", false, Error::not_found("network nope not found")),
        (
            "nope",
            "web",
            true,
            Error::internal(format!("container {web} is not connected to network nope")),
        ),
        ("host", "hosted", false, Error::bad_request(HOST)),
        ("bridge", "nope", false, Error::not_found("No such container: nope")),
        ("bridge", "nope", true, Error::not_found("endpoint nope not found")),
        ("nope", "nope", true, Error::not_found("network nope not found")),
    ] {
        assert_eq!(
            disconnect_error(&world, network, container, force),
            error,
            "{network} {container}"
        );
    }
}

#[test]
fn none_can_be_left_for_a_network() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let id = world.run("alone", &["none"]);
    world.disconnect("none", "alone").unwrap();
    assert_eq!(world.state.containers[&id].network_mode(), "none");
    world.connect("mynet", "alone", &Settings::default()).unwrap();
    assert_eq!(world.endpoint("alone", "mynet").interface, "eth0");
    world.disconnect("mynet", "alone").unwrap();
    world.connect("none", "alone", &Settings::default()).unwrap();
    assert_eq!(world.state.containers[&id].mode, Mode::None);
}

#[test]
fn a_network_that_is_gone_is_left_by_name() {
    let mut world = World::new();
    world.network("mynet", &[]);
    let id = world.run("web", &["bridge", "mynet"]);
    world.stop(&id);
    let changes = remove(&world.state, "mynet").unwrap();
    world.apply(changes);
    assert_eq!(world.restart(&id), Err(Error::not_found("network mynet not found")));
    world.disconnect("mynet", "web").unwrap();
    world.restart(&id).unwrap();
}

#[test]
fn after_the_last_network_the_next_start_returns_to_the_first() {
    let mut world = World::new();
    let id = world.run("web", &["bridge"]);
    world.disconnect("bridge", "web").unwrap();
    assert!(world.state.endpoints.is_empty() && world.state.sandboxes.len() == 1);
    world.stop(&id);
    world.restart(&id).unwrap();
    assert_eq!(world.state.endpoints.len(), 1);
}

#[test]
fn a_refusal_changes_nothing() {
    let mut world = World::new();
    let id: Id = world.run("web", &["bridge"]);
    let before = world.state.clone();
    connect_error(&world, "bridge", &id.0);
    assert!(create(&world.state, &mut world.facts(), &World::asked("web", &[])).is_err());
    assert_eq!(world.state, before);
}
