//! `run`, first half: what a new container looks like, and each way in which it is refused.

use super::*;
use crate::model::testing::World;

type Change = fn(&mut ContainerCreate);

fn refused(world: &mut World, change: impl FnOnce(&mut ContainerCreate)) -> String {
    let mut asked = World::asked("new", &["bridge"]);
    change(&mut asked);
    let before = world.state.clone();
    let error = world.create(&asked).unwrap_err();
    assert_eq!(world.state, before);
    error.message
}

#[test]
fn a_new_container_has_its_defaults() {
    let mut world = World::new();
    let asked = ContainerCreate {
        name: String::new(),
        networks: Vec::new(),
        ..World::asked("", &[])
    };
    let id = world.create(&asked).unwrap();
    let container = &world.state.containers[&id];
    assert!(container.name.contains('_'), "{}", container.name);
    assert_eq!(container.hostname, id.short());
    assert_eq!(container.mode, Mode::Networks("bridge".into()));
    assert_eq!(container.attachments.keys().collect::<Vec<_>>(), ["bridge"]);
    assert_eq!((container.status.name(), &container.sandbox), ("created", &None));
}

#[test]
fn no_two_objects_share_an_id_where_ids_run_out() {
    let world = World::new();
    for (name, ids, suffices) in [("web", 0, false), ("web", 1, true), ("", 1, false), ("", 2, true)] {
        let mut facts = world.facts();
        facts.fresh.truncate(ids);
        let made = create(&world.state, &mut facts, &World::asked(name, &[]));
        let expected = (!suffices).then(|| Error::internal("no fresh id is left"));
        assert_eq!(made.err(), expected, "{name:?} with {ids}");
    }
}

#[test]
fn everything_that_was_asked_is_kept_in_its_checked_form() {
    let mut world = World::new();
    world.run("db", &["bridge"]);
    let mynet = world.network("mynet", &[]);
    let mut asked = World::asked("web", &["bridge", mynet.short()]);
    asked.hostname = "www.example.com".into();
    asked.links = vec!["db:store".into()];
    asked.binds = vec!["/a:/b:rw".into()];
    asked.expose = vec!["80".into(), "53/udp".into(), "80/tcp".into()];
    asked.environment = vec!["A=b".into()];
    asked.directory = "/srv".into();
    asked.user = "redis".into();
    asked.remove = true;
    let id = world.create(&asked).unwrap();
    let container = &world.state.containers[&id];
    assert_eq!(container.attachments.keys().collect::<Vec<_>>(), ["bridge", "mynet"]);
    assert_eq!(
        (container.hostname.as_str(), container.links[0].alias.as_str()),
        ("www.example.com", "store")
    );
    assert_eq!(
        (&container.process.binds[..], &container.process.exposed[..]),
        (
            &["/a:/b".to_owned()][..],
            &["53/udp".to_owned(), "80/tcp".to_owned()][..]
        )
    );
    assert_eq!(
        (
            container.process.directory.as_deref(),
            container.process.user.as_deref()
        ),
        (Some("/srv"), Some("redis"))
    );
    assert!(container.process.remove);
}

#[test]
fn modes_are_read() {
    let mut world = World::new();
    let web = world.run("web", &["bridge"]);
    let mut mode = |network: &str| {
        let id = world.create(&World::asked("", &[network])).unwrap();
        world.state.containers[&id].clone()
    };
    assert_eq!(mode("none").mode, Mode::None);
    assert_eq!(
        (mode("host").mode, mode("default").mode),
        (Mode::Host, Mode::Networks("bridge".into()))
    );
    let joined = mode("container:web");
    assert_eq!(
        (joined.mode.clone(), joined.hostname.as_str()),
        (Mode::Container(web.clone()), web.short())
    );
    assert_eq!(joined.network_mode(), format!("container:{web}"));
    assert_eq!(mode("later").mode, Mode::Networks("later".into()));
}

#[test]
fn conflicting_options_are_refused_in_the_engines_words() {
    let mut world = World::new();
    world.run("web", &["bridge"]);
    world.run("hosted", &["host"]);
    let joined = "container:web";
    let cases: [(&str, Change, &str); 11] = [
        (
            joined,
            |asked| asked.hostname = "x".into(),
            "conflicting options: hostname and the network mode",
        ),
        (
            joined,
            |asked| asked.links = vec!["web".into()],
            "conflicting options: container type network can't be used with links. This would result in undefined behavior",
        ),
        (
            joined,
            |asked| asked.extra_hosts = vec!["a:1.2.3.4".into()],
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            joined,
            |asked| asked.networks[0].1.mac = Some(mac()),
            "conflicting options: mac-address and the network mode",
        ),
        (
            joined,
            |asked| asked.publish = vec!["80:80".into()],
            "conflicting options: port publishing and the container type network mode",
        ),
        (
            joined,
            |asked| asked.expose = vec!["80".into()],
            "conflicting options: port exposing and the container type network mode",
        ),
        (
            "host",
            |asked| asked.networks[0].1.mac = Some(mac()),
            "conflicting options: mac-address and the network mode",
        ),
        ("host", |asked| asked.links = vec!["web".into()], HOST_LINKS),
        ("bridge", |asked| asked.links = vec!["hosted".into()], HOST_LINKS),
        (
            "bridge",
            |asked| asked.networks.push(("none".into(), Settings::default())),
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        (
            "bridge",
            |asked| asked.networks.push(("default".into(), Settings::default())),
            "network \"bridge\" is specified multiple times",
        ),
    ];
    for (network, change, message) in cases {
        let changed = |asked: &mut ContainerCreate| {
            asked.networks[0].0 = network.into();
            change(asked);
        };
        assert_eq!(refused(&mut world, changed), message);
    }
}

fn mac() -> netswitch_common::address::Mac {
    netswitch_common::address::Mac([2, 0, 0, 0, 0, 1])
}

#[test]
fn ill_formed_requests_are_refused() {
    let mut world = World::new();
    world.network("mynet", &[]);
    world.run("web", &["bridge"]);
    let cases: [(Change, &str); 16] = [
        (|asked| asked.command.clear(), "No command specified"),
        (
            |asked| asked.name = "we b".into(),
            "Invalid container name (we b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        ),
        (
            |asked| asked.hostname = "-x".into(),
            "invalid hostname format for --hostname: -x",
        ),
        (
            |asked| asked.extra_hosts = vec!["x".into()],
            "bad format for add-host: \"x\"",
        ),
        (
            |asked| asked.environment = vec!["=x".into()],
            "invalid environment variable: =x",
        ),
        (
            |asked| asked.binds = vec!["/a".into()],
            "invalid volume specification: '/a'",
        ),
        (
            |asked| asked.expose = vec!["1:2".into()],
            "invalid port format for --expose: 1:2",
        ),
        (
            |asked| asked.links = vec!["a:b:c".into()],
            "bad format for links: a:b:c",
        ),
        (
            |asked| asked.links = vec!["nope".into()],
            "could not get container for nope: No such container: nope",
        ),
        (
            |asked| asked.networks[0].0 = "container:nope".into(),
            "No such container: nope",
        ),
        (
            |asked| asked.networks[0].0 = "container:".into(),
            "Invalid network mode: invalid container format container:<name|id>",
        ),
        (
            |asked| asked.networks[0].0 = "container".into(),
            "Invalid network mode: invalid container format container:<name|id>",
        ),
        (
            |asked| {
                asked.networks[0].0 = "none".into();
                asked.links = vec!["web:db".into()];
            },
            "option --link with --network none has no effect yet",
        ),
        (|asked| asked.dns = vec!["dns".into()], "dns is not an ip address"),
        (
            |asked| asked.dns_search = vec!["a b".into()],
            "a b is not a valid domain",
        ),
        (
            |asked| {
                asked.networks[0].0 = "container:web".into();
                asked.dns = vec!["10.0.0.1".into()];
            },
            "conflicting options: dns and the network mode",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refused(&mut world, change), message);
    }
    assert!(
        refused(&mut world, |asked| asked.name = "web".into()).starts_with("Conflict. The container name \"/web\"")
    );
    let none = |asked: &mut ContainerCreate| {
        asked.networks[0] = (
            "none".into(),
            Settings {
                mac: Some(mac()),
                ..Settings::default()
            },
        );
    };
    assert_eq!(
        refused(&mut world, none),
        "option --mac-address with --network none has no effect yet"
    );
}

#[test]
fn a_link_on_a_users_network_is_its_attachments() {
    let mut world = World::new();
    world.network("mynet", &[]);
    world.run("web", &["mynet"]);
    let mut asked = World::asked("new", &["mynet"]);
    asked.links = vec!["web:db".into()];
    let id = world.create(&asked).unwrap();
    let container = &world.state.containers[&id];
    assert_eq!(container.attachments["mynet"].links, ["web:db"]);
    assert!(container.links.is_empty());
}

#[test]
fn a_link_to_a_joined_container_leads_to_the_one_it_joined() {
    let mut world = World::new();
    let web = world.run("web", &["bridge"]);
    world.run("joined", &["container:web"]);
    let mut asked = World::asked("new", &["bridge"]);
    asked.links = vec!["joined".into()];
    let id = world.create(&asked).unwrap();
    assert_eq!(
        world.state.containers[&id].links,
        [Link {
            container: web,
            alias: "joined".into()
        }]
    );
}
