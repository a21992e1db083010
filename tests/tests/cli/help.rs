//! Help as Docker lays it out, and lines that make no sense.

use super::shown;
use tests::world::World;

fn said(line: &str) -> String {
    let world = World::without_agent();
    shown(&world.cli(&line.split_whitespace().collect::<Vec<_>>()))
}

#[test]
fn s37_network_help() {
    assert_eq!(
        said("network --help"),
        "
Usage:  netswitch network COMMAND

Manage networks

Commands:
  connect     Connect a container to a network
  create      Create a network
  disconnect  Disconnect a container from a network
  inspect     Display detailed information on one or more networks
  ls          List networks
  prune       Remove all unused networks
  rm          Remove one or more networks

Run 'netswitch network COMMAND --help' for more information on a command.
"
    );
}

#[test]
fn s38_network_connect_help() {
    assert_eq!(
        said("network connect --help"),
        "
Usage:  netswitch network connect [OPTIONS] NETWORK CONTAINER

Connect a container to a network

Options:
      --alias strings           Add network-scoped alias for the container
      --driver-opt strings      driver options for the network
      --ip string               IPv4 address (e.g., 172.30.100.104)
      --ip6 string              IPv6 address (e.g., 2001:db8::33)
      --link list               Add link to another container
      --link-local-ip strings   Add a link-local address for the container
"
    );
}

#[test]
fn lines_that_make_no_sense() {
    assert_eq!(
        said("foo"),
        "netswitch: 'foo' is not a netswitch command.\nSee 'netswitch --help'\nstatus 1\n"
    );
    assert_eq!(
        said("network create --x y"),
        "unknown flag: --x\nSee 'netswitch network create --help'.\nstatus 125\n"
    );
    assert_eq!(
        said("network rm"),
        "\"netswitch network rm\" requires at least 1 argument.\nSee 'netswitch network rm --help'.\n\n\
         Usage:  netswitch network rm NETWORK [NETWORK...]\n\nRemove one or more networks\nstatus 1\n"
    );
    assert_eq!(
        said("network create --subnet 10.1.0.0/24 --subnet 10.1.0.0/16 x"),
        "multiple overlapping subnet configuration is not supported\nstatus 1\n"
    );
    assert_eq!(
        said("network create --gateway 10.1.0.1 x"),
        "every ip-range or gateway must have a corresponding subnet\nstatus 1\n"
    );
}

#[test]
fn without_an_agent_every_command_says_so() {
    let world = World::without_agent();
    let text = format!(
        "Cannot connect to the netswitch agent at unix://{}. Is the agent running?\n",
        world.socket().display()
    );
    let lines = [
        "network ls",
        "network create x1",
        "ps",
        "stats",
        "doctor",
        "stop x",
        "logs x",
        "rm x",
    ];
    for line in lines {
        let output = world.cli(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(
            (output.status, output.stdout.as_str(), output.stderr.as_str()),
            (1, "", text.as_str()),
            "{line}"
        );
    }
    // Docker prints the empty list first
    let output = world.cli(&["inspect", "x"]);
    assert_eq!(
        (output.status, output.stdout.as_str(), &output.stderr),
        (1, "[]\n", &text)
    );
    let output = world.cli(&["run", "--", "true"]);
    let text = format!(
        "netswitch: {}.\nSee 'netswitch run --help'.\n",
        text.trim_end_matches([' ', '\n', '.'])
    );
    assert_eq!((output.status, output.stderr), (125, text));
}
