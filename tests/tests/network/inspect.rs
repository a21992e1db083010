//! `network inspect` and `inspect`: Docker's keys in Docker's order, its types and its values.

use serde_json::{Value, json};
use tests::world::World;

use super::words;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn s18_s24_network_ls_shows_the_three_networks() {
    let world = World::new();
    let list = world.ok(&["network", "ls"]);
    let lines: Vec<Vec<&str>> = list.lines().map(words).collect();
    assert_eq!(lines[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]);
    let rows = [["bridge", "bridge"], ["host", "host"], ["none", "null"]];
    for (line, [name, driver]) in lines[1..].iter().zip(rows) {
        assert_eq!(line[1..], [name, driver, "local"]);
        assert_eq!(line[0].len(), 12);
    }
    assert_eq!(lines.len(), 4);
    world.run("tomcat01", &[]);
    assert_eq!(world.ok(&["network", "ls"]), list);
}

#[test]
fn s19_s20_s21_the_default_network_by_its_short_id() {
    let world = World::new();
    let ids = ["tomcat01", "tomcat02", "tomcat03"].map(|name| (name, world.run(name, &[])));
    let short = world.ok(&["network", "ls", "-q", "--filter", "name=bridge"]);
    assert_eq!(short.len(), 12);
    let text = world.ok(&["network", "inspect", &short]);
    assert!(
        text.starts_with("[\n    {\n        \"Name\": \"bridge\",\n        \"Id\": \""),
        "{text}"
    );
    let network = &serde_json::from_str::<Value>(&text).unwrap()[0];
    assert_eq!(
        keys(network).join(" "),
        "Name Id Created Scope Driver EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly Containers \
         Options Labels"
    );
    assert_eq!(network["Id"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&network["Scope"], &network["Driver"]),
        (&json!("local"), &json!("bridge"))
    );
    let created = network["Created"].as_str().unwrap();
    assert!(
        created.len() > "2026-01-02T03:04:05.6Z".len() && created.as_bytes()[10] == b'T',
        "{created}"
    );
    let ipam = json!({"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16"}]});
    assert_eq!(network["IPAM"].to_string(), ipam.to_string());
    for flag in ["EnableIPv6", "Internal", "Attachable", "Ingress", "ConfigOnly"] {
        assert_eq!(network[flag], false, "{flag}");
    }
    assert_eq!(network["ConfigFrom"], json!({"Network": ""}));
    assert_eq!(network["Labels"], json!({}));

    assert_eq!(network["Containers"].as_object().unwrap().len(), 3);
    for (number, (name, id)) in (2..).zip(&ids) {
        let endpoint = &network["Containers"][id];
        assert_eq!(
            keys(endpoint).join(" "),
            "Name EndpointID MacAddress IPv4Address IPv6Address"
        );
        assert_eq!(endpoint["Name"], *name);
        assert_eq!(endpoint["EndpointID"].as_str().unwrap().len(), 64);
        assert_eq!(endpoint["MacAddress"], format!("02:42:ac:11:00:0{number}"));
        assert_eq!(endpoint["IPv4Address"], format!("172.17.0.{number}/16"));
        assert_eq!(endpoint["IPv6Address"], "");
    }

    let options = json!({
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "docker0",
        "com.docker.network.driver.mtu": "1500",
    });
    assert_eq!(network["Options"].to_string(), options.to_string());
}

#[test]
fn s33_a_network_with_a_chosen_subnet() {
    let world = World::new();
    world.ok(&words(
        "network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    let ids = ["tomcat-net-01", "tomcat-net-02"].map(|name| world.run(name, &["--net", "mynet"]));
    let network = world.network("mynet");
    let ipam = json!({
        "Driver": "default",
        "Options": {},
        "Config": [{"Subnet": "192.168.0.0/16", "Gateway": "192.168.0.1"}],
    });
    assert_eq!(network["IPAM"].to_string(), ipam.to_string());
    assert_eq!((&network["Options"], &network["Labels"]), (&json!({}), &json!({})));
    for (number, id) in (2..).zip(&ids) {
        let endpoint = &network["Containers"][id];
        assert_eq!(endpoint["IPv4Address"], format!("192.168.0.{number}/16"));
        assert_eq!(endpoint["MacAddress"], format!("02:42:c0:a8:00:0{number}"));
    }
    let outside = [
        "--format",
        "{{range .IPAM.Config}}{{.Gateway}}{{end}} {{len .Containers}}",
    ];
    assert_eq!(
        world.ok(&[&["network", "inspect", "mynet"], &outside[..]].concat()),
        "192.168.0.1 2"
    );
}

#[test]
fn s43_s44_one_container_with_two_addresses() {
    let world = World::new();
    world.ok(&words(
        "network create --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet",
    ));
    world.run("tomcat-net-01", &["--net", "mynet"]);
    let id = world.run("tomcat01", &[]);
    world.ok(&["network", "connect", "mynet", "tomcat01"]);
    let networks = world.json(&["inspect", &id[..12]])[0]["NetworkSettings"]["Networks"].take();
    assert_eq!(keys(&networks), ["bridge", "mynet"]);
    let order = "IPAMConfig Links Aliases NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway \
                 GlobalIPv6Address GlobalIPv6PrefixLen MacAddress DriverOpts";
    let (bridge, mynet) = (&networks["bridge"], &networks["mynet"]);
    assert_eq!(keys(bridge).join(" "), order);
    assert_eq!(keys(mynet).join(" "), order);
    let id_of = |network: &str| world.network(network)["Id"].take();
    for (value, network, address, gateway, mac) in [
        (bridge, "bridge", "172.17.0.2", "172.17.0.1", "02:42:ac:11:00:02"),
        (mynet, "mynet", "192.168.0.3", "192.168.0.1", "02:42:c0:a8:00:03"),
    ] {
        assert_eq!(value["NetworkID"], id_of(network));
        assert_eq!(value["EndpointID"].as_str().unwrap().len(), 64);
        assert_eq!(
            (&value["IPAddress"], &value["IPPrefixLen"]),
            (&json!(address), &json!(16))
        );
        assert_eq!(
            (&value["Gateway"], &value["MacAddress"]),
            (&json!(gateway), &json!(mac))
        );
        assert_eq!(
            (&value["IPv6Gateway"], &value["GlobalIPv6Address"]),
            (&json!(""), &json!(""))
        );
        assert_eq!(
            (&value["GlobalIPv6PrefixLen"], &value["Links"]),
            (&json!(0), &Value::Null)
        );
    }
    for field in ["IPAMConfig", "Aliases", "DriverOpts"] {
        assert_eq!(bridge[field], Value::Null, "{field}");
    }
    assert_eq!((&mynet["IPAMConfig"], &mynet["DriverOpts"]), (&json!({}), &json!({})));
    assert_eq!(mynet["Aliases"], json!([id[..12]]));
}
