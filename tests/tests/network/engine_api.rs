//! Docker Engine's API by hand: what clients other than `docker` send, and what they read.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use tests::world::World;

/// One request; its status and its answer, `null` where it has no body.
fn send(world: &World, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(world.socket()).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn what_clients_send_makes_the_network_that_they_mean() {
    let world = World::new();
    let plain_pool = json!([{"Subnet": "10.7.0.0/24"}]);
    // who sends it, its body, and IPAM as it is shown
    let rows = [
        (
            "docker-py, Ansible",
            r#"{"Name":"n","Driver":null,"Options":null,"CheckDuplicate":null,"IPAM":{"Driver":"default","Options":null,
                "Config":[{"Subnet":"10.7.0.0/24","IPRange":null,"Gateway":null,"AuxiliaryAddresses":null}]}}"#,
            json!({"Driver": "default", "Options": null, "Config": plain_pool}),
        ),
        (
            "compose 2",
            r#"{"Name":"n","CheckDuplicate":true,"Driver":"","Scope":"","EnableIPv6":null,"IPAM":{"Config":
                [{"Subnet":"10.7.0.0/24"}]},"Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,
                "ConfigFrom":null,"Options":null,"Labels":{}}"#,
            json!({"Driver": "default", "Options": null, "Config": plain_pool}),
        ),
        (
            "docker 28",
            r#"{"Name":"n","Driver":"bridge","Scope":"","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},
                "Config":[{"Subnet":"10.7.0.0/24","Gateway":"10.7.0.9"}]},"ConfigFrom":null,"Options":{},"Labels":{}}"#,
            json!({"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.7.0.0/24", "Gateway": "10.7.0.9"}]}),
        ),
        (
            "names of fields in small letters",
            r#"{"name":"n","ipam":{"config":[{"subnet":"10.7.0.0/24"}]}}"#,
            json!({"Driver": "default", "Options": null, "Config": plain_pool}),
        ),
    ];
    for (who, body, ipam) in rows {
        let (status, answer) = send(&world, "POST", "/v1.41/networks/create", body);
        assert_eq!(status, 201, "{who}: {answer}");
        let (_, network) = send(&world, "GET", "/v1.41/networks/n", "");
        assert_eq!(network["IPAM"], ipam, "{who}");
        assert_eq!(
            (&network["Options"], &network["Labels"], &network["Driver"]),
            (&json!({}), &json!({}), &json!("bridge")),
            "{who}"
        );
        assert_eq!(send(&world, "DELETE", "/v1.41/networks/n", "").0, 204);
    }
    // an engine picks a subnet where IPAM is null
    let (status, answer) = send(&world, "POST", "/networks/create", r#"{"Name":"n","IPAM":null}"#);
    assert_eq!(status, 201, "{answer}");
    assert_eq!(world.network("n")["IPAM"]["Config"][0]["Subnet"], "172.18.0.0/16");
}

#[test]
fn a_network_of_any_name_has_members_and_a_way_to_them() {
    let world = World::new();
    world.run("web", &[]);
    for (name, path) in [
        ("test 01", "test%2001"),
        ("team/blue", "team/blue"),
        ("網路", "%E7%B6%B2%E8%B7%AF"),
        (" -x:y=z,% ", "%20-x:y=z,%25%20"),
        ("a\"b\\c{}", "a%22b%5Cc%7B%7D"),
        (&"long".repeat(70), &"long".repeat(70)),
    ] {
        let body = json!({"Name": name}).to_string();
        let (status, answer) = send(&world, "POST", "/v1.41/networks/create", &body);
        assert_eq!(status, 201, "{name}: {answer}");
        let (status, answer) = send(&world, "POST", "/v1.41/networks/create", &body);
        assert_eq!(
            (status, answer["message"].as_str()),
            (409, Some(format!("network with name {name} already exists").as_str()))
        );
        let connect = r#"{"Container":"web","EndpointConfig":null}"#;
        let (status, answer) = send(&world, "POST", &format!("/v1.41/networks/{path}/connect"), connect);
        assert_eq!(status, 200, "{name}: {answer}");
        let (_, network) = send(&world, "GET", &format!("/v1.41/networks/{path}"), "");
        assert_eq!(network["Name"], name);
        assert_eq!(network["Containers"].as_object().unwrap().len(), 1, "{name}");
        assert_eq!(world.network(name)["Id"], network["Id"]);
        world.run("peer", &["--net", name]);
        assert!(
            world.exec("peer", &["getent", "hosts", "web"]).ok().contains("web"),
            "{name}"
        );
        let filter = format!("name={name}");
        if !name.contains(['{', '\\']) {
            assert_eq!(
                world.ok(&["network", "ls", "-q", "--no-trunc", "--filter", &filter]),
                network["Id"]
            );
        }
        world.ok(&["stats"]);
        world.ok(&["rm", "-f", "peer"]);
        world.ok(&["network", "disconnect", name, "web"]);
        assert_eq!(
            send(&world, "DELETE", &format!("/v1.41/networks/{path}"), "").0,
            204,
            "{name}"
        );
    }
    for blank in ["", " ", "\t\n"] {
        let (status, answer) = send(&world, "POST", "/networks/create", &json!({"Name": blank}).to_string());
        assert_eq!(
            (status, answer["message"].clone()),
            (400, json!(format!("invalid name: {blank}")))
        );
    }
}

#[test]
fn what_has_no_meaning_here_is_refused_in_the_engines_words_and_changes_nothing() {
    let world = World::new();
    let networks = world.ok(&["network", "ls", "--no-trunc"]);
    let no_manager = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                      this node to swarm and try again.";
    for (method, path, body, status, message) in [
        (
            "POST",
            "/v1.44/networks/create",
            r#"{"Name":"n","Driver":"overlay"}"#,
            403,
            no_manager,
        ),
        (
            "POST",
            "/v1.44/swarm/init",
            r#"{"ListenAddr":"127.0.0.1"}"#,
            503,
            no_manager,
        ),
        ("GET", "/v1.44/services", "", 503, no_manager),
        (
            "POST",
            "/v1.44/swarm/leave?force=true",
            "",
            503,
            "This node is not part of a swarm",
        ),
        (
            "POST",
            "/v1.48/networks/create",
            r#"{"Name":"n","EnableIPv4":false,"EnableIPv6":true}"#,
            501,
            "option --ipv4=false has no effect yet",
        ),
        (
            "POST",
            "/v1.48/networks/create",
            r#"{"Name":"n","Labels":["a=b"]}"#,
            400,
            "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.Labels of type \
             map[string]string",
        ),
        (
            "GET",
            "/v1.44/networks/bridge?scope=swarm",
            "",
            404,
            "network bridge not found",
        ),
    ] {
        let (found, answer) = send(&world, method, path, body);
        assert_eq!(
            (found, answer["message"].as_str()),
            (status, Some(message)),
            "{path} {body}"
        );
    }
    assert_eq!(world.ok(&["network", "ls", "--no-trunc"]), networks);
}

#[test]
fn each_version_of_the_api_has_its_fields() {
    let world = World::new();
    for (version, has_ipv4) in [
        ("1.24", None),
        ("1.41", None),
        ("1.44", None),
        ("1.48", Some(true)),
        ("1.51", Some(true)),
    ] {
        let (status, networks) = send(&world, "GET", &format!("/v{version}/networks"), "");
        assert_eq!(status, 200, "{version}: {networks}");
        for network in networks.as_array().unwrap() {
            let is_bridge = network["Name"] == "bridge";
            let expected = has_ipv4.map(|_| is_bridge);
            assert_eq!(network["EnableIPv4"].as_bool(), expected, "{version}: {network}");
        }
    }
    let (status, answer) = send(&world, "GET", "/v1.52/networks", "");
    assert_eq!(
        (status, answer["message"].as_str()),
        (
            400,
            Some("client version 1.52 is too new. Maximum supported API version is 1.51")
        )
    );
    let (_, version) = send(&world, "GET", "/version", "");
    assert_eq!(
        (&version["ApiVersion"], &version["MinAPIVersion"]),
        (&json!("1.51"), &json!("1.24"))
    );
}

#[test]
fn who_waits_for_nobody_or_nothing_is_told_so() {
    let world = World::new();
    let refused = |path: &str| {
        let (status, answer) = send(&world, "POST", path, "");
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    };
    let nobody = (404, "No such container: nobody".to_owned());
    assert_eq!(refused("/v1.41/containers/nobody/wait"), nobody);
    let never = (400, "invalid condition: \"never\"".to_owned());
    assert_eq!(refused("/v1.41/containers/nobody/wait?condition=never"), never);
}
