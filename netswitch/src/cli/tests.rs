//! The command line as users type it, against what Docker 20.10's client prints and sends.

use super::{Verb, network, parse, usage::Instead};

fn read(line: &str) -> Result<super::Arguments, Instead> {
    let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
    parse(&words, None)
}

/// The request that a line stands for, in its JSON.
fn request(line: &str) -> serde_json::Value {
    let verb = read(line).unwrap().verb;
    let request = if let Verb::Run(verb) = verb {
        Ok(verb.request().unwrap())
    } else if let Verb::Attach(verb) = verb {
        verb.request()
    } else if let Verb::Network(network::Verb::Create(verb)) = verb {
        verb.request()
    } else if let Verb::Network(network::Verb::Connect(verb)) = verb {
        verb.request()
    } else {
        panic!("{line}: no request of its own");
    };
    serde_json::to_value(request.unwrap()).unwrap()
}

/// What a bad line is answered with, and the status.
fn refused(line: &str) -> (String, u8) {
    match read(line) {
        Err(Instead::Complain(text, status)) => (text, status),
        other => panic!("{line}: {other:?}"),
    }
}

fn help(line: &str) -> String {
    match read(line) {
        Err(Instead::Out(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn options_may_follow_the_name() {
    let create = &request("netswitch network create redis --subnet 172.38.0.0/16")["network-create"];
    assert_eq!(
        (&create["name"], &create["driver"]),
        (&"redis".into(), &"bridge".into())
    );
    assert_eq!(create["pools"][0]["subnet"], "172.38.0.0/16");
    let create = &request(
        "netswitch network create -d bridge --ipv6 --internal=true --attachable=0 -o a=b -o c --label x=1 \
         --subnet 10.1.0.0/16,fd00::/64 --gateway 10.1.0.9 --ip-range 10.1.4.0/24 --aux-address r=10.1.0.5 n",
    )["network-create"];
    assert_eq!(create["enable_ipv6"], true);
    assert_eq!(
        (&create["internal"], &create["attachable"]),
        (&true.into(), &false.into())
    );
    assert_eq!(create["options"], serde_json::json!({"a": "b", "c": ""}));
    assert_eq!(create["pools"][0]["gateway"], "10.1.0.9");
    assert_eq!(create["pools"][1]["subnet"], "fd00::/64");
}

#[test]
fn a_runs_command_begins_with_the_first_word() {
    let run = &request(
        "netswitch run -it --rm --name redis-1 --net redis --ip 172.38.0.11 -h web -e A=b -v /a:/b --label x \
         --add-host db:10.0.0.1 --link x:y -p 80:80 -P redis-server /etc/redis.conf --name not-an-option -d",
    )["container-create"];
    assert_eq!(
        run["command"],
        serde_json::json!(["redis-server", "/etc/redis.conf", "--name", "not-an-option", "-d"])
    );
    assert_eq!(
        (&run["terminal"], &run["interactive"], &run["remove"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert_eq!(run["networks"][0][0], "redis");
    assert_eq!(run["networks"][0][1]["ip"], "172.38.0.11");
    assert_eq!(run["hostname"], "web");

    let run = &request("netswitch run --network a --network b --network-alias x -- ping -c 1 a")["container-create"];
    assert_eq!(run["command"][0], "ping");
    assert_eq!(run["networks"][0][1]["aliases"], serde_json::json!(["x"]));
    assert_eq!(run["networks"][1][0], "b");
    assert_eq!(run["networks"][1][1]["aliases"], serde_json::json!([]));

    let run = &request("netswitch run true")["container-create"];
    assert_eq!(run["networks"][0][0], "", "the default network");
}

#[test]
fn limits_are_read_before_anybody_is_asked() {
    let run = &request("netswitch run --rate 100mbit --max-flows none true")["container-create"];
    assert_eq!(
        run["limits"],
        serde_json::json!({"rate": 100_000_000, "packets": null, "flows": 0})
    );
    let attach = &request("netswitch attach x --netns /n --pps 5")["attach"];
    assert_eq!(attach["limits"]["packets"], 5);
    let (text, status) = refused("netswitch update --rate 1kbit web");
    assert_eq!(status, 125);
    assert_eq!(
        text,
        "invalid argument \"1kbit\" for \"--rate\" flag: a rate is from 8kbit to 1tbit\nSee 'netswitch update --help'.\n"
    );
    assert!(help("netswitch update --help").contains("--rate rate"));
}

#[test]
fn an_exec_takes_a_container_and_a_command() {
    let Verb::Exec(exec) = read("netswitch exec -it -u 1:2 -w /tmp -e A=b tomcat01 ip -4 addr")
        .unwrap()
        .verb
    else {
        panic!("no exec");
    };
    let (container, process) = exec.process();
    assert_eq!(
        (container.as_str(), process.command),
        ("tomcat01", vec!["ip".into(), "-4".into(), "addr".into()])
    );
    assert_eq!(
        (process.user.as_deref(), process.directory.as_deref()),
        (Some("1:2"), Some("/tmp"))
    );
    assert!(process.terminal && process.interactive);
}

#[test]
fn the_last_of_a_repeated_option_wins() {
    let connect = &request("netswitch network connect --ip 1.2.3.4 --ip 10.0.0.9 --alias a,b --alias c net web");
    let settings = &connect["network-connect"]["settings"];
    assert_eq!(settings["ip"], "10.0.0.9");
    assert_eq!(settings["aliases"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(settings["connected"], true);
}

#[test]
fn the_agent_is_found_by_its_socket() {
    let socket = |line| read(line).unwrap().socket.display().to_string();
    assert_eq!(socket("netswitch --socket /a network ls"), "/a");
    assert_eq!(socket("netswitch network ls --socket /b"), "/b");
}

#[test]
fn the_agents_options_default_to_the_hosts_own_places() {
    let Verb::Agent(agent) = read("netswitch agent --uplink eth0 --uplink eth1 --bip 10.5.0.1/16 --datapath-log debug")
        .unwrap()
        .verb
    else {
        panic!("no agent");
    };
    let options = agent.options();
    assert_eq!(
        options.directories.socket().display().to_string(),
        "/run/netswitch/api.sock"
    );
    assert_eq!(options.host.uplinks, ["eth0", "eth1"]);
    assert_eq!(options.bip.map(|bip| bip.to_string()).as_deref(), Some("10.5.0.1/16"));
    assert!(!options.purge && options.abi_version.is_none());
}

#[test]
fn an_attach_names_one_namespace() {
    let attach = &request("netswitch attach x --netns /run/netns/x --network n --ip 10.0.0.5")["attach"];
    assert_eq!(attach["namespace"], serde_json::json!({"path": "/run/netns/x"}));
    assert_eq!(
        (&attach["network"], &attach["settings"]["ip"]),
        (&"n".into(), &"10.0.0.5".into())
    );
    assert_eq!(
        request("netswitch attach x --pid 7")["attach"]["namespace"],
        serde_json::json!({"process": 7})
    );
    let Verb::Attach(neither) = read("netswitch attach x").unwrap().verb else {
        panic!("no attach");
    };
    assert!(neither.request().is_err());
    let relative = &request("netswitch attach x --netns netns/x")["attach"]["namespace"]["path"];
    let here = std::env::current_dir().unwrap();
    assert_eq!(relative.as_str(), here.join("netns/x").to_str());
}

#[test]
fn an_attach_refuses_ports_that_cannot_be_read() {
    let ports = &request("netswitch attach x --pid 7 -p 80:80 --publish 443")["attach"]["publish"];
    assert_eq!(*ports, serde_json::json!(["80:80", "443"]));
    let Verb::Attach(attach) = read("netswitch attach x --pid 7 -p 80:x").unwrap().verb else {
        panic!("no attach");
    };
    let failure = attach.request().unwrap_err();
    let message = "netswitch: Invalid containerPort: x.\nSee 'netswitch attach --help'.";
    assert_eq!((failure.message.as_str(), failure.status), (message, 125));
}

#[test]
fn a_bip_of_other_meaning_is_refused() {
    let (text, status) = refused("netswitch agent --bip 127.0.0.1/8");
    let why = "invalid subnet 127.0.0.0/8: it overlaps the loopback addresses 127.0.0.0/8";
    assert!(text.contains(why), "{text}");
    assert_eq!(status, 125);
}

#[test]
fn bad_lines_are_refused_in_dockers_words() {
    let see = |verb: &str| format!("See 'netswitch {verb} --help'.\n");
    let create = "network create";
    let flags = [
        ("network create --x y", "unknown flag: --x", create),
        ("network create --x=1 y", "unknown flag: --x", create),
        ("network create --subnet", "flag needs an argument: --subnet", create),
        ("network ls -z", "unknown shorthand flag: 'z' in -z", "network ls"),
        ("run -dx a", "unknown shorthand flag: 'x' in -x", "run"),
        ("run --foo x", "unknown flag: --foo", "run"),
        ("exec -w", "flag needs an argument: 'w' in -w", "exec"),
        (
            "network ls --filter foo",
            "invalid argument \"foo\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
            "network ls",
        ),
        (
            "network create --internal=foo x",
            "invalid argument \"foo\" for \"--internal\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
            create,
        ),
        (
            "run -i=foo a",
            "invalid argument \"foo\" for \"-i, --interactive\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
            "run",
        ),
        (
            "run --label = x",
            "invalid argument \"=\" for \"-l, --label\" flag: invalid label '=': empty name",
            "run",
        ),
        (
            "stop --time=x a",
            "invalid argument \"x\" for \"-t, --time\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            "stop",
        ),
    ];
    for (line, text, verb) in flags {
        assert_eq!(
            refused(&format!("netswitch {line}")),
            (format!("{text}\n{}", see(verb)), 125),
            "{line}"
        );
    }
    let counts = [
        (
            "network rm",
            "requires at least 1 argument",
            "network rm NETWORK [NETWORK...]",
            "Remove one or more networks",
        ),
        (
            "network create",
            "requires exactly 1 argument",
            "network create [OPTIONS] NETWORK",
            "Create a network",
        ),
        (
            "network create a -- --b",
            "requires exactly 1 argument",
            "network create [OPTIONS] NETWORK",
            "Create a network",
        ),
        (
            "network create a b",
            "requires exactly 1 argument",
            "network create [OPTIONS] NETWORK",
            "Create a network",
        ),
        (
            "network connect a",
            "requires exactly 2 arguments",
            "network connect [OPTIONS] NETWORK CONTAINER",
            "Connect a container to a network",
        ),
        ("ps a", "accepts no arguments", "ps [OPTIONS]", "List containers"),
        (
            "run",
            "requires at least 1 argument",
            "run [OPTIONS] COMMAND [ARG...]",
            "Run a command in a new container",
        ),
        (
            "exec a",
            "requires at least 2 arguments",
            "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
            "Run a command in a running container",
        ),
    ];
    for (line, count, usage, about) in counts {
        let words: Vec<&str> = usage
            .split_whitespace()
            .take_while(|word| word.chars().all(char::is_lowercase))
            .collect();
        let verb = words.join(" ");
        let text = format!(
            "\"netswitch {verb}\" {count}.\n{}\nUsage:  netswitch {usage}\n\n{about}\n",
            see(&verb)
        );
        assert_eq!(refused(&format!("netswitch {line}")), (text, 1), "{line}");
    }
}

#[test]
fn an_unknown_verb_is_told_and_a_missing_one_gets_help() {
    assert_eq!(
        refused("netswitch foo"),
        (
            "netswitch: 'foo' is not a netswitch command.\nSee 'netswitch --help'\n".into(),
            1
        )
    );
    let page = help("netswitch network --help");
    assert_eq!(refused("netswitch network foo"), (page.clone(), 1));
    assert_eq!(refused("netswitch network"), (page.clone(), 0));
    assert_eq!(help("netswitch network foo --help"), page);
    assert_eq!(help("netswitch network -h"), page);
    let flag = "unknown flag: --foo\nSee 'netswitch network --help'.\n";
    assert_eq!(refused("netswitch network --foo ls"), (format!("{flag}{page}\n"), 125));
    assert_eq!(
        help("netswitch -v"),
        concat!("netswitch version ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_of_network_create_wraps_as_dockers() {
    assert_eq!(
        help("netswitch --socket /x network create --help"),
        "
Usage:  netswitch network create [OPTIONS] NETWORK

Create a network

Options:
      --attachable           Enable manual container attachment
      --aux-address map      Auxiliary IPv4 or IPv6 addresses used by
                             Network driver (default map[])
      --config-from string   The network from which to copy the configuration
      --config-only          Create a configuration only network
  -d, --driver string        Driver to manage the Network (default \"bridge\")
      --egress list          Names and networks that its containers may
                             speak to
      --gateway strings      IPv4 or IPv6 Gateway for the master subnet
      --host-names           Answer the host's own questions for NAME.NETWORK
      --ingress              Create swarm routing-mesh network
      --internal             Restrict external access to the network
      --ip-range strings     Allocate container ip from a sub-range
      --ipam-driver string   IP Address Management Driver (default \"default\")
      --ipam-opt map         Set IPAM driver specific options (default map[])
      --ipv6                 Enable IPv6 networking
      --label list           Set metadata on a network
  -o, --opt map              Set driver specific options (default map[])
      --scope string         Control the network's scope
      --subnet strings       Subnet in CIDR format that represents a
                             network segment
"
    );
    assert!(help("netswitch network list --help").contains("\nAliases:\n  ls, list\n\nOptions:\n"));
}
