//! `network ls`, `inspect`, `prune` and their options.

use super::shown;
use tests::world::{Output, World};

#[test]
fn ls_in_all_its_forms() {
    let world = World::new();
    world.ok(&["network", "create", "--label", "team=blue", "--internal", "mynet"]);
    let said = |line: &str| {
        shown(&world.cli(&[&["network", "ls"], &line.split_whitespace().collect::<Vec<_>>()[..]].concat()))
    };
    assert_eq!(
        said(""),
        "NETWORK ID     NAME      DRIVER    SCOPE\n<id>   bridge    bridge    local\n<id>   host      host      local\n\
         <id>   mynet     bridge    local\n<id>   none      null      local\n"
    );
    assert_eq!(said("-q"), "<id>\n<id>\n<id>\n<id>\n");
    let ids = world.ok(&["network", "ls", "-q", "--no-trunc"]);
    assert!(ids.lines().all(|id| id.len() == 64), "{ids}");
    assert_eq!(said("-f type=custom -q"), "<id>\n");
    assert_eq!(said("-f driver=null --format {{.Name}}"), "none\n");
    assert_eq!(
        said("-f label=team=blue --format {{.Name}}={{.Label\"team\"}}"),
        "mynet=blue\n"
    );
    assert_eq!(said("-f name=^[bh] --format {{.Name}}"), "bridge\nhost\n");
    assert_eq!(said("-f dangling=true --format {{.Name}}"), "mynet\n");
    assert_eq!(said("-f scope=swarm"), "NETWORK ID   NAME      DRIVER    SCOPE\n");
    assert_eq!(
        said("-f colour=red"),
        "Error response from daemon: Invalid filter 'colour'\nstatus 1\n"
    );
    let line = said("-f name=mynet --format json");
    let (created, rest) = line.split_once(',').unwrap();
    assert!(
        created.starts_with("{\"CreatedAt\":\"20") && created.ends_with(" +0000 UTC\""),
        "{line}"
    );
    assert_eq!(
        rest,
        "\"Driver\":\"bridge\",\"ID\":\"<id>\",\"IPv6\":\"false\",\"Internal\":\"true\",\"Labels\":\"team=blue\",\
         \"Name\":\"mynet\",\"Scope\":\"local\"}\n"
    );
}

#[test]
fn inspect_whole() {
    let world = World::new();
    world.ok(&[
        "network",
        "create",
        "--subnet",
        "192.168.0.0/16",
        "--gateway",
        "192.168.0.1",
        "--label",
        "a=b",
        "mynet",
    ]);
    world.run("web", &["--net", "mynet"]);
    assert_eq!(
        shown(&world.cli(&["network", "inspect", "mynet"])),
        r#"[
    {
        "Name": "mynet",
        "Id": "<id>",
        "Created": "<time>",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [
                {
                    "Subnet": "192.168.0.0/16",
                    "Gateway": "192.168.0.1"
                }
            ]
        },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {
            "Network": ""
        },
        "ConfigOnly": false,
        "Containers": {
            "<id>": {
                "Name": "web",
                "EndpointID": "<id>",
                "MacAddress": "02:42:c0:a8:00:02",
                "IPv4Address": "192.168.0.2/16",
                "IPv6Address": ""
            }
        },
        "Options": {},
        "Labels": {
            "a": "b"
        }
    }
]
"#
    );
    let several = world.cli(&[
        "network",
        "inspect",
        "-f",
        "{{.Name}} {{.Driver}}",
        "host",
        "nobody",
        "none",
    ]);
    assert_eq!(
        shown(&several),
        "host host\nnone null\nError: No such network: nobody\nstatus 1\n"
    );
    let compact = world.ok(&["network", "inspect", "-f", "json", "host"]);
    assert!(
        compact.starts_with("[{\"Name\":\"host\",") && !compact.contains('\n'),
        "{compact}"
    );
    let bad = world.cli(&["network", "inspect", "-f", "{{.Name", "host"]);
    assert_eq!(bad.status, 64, "{bad:?}");
    assert_eq!(
        world.ok(&["inspect", "--type", "network", "-f", "{{.Name}}", "mynet"]),
        "mynet"
    );
    assert_eq!(world.ok(&["inspect", "-f", "{{.Name}}", "mynet", "web"]), "mynet\n/web");
}

#[test]
fn prune_asks_and_tells() {
    let world = World::new();
    for name in ["one", "two"] {
        world.ok(&["network", "create", name]);
    }
    let question = "WARNING! This will remove all custom networks not used by at least one container.\n\
                    Are you sure you want to continue? [y/N] ";
    let prune = |answer: &str| Output::with_input(&mut world.command(&["network", "prune"]), answer);
    assert_eq!(shown(&prune("n\n")), question);
    assert_eq!(
        shown(&prune("y\n")),
        format!("{question}Deleted Networks:\none\ntwo\n\n")
    );
    assert_eq!(shown(&world.cli(&["network", "prune", "-f"])), "");
}

#[test]
fn rm_goes_on_after_a_failure() {
    let world = World::new();
    for name in ["one", "two"] {
        world.ok(&["network", "create", name]);
    }
    let output = world.cli(&["network", "rm", "one", "nobody", "two"]);
    assert_eq!(shown(&output), "one\ntwo\nError: No such network: nobody\nstatus 1\n");
}
