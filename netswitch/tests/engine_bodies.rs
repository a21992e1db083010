//! What clients of Docker Engine send, field by field: `null`, names, versions, and a swarm's paths.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod stub;

use stub::door::Door;

/// Every field of a body, and a value of its kind.
const CREATE: [(&str, &str); 13] = [
    ("CheckDuplicate", "true"),
    ("Driver", r#""bridge""#),
    ("Scope", r#""local""#),
    ("EnableIPv4", "true"),
    ("EnableIPv6", "true"),
    ("IPAM", r#"{"Driver":"default"}"#),
    ("Internal", "true"),
    ("Attachable", "true"),
    ("Ingress", "true"),
    ("ConfigOnly", "true"),
    ("ConfigFrom", r#"{"Network":"x"}"#),
    ("Options", r#"{"a":"b"}"#),
    ("Labels", r#"{"a":"b"}"#),
];
const IPAM: [(&str, &str); 3] = [
    ("Driver", r#""default""#),
    ("Options", r#"{"a":"b"}"#),
    ("Config", r#"[{"Subnet":"10.9.0.0/16"}]"#),
];
const POOL: [(&str, &str); 4] = [
    ("Subnet", r#""10.9.0.0/16""#),
    ("IPRange", r#""10.9.1.0/24""#),
    ("Gateway", r#""10.9.0.1""#),
    ("AuxiliaryAddresses", r#"{"a":"10.9.0.2"}"#),
];
const ENDPOINT: [(&str, &str); 15] = [
    ("IPAMConfig", r#"{"IPv4Address":"10.9.0.9"}"#),
    ("Links", r#"["a:b"]"#),
    ("Aliases", r#"["db"]"#),
    ("MacAddress", r#""02:42:ac:11:00:02""#),
    ("DriverOpts", r#"{"a":"b"}"#),
    ("GwPriority", "0"),
    ("NetworkID", r#""""#),
    ("EndpointID", r#""""#),
    ("Gateway", r#""""#),
    ("IPAddress", r#""""#),
    ("IPPrefixLen", "0"),
    ("IPv6Gateway", r#""""#),
    ("GlobalIPv6Address", r#""""#),
    ("GlobalIPv6PrefixLen", "0"),
    ("DNSNames", "[]"),
];
const ENDPOINT_IPAM: [(&str, &str); 3] = [
    ("IPv4Address", r#""10.9.0.9""#),
    ("IPv6Address", r#""fd00::9""#),
    ("LinkLocalIPs", r#"["169.254.1.1"]"#),
];

/// For each field: its name, the body in which it alone is `null`, and the body without it.
fn with_null(fields: &'static [(&str, &str)]) -> impl Iterator<Item = (String, String, String)> {
    let body = |null: Option<usize>, without: usize| {
        let members = fields.iter().enumerate().filter_map(|(i, (name, value))| match null {
            Some(null) if null == i => Some(format!("\"{name}\":null")),
            None if without == i => None,
            _ => Some(format!("\"{name}\":{value}")),
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    (0..fields.len()).map(move |i| (fields[i].0.to_owned(), body(Some(i), i), body(None, i)))
}

#[test]
fn null_in_any_field_is_as_good_as_no_field() {
    type Around = fn(&str, &str) -> (String, String);
    let create: Around = |body, name| {
        let body = body.replacen('{', &format!("{{\"Name\":\"{name}\","), 1);
        ("/networks/create".into(), body)
    };
    let ipam: Around = |body, name| {
        let body = format!("{{\"Name\":\"{name}\",\"IPAM\":{body}}}");
        ("/networks/create".into(), body)
    };
    let pool: Around = |body, name| {
        let body = format!("{{\"Name\":\"{name}\",\"IPAM\":{{\"Config\":[{body}]}}}}");
        ("/networks/create".into(), body)
    };
    let endpoint: Around = |body, _| {
        let body = format!("{{\"Container\":\"c\",\"EndpointConfig\":{body}}}");
        ("/networks/n/connect".into(), body)
    };
    let endpoint_ipam: Around = |body, _| {
        let body = format!("{{\"Container\":\"c\",\"EndpointConfig\":{{\"IPAMConfig\":{body}}}}}");
        ("/networks/n/connect".into(), body)
    };
    let connect: Around = |body, _| ("/networks/n/connect".into(), body.to_owned());
    let disconnect: Around = |body, _| ("/networks/n/disconnect".into(), body.to_owned());
    let tables: [(&'static [(&str, &str)], Around); 7] = [
        (&CREATE, create),
        (&IPAM, ipam),
        (&POOL, pool),
        (&ENDPOINT, endpoint),
        (&ENDPOINT_IPAM, endpoint_ipam),
        (&[("Container", "\"c\""), ("EndpointConfig", "{}")], connect),
        (&[("Container", "\"c\""), ("Force", "true")], disconnect),
    ];
    let door = Door::open();
    assert_eq!(door.send("POST", "/networks/create", r#"{"Name":"n"}"#).0, 201);
    for (fields, around) in tables {
        for (field, null, without) in with_null(fields) {
            let asked = [&null, &without].map(|body| {
                let (path, body) = around(body, &format!("of-{field}"));
                let (status, _, answer) = door.send("POST", &path, &body);
                assert!(matches!(status, 200 | 201 | 409), "{body}: {status} {answer}");
                door.last_asked()
            });
            assert_eq!(asked[0], asked[1], "{field}");
        }
    }
    // a name is needed; a list in the place of a map is no `null`
    for (body, message) in [
        (
            r#"{"Name":7}"#,
            "number into Go struct field CreateRequest.Name of type string",
        ),
        (
            r#"{"Name":"x","Labels":["a=b"]}"#,
            "array into Go struct field CreateRequest.Labels of type map[string]string",
        ),
        ("[]", "array into Go value of type CreateRequest"),
    ] {
        let expected = format!("{{\"message\":\"invalid JSON: json: cannot unmarshal {message}\"}}");
        let (status, _, answer) = door.send("POST", "/networks/create", body);
        assert_eq!((status, answer), (400, expected), "{body}");
    }
}

#[test]
fn a_networks_name_may_be_anything_in_a_path() {
    let door = Door::open();
    for (name, path) in [
        ("test 01", "test%2001"),
        ("a/b", "a/b"),
        ("a/b/connect", "a/b/connect"),
        ("a//b", "a//b"),
        ("a%2Fb", "a%252Fb"),
        ("網路", "%E7%B6%B2%E8%B7%AF"),
        ("-x:y?z", "-x:y%3Fz"),
        ("create", "create"),
        ("prune", "prune"),
        ("v1.41", "v1.41"),
        (" a ", "%20a%20"),
    ] {
        let body = serde_json::json!({"Name": name}).to_string();
        let (status, _, answer) = door.send("POST", "/v1.44/networks/create", &body);
        assert_eq!(status, 201, "{name}: {answer}");
        let (status, _, network) = door.send("GET", &format!("/v1.44/networks/{path}"), "");
        assert_eq!(status, 200, "{name}: {network}");
        let network: serde_json::Value = serde_json::from_str(&network).unwrap();
        assert_eq!(network["Name"], name);
        for verb in ["connect", "disconnect"] {
            let body = r#"{"Container":"c"}"#;
            let (status, _, answer) = door.send("POST", &format!("/v1.44/networks/{path}/{verb}"), body);
            assert_eq!(status, 200, "{verb} {name}: {answer}");
            let asked = door.last_asked();
            assert!(asked.contains(&format!("network: {name:?}")), "{verb} {name}: {asked}");
        }
        assert_eq!(
            door.send("DELETE", &format!("/v1.44/networks/{path}"), "").0,
            204,
            "{name}"
        );
    }
}

#[test]
fn each_version_of_the_api_gets_its_fields() {
    let door = Door::open();
    assert_eq!(door.send("POST", "/networks/create", r#"{"Name":"n"}"#).0, 201);
    for (prefix, knows_ipv4) in [
        ("/v1.24", false),
        ("/v1.41", false),
        ("/v1.44", false),
        ("/v1.47", false),
        ("/v1.48", true),
        ("/v1.51", true),
        ("", true),
    ] {
        for path in ["/networks", "/networks/n"] {
            let (status, _, answer) = door.send("GET", &format!("{prefix}{path}"), "");
            assert_eq!(status, 200);
            assert_eq!(
                answer.contains(r#""EnableIPv4":true"#),
                knows_ipv4,
                "{prefix}{path}: {answer}"
            );
        }
        let body = format!("{{\"Name\":\"m{prefix}\",\"EnableIPv4\":false}}");
        assert_eq!(door.send("POST", &format!("{prefix}/networks/create"), &body).0, 201);
        let asked = door.last_asked();
        assert!(
            asked.contains(&format!("disable_ipv4: {knows_ipv4}")),
            "{prefix}: {asked}"
        );
    }
}

#[test]
fn a_network_of_another_scope_is_not_found() {
    let door = Door::open();
    assert_eq!(door.send("POST", "/networks/create", r#"{"Name":"n"}"#).0, 201);
    for (scope, status) in [("", 200), ("local", 200), ("global", 404), ("swarm", 404)] {
        let path = format!("/v1.31/networks/n?scope={scope}");
        assert_eq!(door.send("GET", &path, "").0, status, "{scope}");
    }
}

#[test]
fn paths_of_a_swarm_answer_as_outside_of_one() {
    let door = Door::open();
    let manager = "This node is not a swarm manager. Use \\\"docker swarm init\\\" or \\\"docker swarm join\\\" to \
                   connect this node to swarm and try again.";
    for (method, path, message) in [
        ("GET", "/v1.41/swarm", manager),
        ("POST", "/swarm/init", manager),
        ("POST", "/v1.44/swarm/leave?force=1", "This node is not part of a swarm"),
        ("GET", "/services", manager),
        ("GET", "/nodes", manager),
        ("GET", "/secrets/x", manager),
    ] {
        let (status, _, answer) = door.send(method, path, "{}");
        assert_eq!(
            (status, answer),
            (503, format!("{{\"message\":\"{message}\"}}")),
            "{path}"
        );
    }
}
