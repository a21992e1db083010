//! Ports from `-p` to the table, in the rules' own world.

use super::{Listener, Protocol, change, list};
use crate::{
    api::{ContainerCreate, Error},
    model::{Id, endpoint::Settings, testing::World},
};

fn asked(name: &str, networks: &[&str], specs: &[&str]) -> ContainerCreate {
    ContainerCreate {
        publish: specs.iter().map(|spec| (*spec).to_owned()).collect(),
        ..World::asked(name, networks)
    }
}

fn run(world: &mut World, name: &str, networks: &[&str], specs: &[&str]) -> Result<Id, Error> {
    world.start(&asked(name, networks, specs))
}

/// The `PORTS` column.
fn ports(world: &World, name: &str) -> String {
    list::column(&list::ports(&world.state, world.state.container(name).unwrap()))
}

fn specs(specs: &[&str]) -> Vec<String> {
    specs.iter().map(|spec| (*spec).to_owned()).collect()
}

fn publish(world: &mut World, name: &str, asked: &[&str]) -> Result<(), Error> {
    let changes = change::publish(&world.state, &world.facts(), name, &specs(asked))?;
    world.apply(changes);
    Ok(())
}

fn unpublish(world: &mut World, name: &str, asked: &[&str]) -> Result<(), Error> {
    let changes = change::unpublish(&world.state, name, &specs(asked))?;
    world.apply(changes);
    Ok(())
}

#[test]
fn any_port_is_the_same_in_both_families_and_not_the_last_one_again() {
    let mut world = World::new();
    let id = run(&mut world, "web", &["bridge"], &["80", "127.0.0.1::81"]).unwrap();
    assert_eq!(
        ports(&world, "web"),
        "0.0.0.0:49153->80/tcp, :::49153->80/tcp, 127.0.0.1:49154->81/tcp"
    );
    world.stop(&id);
    assert_eq!(world.state.published().chunks().count(), 0);
    world.restart(&id).unwrap();
    assert_eq!(
        ports(&world, "web"),
        "0.0.0.0:49155->80/tcp, :::49155->80/tcp, 127.0.0.1:49156->81/tcp"
    );
}

#[test]
fn conflicts_are_refused_and_leave_nothing() {
    let mut world = World::new();
    run(&mut world, "web", &["bridge"], &["8080:80", "9000-9009:9000-9009/udp"]).unwrap();
    world.listeners.push(Listener {
        protocol: Protocol::Tcp,
        address: "::".parse().unwrap(),
        port: 8090,
        v6_only: false,
    });
    let table = world.state.published().clone();
    for (spec, why) in [
        ("8080:81", "Bind for 0.0.0.0:8080 failed: port is already allocated"),
        (
            "127.0.0.1:8080:81",
            "Bind for 127.0.0.1:8080 failed: port is already allocated",
        ),
        ("9005:1/udp", "Bind for 0.0.0.0:9005 failed: port is already allocated"),
        (
            "8085-8095:1-11",
            "listen tcp4 0.0.0.0:8090: bind: address already in use",
        ),
        (
            "203.0.113.9:80:80",
            "listen tcp4 203.0.113.9:80: bind: cannot assign requested address",
        ),
    ] {
        let error = run(&mut world, "late", &["bridge"], &["7000:7000", spec]).unwrap_err();
        assert!(
            error
                .message
                .starts_with("driver failed programming external connectivity on endpoint late (")
                && error.message.ends_with(why),
            "{spec}: {error}"
        );
        assert_eq!(*world.state.published(), table);
        world.remove("late");
    }
    run(&mut world, "late", &["bridge"], &["9005:1", "192.0.2.1:8081:80"]).unwrap();
}

#[test]
fn a_range_for_one_port_takes_the_first_that_is_free() {
    let mut world = World::new();
    run(&mut world, "one", &["bridge"], &["8000-8001:80"]).unwrap();
    run(&mut world, "two", &["bridge"], &["8000-8001:80"]).unwrap();
    assert_eq!(ports(&world, "two"), "0.0.0.0:8001->80/tcp, :::8001->80/tcp");
    let error = run(&mut world, "three", &["bridge"], &["8000-8001:80"]).unwrap_err();
    assert!(error.message.ends_with("all ports are allocated"), "{error}");
}

#[test]
fn ports_are_published_and_taken_back_while_it_runs() {
    let mut world = World::new();
    let id = run(&mut world, "web", &["bridge"], &["8080:80"]).unwrap();
    publish(&mut world, "web", &["8081:81", "8082:82/udp"]).unwrap();
    assert!(publish(&mut world, "web", &["8083:83", "8080:84"]).is_err());
    unpublish(&mut world, "web", &["8080:80"]).unwrap();
    let expected = "0.0.0.0:8081->81/tcp, :::8081->81/tcp, 0.0.0.0:8082->82/udp, :::8082->82/udp";
    assert_eq!(ports(&world, "web"), expected);
    // and so at the next start
    world.stop(&id);
    world.restart(&id).unwrap();
    assert_eq!(ports(&world, "web"), expected);
    let error = unpublish(&mut world, "web", &["8080:80"]).unwrap_err();
    assert_eq!(error.message, "No public port '80/tcp' published for web");
}

#[test]
fn publications_follow_the_default_route() {
    let mut world = World::new();
    world.internal_network("inner");
    world.network("mynet", &["192.168.0.0/16"]);
    run(&mut world, "web", &["inner"], &["8080:80"]).unwrap();
    let has = |world: &World, network: &str| world.endpoint("web", network).publications.len();
    assert_eq!(has(&world, "inner"), 2);
    let numbers = world.endpoint("web", "inner").publications.clone();
    world.connect("mynet", "web", &Settings::default()).unwrap();
    assert_eq!((has(&world, "inner"), has(&world, "mynet")), (0, 2));
    assert_eq!(world.endpoint("web", "mynet").publications, numbers);
    world.disconnect("mynet", "web").unwrap();
    assert_eq!(has(&world, "inner"), 2);
}
