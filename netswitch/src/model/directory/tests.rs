use super::*;
use crate::model::{endpoint::Settings, testing::World};

fn view<'a>(world: &World, directory: &'a Directory, container: &str, network: &str) -> &'a View {
    let endpoint = world.endpoint(container, network);
    directory
        .view(Some(&endpoint.network), endpoint.addresses().next().unwrap().ip())
        .unwrap()
}

/// What the container finds under a name, in one line.
fn find(world: &World, container: &str, network: &str, name: &str) -> Option<String> {
    let directory = Directory::new(&world.state);
    let addresses = directory.addresses(view(world, &directory, container, network), name)?;
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Some(texts.join(" "))
}

#[test]
fn every_name_of_a_container_leads_to_it_on_its_network() {
    let mut world = World::new();
    world.network6("mynet", &["10.2.0.0/24", "fd02::/64"]);
    world.network("other", &["10.3.0.0/24"]);
    let mut asked = World::asked("Web", &["mynet"]);
    asked.hostname = "www.example.com".into();
    asked.networks[0].1.aliases = vec!["Front".into()];
    let web = world.start(&asked).unwrap();
    world.run("client", &["mynet"]);
    world.run("stranger", &["other"]);
    let addresses = Some("10.2.0.2 fd02::2".into());
    for name in [
        "web",
        "front",
        web.short(),
        "www.example.com",
        "web.mynet",
        "front.mynet",
        "www.example.com.mynet",
    ] {
        assert_eq!(find(&world, "client", "mynet", name), addresses, "{name}");
        assert_eq!(find(&world, "stranger", "other", name), None, "{name}");
    }
    assert_eq!(find(&world, "Web", "mynet", web.short()), addresses);
    for name in ["", "mynet", ".mynet", "web.other", "web.mynet.lan", "back"] {
        assert_eq!(find(&world, "client", "mynet", name), None, "{name}");
    }
}

#[test]
fn the_default_network_has_no_names() {
    let mut world = World::new();
    world.run("one", &["bridge"]);
    world.run("two", &["bridge"]);
    assert_eq!(find(&world, "one", "bridge", "two"), None);
    let directory = Directory::new(&world.state);
    let view = view(&world, &directory, "one", "bridge");
    assert_eq!(directory.name(view, "172.17.0.3".parse().unwrap()), None);
    assert_eq!(view.forward, Forward::Host);
}

#[test]
fn names_come_and_go_with_connections() {
    let mut world = World::new();
    world.network("mynet", &["10.2.0.0/24"]);
    world.run("db", &["mynet"]);
    world.run("app", &["bridge"]);
    assert_eq!(find(&world, "app", "bridge", "db"), None);
    world.connect("mynet", "app", &Settings::default()).unwrap();
    // whichever of its gateways it asks
    assert_eq!(find(&world, "app", "bridge", "db"), Some("10.2.0.2".into()));
    assert_eq!(find(&world, "app", "mynet", "db"), Some("10.2.0.2".into()));
    world.disconnect("mynet", "app").unwrap();
    assert_eq!(find(&world, "app", "bridge", "db"), None);
}

#[test]
fn an_alias_may_be_shared_and_the_first_network_with_a_name_wins() {
    let mut world = World::new();
    world.network("net-a", &["10.2.0.0/24"]);
    world.network("net-b", &["10.3.0.0/24"]);
    for (name, network) in [("one", "net-a"), ("two", "net-a"), ("three", "net-b")] {
        let mut asked = World::asked(name, &[network]);
        asked.networks[0].1.aliases = vec!["db".into()];
        world.start(&asked).unwrap();
    }
    world.run("both", &["net-a", "net-b"]);
    assert_eq!(find(&world, "both", "net-b", "db"), Some("10.2.0.2 10.2.0.3".into()));
    assert_eq!(find(&world, "both", "net-a", "db.net-b"), Some("10.3.0.2".into()));
    let two = world.state.container("two").unwrap().id.clone();
    world.stop(&two);
    assert_eq!(find(&world, "both", "net-a", "db"), Some("10.2.0.2".into()));
}

#[test]
fn a_link_is_one_containers_own_name() {
    let mut world = World::new();
    world.network("mynet", &["10.2.0.0/24"]);
    world.run("db", &["mynet"]);
    let mut asked = World::asked("app", &["mynet"]);
    asked.links = vec!["db:Store".into()];
    world.start(&asked).unwrap();
    world.run("other", &["mynet"]);
    assert_eq!(find(&world, "app", "mynet", "store"), Some("10.2.0.2".into()));
    assert_eq!(find(&world, "app", "mynet", "store.mynet"), Some("10.2.0.2".into()));
    assert_eq!(find(&world, "other", "mynet", "store"), None);
    // it leads to whoever has the name
    world.remove("db");
    assert_eq!(find(&world, "app", "mynet", "store"), None);
    world.run_at("db", "mynet", "10.2.0.9").unwrap();
    assert_eq!(find(&world, "app", "mynet", "store"), Some("10.2.0.9".into()));
}

#[test]
fn an_address_has_its_containers_name_and_network() {
    let mut world = World::new();
    world.network6("mynet", &["10.2.0.0/24", "fd02::/64"]);
    world.run("web", &["mynet"]);
    world.run("client", &["mynet"]);
    let directory = Directory::new(&world.state);
    let view = view(&world, &directory, "client", "mynet");
    let name = |address: &str| directory.name(view, address.parse().unwrap());
    assert_eq!(name("10.2.0.2"), Some("web.mynet".into()));
    assert_eq!(name("fd02::2"), Some("web.mynet".into()));
    assert_eq!(name("10.2.0.1"), None);
    assert_eq!(name("10.2.0.77"), None);
}

#[test]
fn who_is_asked_for_the_rest_is_the_containers_choice_then_the_networks_then_the_hosts() {
    let mut world = World::new();
    world.network("plain", &[]);
    world.internal_network("inner");
    let mut asked = World::asked_network("served", &[]);
    asked.options.insert("netswitch.dns".into(), "192.0.2.1,fd00::1".into());
    world.make(&asked).unwrap();
    let mut chosen = World::asked("chosen", &["served"]);
    chosen.dns = vec!["192.0.2.9".into()];
    world.start(&chosen).unwrap();
    world.run("web", &["served"]);
    world.run("usual", &["plain"]);
    world.run("hidden", &["inner"]);
    let directory = Directory::new(&world.state);
    let forward = |name: &str, network: &str| view(&world, &directory, name, network).forward.clone();
    let to = |servers: &[&str]| Forward::To(servers.iter().map(|server| server.parse().unwrap()).collect());
    assert_eq!(forward("chosen", "served"), to(&["192.0.2.9"]));
    assert_eq!(forward("web", "served"), to(&["192.0.2.1", "fd00::1"]));
    assert_eq!(forward("usual", "plain"), Forward::Host);
    assert_eq!(forward("hidden", "inner"), Forward::Refused);
    world.connect("plain", "hidden", &Settings::default()).unwrap();
    let directory = Directory::new(&world.state);
    assert_eq!(view(&world, &directory, "hidden", "inner").forward, Forward::Host);
}

#[test]
fn whoever_is_no_member_sees_the_network_alone() {
    let mut world = World::new();
    let network = world.network("mynet", &["10.2.0.0/24"]);
    world.run("web", &["mynet"]);
    let directory = Directory::new(&world.state);
    let stranger = directory.view(Some(&network), "10.2.0.200".parse().unwrap()).unwrap();
    assert!(directory.addresses(stranger, "web").is_some());
    assert!(
        directory
            .view(Some(&Id("none".into())), "10.2.0.2".parse().unwrap())
            .is_none()
    );
}

#[test]
fn a_directory_that_follows_changes_is_the_one_made_anew() {
    let mut world = World::new();
    let mut directory = Directory::new(&world.state);
    let mut step = |world: &mut World, changes: Changes| {
        let touched = Touched::of(&world.state, &changes);
        world.apply(changes);
        directory.follow(&world.state, &touched);
        assert_eq!(directory, Directory::new(&world.state));
    };
    let mut asked = World::asked_network("mynet", &["10.2.0.0/24"]);
    asked.options.insert("netswitch.host_names".into(), "true".into());
    let (changes, ..) = crate::model::network::create::create(&world.state, &mut world.facts(), &asked).unwrap();
    step(&mut world, changes);
    for name in ["one", "two", "three"] {
        let id = world.create(&World::asked(name, &["mynet"])).unwrap();
        let changes = crate::model::container::lifecycle::start(&world.state, &mut world.facts(), &id).unwrap();
        step(&mut world, changes);
    }
    let connect = |world: &World| {
        let (network, settings) = ("bridge", Settings::default());
        crate::model::endpoint::connect::connect(&world.state, &mut world.facts(), network, "one", &settings).unwrap()
    };
    let changes = connect(&world);
    step(&mut world, changes);
    let changes = crate::model::container::lifecycle::remove(&world.state, "two", true).unwrap();
    step(&mut world, changes);
    for name in ["one", "three"] {
        let changes = crate::model::container::lifecycle::remove(&world.state, name, true).unwrap();
        step(&mut world, changes);
    }
    let changes = crate::model::network::remove::remove(&world.state, "mynet").unwrap();
    step(&mut world, changes);
}
