//! The JSON of the seed, and the filters of `network ls`.

use super::*;
use crate::model::{endpoint::Settings, testing::World};

#[test]
fn the_default_network_looks_like_the_seeds() {
    let mut world = World::new();
    let id = world.run("tomcat01", &["bridge"]);
    let endpoint = world.endpoint("tomcat01", "bridge").id.clone();
    let network = world.state.network("bridge").unwrap();
    let (short, full) = (network.id.short(), &network.id);
    let text = serde_json::to_string(&inspect(&world.state, short).unwrap()).unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"Name\":\"bridge\",\"Id\":\"{full}\",\"Created\":\"2020-09-13T12:26:40.000000000Z\",\"Scope\":\"local\",\
             \"Driver\":\"bridge\",\"EnableIPv4\":true,\"EnableIPv6\":false,\"IPAM\":{{\"Driver\":\"default\",\"Options\":null,\"Config\":\
             [{{\"Subnet\":\"172.17.0.0/16\"}}]}},\"Internal\":false,\"Attachable\":false,\"Ingress\":false,\
             \"ConfigFrom\":{{\"Network\":\"\"}},\"ConfigOnly\":false,\"Containers\":{{\"{id}\":{{\"Name\":\"tomcat01\",\
             \"EndpointID\":\"{endpoint}\",\"MacAddress\":\"02:42:ac:11:00:02\",\"IPv4Address\":\"172.17.0.2/16\",\
             \"IPv6Address\":\"\"}}}},\"Options\":{{\"com.docker.network.bridge.default_bridge\":\"true\",\
             \"com.docker.network.bridge.enable_icc\":\"true\",\"com.docker.network.bridge.enable_ip_masquerade\":\"true\",\
             \"com.docker.network.bridge.host_binding_ipv4\":\"0.0.0.0\",\"com.docker.network.bridge.name\":\"docker0\",\
             \"com.docker.network.driver.mtu\":\"1500\"}},\"Labels\":{{}}}}"
        )
    );
}

#[test]
fn only_running_containers_are_shown() {
    let mut world = World::new();
    world.network6("mynet", &["192.168.0.0/16", "fd01::/64"]);
    let one = world.run("tomcat-net-01", &["mynet"]);
    let two = world.run("tomcat-net-02", &["mynet"]);
    world.run("tomcat01", &["bridge"]);
    world.connect("mynet", "tomcat01", &Settings::default()).unwrap();
    let shown = |world: &World, network: &str| -> Vec<String> {
        let mut shown: Vec<String> = inspect(&world.state, network)
            .unwrap()
            .containers
            .into_values()
            .map(|one| {
                format!(
                    "{} {} {} {}",
                    one.name, one.ipv4_address, one.ipv6_address, one.mac_address
                )
            })
            .collect();
        shown.sort();
        shown
    };
    assert_eq!(
        shown(&world, "mynet"),
        [
            "tomcat-net-01 192.168.0.2/16 fd01::2/64 02:42:c0:a8:00:02",
            "tomcat-net-02 192.168.0.3/16 fd01::3/64 02:42:c0:a8:00:03",
            "tomcat01 192.168.0.4/16 fd01::4/64 02:42:c0:a8:00:04",
        ]
    );
    world.stop(&one);
    world.stop(&two);
    assert_eq!(shown(&world, "mynet").len(), 1);
    world.run("hosted", &["host"]);
    assert_eq!(shown(&world, "host"), ["hosted   "]);
    assert!(shown(&world, "none").is_empty());
}

#[test]
fn ls_is_sorted_and_filtered() {
    let mut world = World::new();
    let mynet = world.network("mynet", &[]);
    world.labelled_network("zoo", &[("a", "1")]);
    world.run("web", &["mynet"]);
    let names = |filters: &[(&str, &str)]| {
        let mut map = Filters::new();
        for (key, value) in filters {
            map.entry((*key).to_owned()).or_default().push((*value).to_owned());
        }
        let list = list(&world.state, &map).map_err(|error| error.message)?;
        Ok::<_, String>(
            list.iter()
                .map(|network| network.name.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        )
    };
    for (filters, expected) in [
        (&[][..], "bridge host mynet none zoo"),
        (&[("driver", "bridge")], "bridge mynet zoo"),
        (&[("driver", "null"), ("driver", "host")], "host none"),
        (&[("id", mynet.short())], "mynet"),
        (&[("name", "o")], "host none zoo"),
        (&[("name", "^my")], "mynet"),
        (&[("label", "a=1")], "zoo"),
        (&[("scope", "swarm")], ""),
        (&[("scope", "local"), ("type", "custom")], "mynet zoo"),
        (&[("type", "builtin")], "bridge host none"),
        (&[("type", "builtin"), ("type", "custom")], "bridge host mynet none zoo"),
        (&[("dangling", "true")], "zoo"),
        (&[("dangling", "0")], "bridge host mynet none"),
    ] {
        assert_eq!(names(filters).unwrap(), expected, "{filters:?}");
    }
    for (filters, message) in [
        (&[("colour", "red")][..], "Invalid filter 'colour'"),
        (&[("type", "odd")], "invalid filter: 'type'='odd'"),
        (
            &[("dangling", "x")],
            "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
        ),
        (
            &[("dangling", "1"), ("dangling", "0")],
            "got more than one value for filter key \"dangling\"",
        ),
    ] {
        assert_eq!(names(filters).unwrap_err(), message);
    }
}
