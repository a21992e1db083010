//! The HTTP door as its clients see it, in front of an agent that only remembers.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod stub;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netswitch::api::{Request, Response};
use netswitch::client::{Client, ClientError};
use netswitch::doors::http;
use stub::Stub;

/// A door on a socket of its own; closed when dropped.
struct Door {
    stub: Stub,
    socket: PathBuf,
    close: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    fn open() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!("netswitch-door-{}-{number}.sock", std::process::id()));
        let stub = Stub::default();
        let (close, closed) = tokio::sync::oneshot::channel();
        // Bound here, so that the first request finds it.
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let agent = stub.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let closed = async {
                    let _ = closed.await;
                };
                http::serve(listener, agent, closed).await.unwrap();
            });
        });
        Self {
            stub,
            socket,
            close: Some(close),
            thread: Some(thread),
        }
    }

    /// Status, headers and body of one request.
    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
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
        (status, head.to_lowercase(), body.trim_end().to_owned())
    }

    fn last_asked(&self) -> String {
        self.stub.asked.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.close.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[test]
fn a_network_lives_its_life_through_dockers_paths() {
    let door = Door::open();
    let body = r#"{"CheckDuplicate":true,"Name":"n","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.9.0.0/16"}]}}"#;
    let (status, _, created) = door.send("POST", "/v1.41/networks/create", body);
    let id = format!("{:064x}", 0xabc);
    assert_eq!(
        (status, created),
        (201, format!("{{\"Id\":\"{id}\",\"Warning\":\"\"}}"))
    );

    let (status, _, message) = door.send("POST", "/networks/create", body);
    assert_eq!(status, 409);
    assert_eq!(message, r#"{"message":"network with name n already exists"}"#);

    let (status, _, network) = door.send("GET", "/v1.24/networks/n?scope=&verbose=false", "");
    assert_eq!(status, 200);
    assert!(
        network.starts_with(&format!("{{\"Name\":\"n\",\"Id\":\"{id}\",\"Created\":")),
        "{network}"
    );

    let body = r#"{"Container":"c","EndpointConfig":{"IPAMConfig":{"IPv4Address":"10.9.0.9"},"Aliases":["db"]}}"#;
    assert_eq!(door.send("POST", "/networks/n/connect", body).0, 200);
    let asked = door.last_asked();
    assert!(
        asked.contains("ip: Some(10.9.0.9)") && asked.contains("connected: true"),
        "{asked}"
    );

    assert_eq!(
        door.send("POST", "/networks/n/disconnect", r#"{"Container":"c","Force":true}"#)
            .0,
        200
    );
    assert!(door.last_asked().contains("force: true"));

    assert_eq!(door.send("DELETE", "/v1.41/networks/n", "").0, 204);
    let (status, _, message) = door.send("DELETE", "/v1.41/networks/n", "");
    assert_eq!(
        (status, message.as_str()),
        (404, r#"{"message":"network n not found"}"#)
    );
}

#[test]
fn filters_reach_the_agent_in_both_spellings() {
    let door = Door::open();
    let list = "%7B%22driver%22%3A%5B%22bridge%22%5D%7D";
    let set = "%7B%22driver%22%3A%7B%22bridge%22%3Atrue%7D%7D";
    for filters in [list, set] {
        assert_eq!(door.send("GET", &format!("/networks?filters={filters}"), "").0, 200);
        assert_eq!(door.last_asked(), r#"NetworkList { filters: {"driver": ["bridge"]} }"#);
    }
    let (status, _, pruned) = door.send("POST", &format!("/networks/prune?filters={set}"), "");
    assert_eq!((status, pruned.as_str()), (200, r#"{"NetworksDeleted":[]}"#));
    assert_eq!(door.send("GET", "/networks?filters=x", "").0, 400);
}

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

#[test]
fn a_ping_tells_the_version_and_a_head_has_no_body() {
    let door = Door::open();
    let (status, head, body) = door.send("GET", "/_ping", "");
    assert_eq!((status, body.as_str()), (200, "OK"));
    for header in [
        "api-version: 1.51",
        "swarm: inactive",
        "ostype: linux",
        "docker-experimental: false",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let (status, head, body) = door.send("HEAD", "/_ping", "");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("api-version: 1.51"));
}

#[test]
fn what_the_door_does_not_understand_is_told_as_json() {
    let door = Door::open();
    let rows = [
        ("GET", "/nothing", "", 404, "page not found"),
        ("PUT", "/networks", "", 404, "page not found"),
        ("GET", "/netswitch/v1/request", "", 404, "page not found"),
        (
            "GET",
            "/v1.52/networks",
            "",
            400,
            "client version 1.52 is too new. Maximum supported API version is 1.51",
        ),
        (
            "GET",
            "/v1.12/networks",
            "",
            400,
            "client version 1.12 is too old. Minimum supported API version is 1.24, \
             please upgrade your client to a newer version",
        ),
        (
            "POST",
            "/networks/create",
            "",
            400,
            "got EOF while reading request body",
        ),
        (
            "POST",
            "/networks/create",
            "{",
            400,
            "invalid JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "POST",
            "/networks/n/connect",
            r#"{"EndpointConfig":{"IPAMConfig":{"IPv4Address":"x"}}}"#,
            400,
            "invalid IPv4 address: x",
        ),
        ("GET", "/networks/a%20b", "", 404, "network a b not found"),
    ];
    for (method, path, body, status, message) in rows {
        let (got, _, answer) = door.send(method, path, body);
        assert_eq!(
            (got, answer),
            (status, format!("{{\"message\":\"{message}\"}}")),
            "{method} {path}"
        );
    }
    let large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(door.send("POST", "/networks/create", &large).0, 413);
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_door_open() {
    let head = "POST /networks/create HTTP/1.1\r\nHost: docker\r\n";
    let halves = [head.to_owned(), format!("{head}Content-Length: 9\r\n\r\n{{")];
    let waits = halves.map(|half| {
        let door = Door::open();
        let mut stream = UnixStream::connect(&door.socket).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        // comes later and is answered, so the door has begun with the half one
        assert_eq!(door.send("GET", "/_ping", "").0, 200);
        let (closed, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(door);
            closed.send(()).unwrap();
        });
        (waits, stream)
    });
    for (waits, _open) in waits {
        waits.recv_timeout(Duration::from_secs(20)).expect("the door closes");
    }
}

#[test]
fn our_own_client_gets_answers_and_errors() {
    let door = Door::open();
    let client = Client::new(&door.socket);
    assert!(matches!(client.ask(&Request::Version), Ok(Response::Version(_))));
    let inspect = Request::NetworkInspect {
        network: "n".to_owned(),
    };
    match client.ask(&inspect) {
        Err(error @ ClientError::Agent(_)) => {
            assert_eq!(error.to_string(), "Error response from daemon: network n not found");
        }
        other => panic!("{other:?}"),
    }
}
