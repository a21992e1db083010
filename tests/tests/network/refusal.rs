//! Bad input: Docker's text, Docker's status, and not a trace.

use tests::world::World;

use super::words;

/// What the agent refuses, in the engine's words.
fn daemon(text: &str) -> String {
    format!("Error response from daemon: {text}")
}

#[test]
fn subnets_gateways_and_addresses_that_make_no_sense() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.1.0.0/16", "taken"]);
    let rows = [
        (
            "--subnet 10.2.0.0/33",
            "Invalid subnet 10.2.0.0/33 : invalid CIDR address: 10.2.0.0/33",
        ),
        (
            "--subnet 10.2.0.0",
            "Invalid subnet 10.2.0.0 : invalid CIDR address: 10.2.0.0",
        ),
        (
            "--subnet 10.1.4.0/24",
            "Pool overlaps with other one on this address space",
        ),
        (
            "--subnet 172.17.0.0/16",
            "Pool overlaps with other one on this address space",
        ),
    ];
    for (options, text) in rows {
        let arguments = [&["network", "create"], &words(options)[..], &["new"]].concat();
        let output = world.cli(&arguments);
        // the client refuses some of these itself, without the daemon's prefix
        let said = output.stderr.trim_end().to_owned();
        assert!(
            said == daemon(text) || said.contains("invalid CIDR address"),
            "{options}: {output:?}"
        );
        world.refuses(&arguments, 1, &said);
    }
    for (options, text) in [
        (
            "--subnet 10.2.0.0/16 --gateway 10.3.0.1",
            "no matching subnet for gateway 10.3.0.1",
        ),
        (
            "--subnet 10.2.0.0/16 --ip-range 10.3.0.0/24",
            "no matching subnet for range 10.3.0.0/24",
        ),
        (
            "--subnet 10.2.0.0/16 --aux-address a=10.3.0.5",
            "no matching subnet for aux-address 10.3.0.5",
        ),
    ] {
        let arguments = [&["network", "create"], &words(options)[..], &["new"]].concat();
        world.refuses(&arguments, 1, text);
    }
    let gateway = "failed to allocate gateway (10.2.0.0): Address already in use";
    world.refuses(
        &[
            "network",
            "create",
            "--subnet",
            "10.2.0.0/16",
            "--gateway",
            "10.2.0.0",
            "new",
        ],
        1,
        &daemon(gateway),
    );
}

#[test]
fn names_that_are_taken_or_malformed() {
    let world = World::new();
    world.ok(&["network", "create", "mynet"]);
    let id = world.run("web", &[]);
    let network = |name: &str| ["network".to_owned(), "create".to_owned(), name.to_owned()];
    for (name, text) in [
        ("mynet", "network with name mynet already exists"),
        ("bridge", "operation is not permitted on predefined bridge network"),
        (" ", "invalid name:"),
    ] {
        let arguments = network(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        world.refuses(&arguments, 1, &daemon(text));
    }
    let conflict = format!(
        "netswitch: Error response from daemon: Conflict. The container name \"/web\" is already in use by container \
         \"{id}\". You have to remove (or rename) that container to be able to reuse that name.\n\
         See 'netswitch run --help'."
    );
    world.refuses(&["run", "-d", "--name", "web", "--", "true"], 125, &conflict);
    let malformed = "netswitch: Error response from daemon: Invalid container name (-x), only \
                     [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed.\nSee 'netswitch run --help'.";
    world.refuses(&["run", "-d", "--name=-x", "--", "true"], 125, malformed);
}

#[test]
fn networks_and_containers_that_are_not_there() {
    let world = World::new();
    world.run("web", &[]);
    let rows: [(&[&str], &str); 8] = [
        (&["network", "inspect", "nobody"], "Error: No such network: nobody"),
        (&["network", "rm", "nobody"], "Error: No such network: nobody"),
        (
            &["network", "connect", "nobody", "web"],
            "Error response from daemon: network nobody not found",
        ),
        (
            &["network", "connect", "bridge", "nobody"],
            "Error response from daemon: No such container: nobody",
        ),
        (
            &["network", "disconnect", "nobody", "web"],
            "Error response from daemon: network nobody not found",
        ),
        (
            &["stop", "nobody"],
            "Error response from daemon: No such container: nobody",
        ),
        (
            &["start", "nobody"],
            "Error response from daemon: No such container: nobody\nError: failed to start containers: nobody",
        ),
        (&["exec", "nobody", "true"], "Error: No such container: nobody"),
    ];
    for (arguments, text) in rows {
        let before = world.snapshot();
        let output = world.cli(arguments);
        assert_eq!((output.status, output.stderr.trim_end()), (1, text), "{arguments:?}");
        assert_eq!(world.snapshot().difference(&before), None, "{arguments:?}");
    }
    let output = world.cli(&["inspect", "nobody"]);
    assert_eq!(
        (output.status, output.stderr.as_str()),
        (1, "Error: No such object: nobody\n")
    );
    assert_eq!(output.stdout, "[]\n");
}

#[test]
fn networks_in_use_and_predefined_ones_stay() {
    let world = World::new();
    let id = world.ok(&["network", "create", "mynet"]);
    world.run("web", &["--net", "mynet"]);
    let text = format!("error while removing network: network mynet id {id} has active endpoints");
    world.refuses(&["network", "rm", "mynet"], 1, &daemon(&text));
    world.refuses(
        &["network", "rm", "bridge"],
        1,
        &daemon("bridge is a pre-defined network and cannot be removed"),
    );
}

#[test]
fn what_cannot_be_connected() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.1.0.0/24", "mynet"]);
    world.ok(&["network", "create", "auto"]);
    world.run("host-mode", &["--net", "host"]);
    world.run("web", &["--net", "mynet"]);
    world.run("beside", &["--net", "container:web"]);
    world.run("alone", &["--net", "none"]);
    let shared = "container sharing network namespace with another container or host cannot be connected to any \
                  other network";
    let none = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
    let rows = [
        ("mynet host-mode", shared),
        ("mynet beside", shared),
        ("mynet alone", none),
        (
            "host web",
            "container cannot be disconnected from host network or connected to host network",
        ),
        ("--ip 10.1.0.2 mynet web", "Address already in use"),
        ("--ip 10.1.0.300 mynet web", "invalid IPv4 address: 10.1.0.300"),
        (
            "--ip 10.9.0.2 auto web",
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ),
        (
            "--ip 172.17.0.9 bridge web",
            "user specified IP address is supported on user defined networks only",
        ),
        (
            "--alias x bridge web",
            "network-scoped alias is supported only for containers in user defined networks",
        ),
    ];
    for (arguments, text) in rows {
        let arguments = [&["network", "connect"], &words(arguments)[..]].concat();
        let before = world.snapshot();
        let output = world.cli(&arguments);
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (1, ""),
            "{arguments:?} {output:?}"
        );
        // connecting twice is told before or after the address, as the engine does
        let said = output.stderr.trim_end();
        let twice = said.contains("endpoint with name web already exists in network mynet");
        assert!(
            said == daemon(text) || (twice && arguments.contains(&"mynet")),
            "{arguments:?}: {said}"
        );
        assert_eq!(world.snapshot().difference(&before), None, "{arguments:?}");
    }
    let taken = ["run", "-d", "--net", "mynet", "--ip", "10.1.0.2", "--", "true"];
    let text = "netswitch: Error response from daemon: Address already in use.\nSee 'netswitch run --help'.";
    world.refuses(&taken, 125, text);
    let outside = ["run", "-d", "--net", "mynet", "--ip", "10.2.0.2", "--", "true"];
    let text = "netswitch: Error response from daemon: Invalid address 10.2.0.2: It does not belong to any of this \
                network's subnets.\nSee 'netswitch run --help'.";
    world.refuses(&outside, 125, text);
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let world = World::new();
    let no_effect = |option: &str| daemon(&format!("option {option} has no effect yet"));
    world.refuses(
        &[
            "network",
            "create",
            "-o",
            "com.docker.network.container_iface_prefix=x",
            "new",
        ],
        1,
        &no_effect("com.docker.network.container_iface_prefix"),
    );
    world.refuses(
        &["network", "create", "--config-only", "new"],
        1,
        &no_effect("--config-only"),
    );
    world.refuses(
        &["run", "--privileged", "--", "true"],
        125,
        "unknown flag: --privileged\nSee 'netswitch run --help'.",
    );
    world.refuses(
        &["network", "create", "-d", "macvlan", "new"],
        1,
        &daemon("plugin \"macvlan\" not found"),
    );
}

#[test]
fn a_mac_that_is_taken_is_refused() {
    let world = World::new();
    let mac = "02:42:00:00:00:07";
    world.run("web", &["--mac-address", mac]);
    let output = world.cli(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "twin",
        "--mac-address",
        mac,
        "--",
        "true",
    ]);
    assert_eq!(output.status, 125, "{output:?}");
    assert!(
        output
            .stderr
            .contains(&format!("MAC address {mac} is already in use on network bridge")),
        "{output:?}"
    );
    let group = world.cli(&["run", "-d", "--mac-address", "01:00:5e:00:00:01", "--", "true"]);
    assert_eq!(group.status, 125);
    assert!(
        group.stderr.contains("01:00:5e:00:00:01 is not a valid mac address"),
        "{group:?}"
    );
}

#[test]
fn a_device_of_somebody_else_is_left_alone() {
    let world = World::new();
    world.host.sh("ip link add theirs type veth peer name others").ok();
    let option = "com.docker.network.bridge.name=theirs";
    world.refuses(
        &["network", "create", "-o", option, "new"],
        1,
        &daemon("device theirs exists already"),
    );
}
