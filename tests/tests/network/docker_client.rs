//! The stock docker client, 20.10, against our socket: networks, as far as it goes.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;

use tests::world::{Output, World, without_ids};

use super::words;

/// Named by `cargo xtask test`; by hand, whatever docker the machine has.
pub(super) fn docker() -> PathBuf {
    env::var_os("NETSWITCH_DOCKER").map_or_else(|| "docker".into(), Into::into)
}

fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = world.host.command("timeout");
    command
        .args(["--kill-after=5", "60"])
        .arg(docker())
        .arg("-H")
        .arg(format!("unix://{}", world.socket().display()))
        .args(arguments)
        .env("DOCKER_CONFIG", &world.directory);
    Output::of(&mut command)
}

#[test]
fn s18_s19_docker_network_ls_and_inspect_say_what_ours_say() {
    let world = World::new();
    world.run("web", &[]);
    let ours = world.ok(&["network", "ls"]);
    assert_eq!(run(&world, &["network", "ls"]).ok(), ours);
    assert_eq!(
        without_ids(&ours),
        "NETWORK ID     NAME      DRIVER    SCOPE\n<id>   bridge    bridge    local\n<id>   host      host      local\n\
         <id>   none      null      local"
    );
    let id = world.ok(&["network", "ls", "-q", "--filter", "name=bridge"]);
    assert_eq!(
        run(&world, &["network", "inspect", &id]).ok(),
        world.ok(&["network", "inspect", &id])
    );
    let filters = ["network", "ls", "--filter", "driver=bridge", "--format", "{{.Name}}"];
    assert_eq!(run(&world, &filters).ok(), "bridge");
}

#[test]
fn docker_creates_connects_and_removes_networks() {
    let world = World::new();
    world.run("web", &[]);
    let create = [
        "network",
        "create",
        "--subnet",
        "10.9.0.0/16",
        "--gateway",
        "10.9.0.1",
        "--label",
        "a=b",
        "mynet",
    ];
    let id = run(&world, &create).ok();
    assert_eq!(id.len(), 64);
    assert_eq!(world.network("mynet")["Labels"]["a"], "b");
    let connect = [
        "network",
        "connect",
        "--ip",
        "10.9.0.77",
        "--alias",
        "db",
        "mynet",
        "web",
    ];
    assert_eq!(run(&world, &connect).ok(), "");
    assert_eq!(world.address("web", "mynet").to_string(), "10.9.0.77");
    let used = run(&world, &["network", "rm", "mynet"]);
    let text = format!(
        "Error response from daemon: error while removing network: network mynet id {id} has active endpoints\n"
    );
    assert_eq!((used.status, used.stderr.as_str()), (1, text.as_str()));
    assert_eq!(run(&world, &["network", "disconnect", "mynet", "web"]).ok(), "");
    assert_eq!(run(&world, &["network", "rm", "mynet"]).ok(), "mynet");
    run(&world, &["network", "create", "--ipv6", "--internal", "one"]).ok();
    run(&world, &["network", "create", "two"]).ok();
    let mut pruned: Vec<_> = run(&world, &["network", "prune", "-f"])
        .ok()
        .lines()
        .map(str::to_owned)
        .collect();
    pruned.sort();
    assert_eq!(pruned, ["Deleted Networks:", "one", "two"]);
}

#[test]
fn docker_shows_our_errors_as_its_own() {
    let world = World::new();
    world.run("web", &["--net", "host"]);
    for arguments in [
        &["network", "inspect", "nobody"][..],
        &["network", "rm", "nobody"],
        &["network", "rm", "bridge"],
        &["network", "create", "bridge"],
        &["network", "create", "--subnet", "10.0.0.0/33", "x1"],
        &["network", "create", "--subnet", "172.17.0.0/24", "x1"],
        &["network", "create", "-d", "macvlan", "x1"],
        &["network", "connect", "bridge", "nobody"],
        &["network", "connect", "nobody", "web"],
        &["network", "connect", "bridge", "web"],
        &["network", "disconnect", "bridge", "web"],
    ] {
        let (theirs, ours) = (run(&world, arguments), world.cli(arguments));
        // an id of a network that was never made differs from call to call
        assert_eq!(without_ids(&theirs.stderr), without_ids(&ours.stderr), "{arguments:?}");
        assert_eq!(
            (theirs.status, &theirs.stdout),
            (ours.status, &ours.stdout),
            "{arguments:?}"
        );
        assert_ne!(ours.status, 0, "{arguments:?}");
    }
}

#[test]
fn docker_ps_and_port_say_what_ours_say() {
    let world = World::with_lan();
    world.run(
        "web",
        &words("-p 8080:80 -p 9000-9002:9000-9002/udp -p 127.0.0.1:70:70 --expose 60"),
    );
    let ports = ["ps", "--format", "{{.Ports}}"];
    let ours = world.ok(&ports);
    assert!(ours.contains("0.0.0.0:9000-9002->9000-9002/udp"), "{ours}");
    assert_eq!(run(&world, &ports).ok(), ours);
    let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let ours = lines(world.ok(&["port", "web"]));
    assert_eq!(lines(run(&world, &["port", "web"]).ok()), ours);
    assert!(ours.contains("70/tcp -> 127.0.0.1:70"), "{ours:?}");
}

#[test]
fn docker_lists_in_the_order_in_which_we_list() {
    let world = World::with_lan();
    for name in words("net10 net2 net1 Net3 net_2 web-1 web-12 web-2 a01 a1 a001") {
        world.ok(&["network", "create", name]);
    }
    let list = ["network", "ls", "--format", "{{.Name}}"];
    let ours = world.ok(&list);
    assert_eq!(run(&world, &list).ok(), ours);
    assert_eq!(
        words(&ours).join(" "),
        "Net3 a1 a01 a001 bridge host net1 net2 net10 net_2 none web-1 web-2 web-12"
    );
    assert_eq!(
        world.ok(&["network", "ls", "--filter", "name=web", "--format", "{{.Name}}"]),
        "web-1\nweb-2\nweb-12"
    );
    world.run(
        "web",
        &words("-p 127.0.0.9:81:80 -p 127.0.0.10:80:80 -p 9000:80 -p 443:443 -p 53:53/udp -p 100-101:100-101"),
    );
    assert_eq!(
        world.ok(&["ps", "--format", "{{.Ports}}"]),
        "0.0.0.0:53->53/udp, :::53->53/udp, 0.0.0.0:9000->80/tcp, 127.0.0.9:81->80/tcp, 127.0.0.10:80->80/tcp, \
         :::9000->80/tcp, 0.0.0.0:100-101->100-101/tcp, :::100-101->100-101/tcp, 0.0.0.0:443->443/tcp, :::443->443/tcp"
    );
    assert_eq!(
        world.ok(&["port", "web"]),
        "53/udp -> 0.0.0.0:53\n53/udp -> :::53\n80/tcp -> 0.0.0.0:9000\n80/tcp -> 127.0.0.9:81\n\
         80/tcp -> 127.0.0.10:80\n80/tcp -> :::9000\n100/tcp -> 0.0.0.0:100\n100/tcp -> :::100\n\
         101/tcp -> 0.0.0.0:101\n101/tcp -> :::101\n443/tcp -> 0.0.0.0:443\n443/tcp -> :::443"
    );
}

#[test]
fn docker_knows_networks_of_any_name() {
    let world = World::new();
    world.run("web", &[]);
    for name in ["test 01", "team/blue", "網路", "é%2F?#"] {
        run(&world, &["network", "create", name]).ok();
        run(&world, &["network", "connect", name, "web"]).ok();
        let shown = run(
            &world,
            &["network", "inspect", "-f", "{{.Name}} {{len .Containers}}", name],
        )
        .ok();
        assert_eq!(shown, format!("{name} 1"));
        run(&world, &["network", "disconnect", name, "web"]).ok();
        assert_eq!(run(&world, &["network", "rm", name]).ok(), name);
    }
}

/// Templates of a list, and of an object: what Docker's client prints, we print; what it refuses, we refuse.
#[test]
fn templates_print_what_dockers_client_prints() {
    let world = World::new();
    world.ok(&[
        "network",
        "create",
        "--label",
        "a=b",
        "--subnet",
        "10.5.0.0/24",
        "alpha-long-name",
    ]);
    let of_list = [
        r#"{{printf "%-12.5s|%5d|%x" .Name (len .Name) .ID}}"#,
        r#"{{printf "%05d %+d % d %x %X %#x %o %b %c %q %U" 42 42 7 255 255 255 8 5 65 65 65}}"#,
        r#"{{printf "%05d|%-5d|%.3d|%+.2d|%08.3d" -42 -42 7 7 7}}"#,
        r#"{{printf "%8.3f|%e|%g|%v|%08.2f|%E" 3.14159 1234.5 0.5 1.0 -3.14159 0.0}}"#,
        r#"{{printf "%g %g %g %g %.2g" 1e6 123456.0 123456789.0 1e-5 1234.5}}"#,
        r#"{{printf "%t %5t %T %T" true false .Name 1}}"#,
        r#"{{printf "%d %s %t %z" .Name 1 "b" 1}}"#,
        r#"{{printf "%s" "a" "b" 3}}|{{printf "%s %s" "a"}}|{{printf "100%"}}|{{printf "100%%"}}"#,
        r#"{{printf "%[2]s %[1]s|%[3]s" "a" "b"}}"#,
        r#"{{printf "%*d|%-*d|%.*f|%*d" 5 42 4 7 1 2.55 "a" 1}}"#,
        r#"{{printf "%q %#q %+q %x % x %#x" "a\"b" "ab" "é" "ab" "ab" "ab"}}"#,
        r#"{{print .Name 1 2 "x" "y"}}|{{println 1 "a"}}|{{print}}"#,
        r#"{{slice .ID 0 6}} {{slice .Name 2}} {{slice "abc" 1 2}}"#,
        "{{slice .ID 0 99}}",
        r#"{{slice "abc" 2 1}}"#,
        r#"{{html "<a&b>'"}} {{js "it's <b>="}} {{urlquery "a b&é"}}"#,
        r#"{{"quoted \"x\" \u00e9"}}{{`raw`}}{{'a'}}{{'\x41'}}"#,
        "{{0x1f}} {{1_000}} {{0b11}} {{017}} {{-3}} {{.5}}",
        r#"{{"\q"}}"#,
        "{{'ab'}}",
        r#"{{define "t"}}<{{.}}>{{end}}{{template "t" .Name}}{{block "b" 5}}[{{.}}]{{end}}"#,
        r#"{{template "nope"}}"#,
        r#"{{block "b"}}x{{end}}"#,
        r#"{{range split "a,b,c" ","}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}"#,
        r#"{{range split "a,b,c" ","}}{{.}}{{if eq . "b"}}{{break}}{{end}}{{end}}"#,
        "{{break}}",
        "{{nil}}",
        r#"{{eq "a" 1}}"#,
        "{{len 3}}",
        r#"{{truncate "abc" 2}}{{truncate "abc" 5}}{{pad "a" 1 2}}|{{title "a-b c"}}"#,
        r#"{{.Name | upper | printf "%s!" | len}}"#,
        "{{nofunc .Name}}",
        "table {{.Name}}\\t{{.Driver}}",
    ];
    let of_object = [
        "{{.Labels}} {{.Options}} {{.IPAM}}",
        "{{.Created}}",
        "{{index .IPAM.Config 0}}",
        r#"{{printf "%q %v %+v" .Labels .Labels .IPAM}}"#,
        "{{.ID}} {{.ConfigFrom}} {{.Containers}}",
        "{{.Id}}",
        "{{json .IPAM}} {{json .Labels}}",
        "{{range .IPAM.Config}}{{.Gateway}}|{{.IPRange}}|{{.AuxAddress}}{{end}}",
        "{{.Name.Foo}}",
        "{{.IPAM.Nope}}",
        r#"{{index .Labels "none"}}{{.Labels.none}}"#,
    ];
    let list = of_list.map(|format| {
        vec![
            "network",
            "ls",
            "--no-trunc",
            "--filter",
            "name=alpha",
            "--format",
            format,
        ]
    });
    let object = of_object.map(|format| vec!["network", "inspect", "-f", format, "alpha-long-name"]);
    for arguments in list.iter().chain(&object) {
        let (theirs, ours) = (run(&world, arguments), world.cli(arguments));
        assert_eq!(
            ours.status == 0,
            theirs.status == 0,
            "{arguments:?}: {ours:?} {theirs:?}"
        );
        if theirs.status == 0 {
            assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
        }
    }
}

#[test]
fn docker_waits_for_a_container() {
    let world = World::new();
    world.ok(&["run", "-d", "--name", "web", "--", "sh", "-c", "exit 7"]);
    assert_eq!(run(&world, &["wait", "web"]).ok(), "7");
}
