//! The HTTP door as its clients see it, in front of an agent that only remembers.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod stub;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use netswitch::api::{Request, Response};
use netswitch::client::{Client, ClientError};
use stub::door::Door;

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
