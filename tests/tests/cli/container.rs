//! `ps`, `inspect`, `run`, `stop`, `stats`, `version`: what they print.

use serde_json::json;

use super::shown;
use tests::world::{World, eventually};

#[test]
fn ps_in_all_its_forms() {
    let world = World::new();
    world.ok(&["network", "create", "mynet"]);
    world.run("web", &["--label", "team=blue", "--net", "mynet"]);
    world.ok(&["run", "-d", "--name", "done", "--", "sh", "-c", "exit 3"]);
    eventually("it has ended", || {
        match world.inspect("done")["State"]["ExitCode"].as_i64() {
            Some(3) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let said = |line: &str| shown(&world.cli(&[&["ps"], &line.split_whitespace().collect::<Vec<_>>()[..]].concat()));
    let table = said("");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        words(lines[0]),
        [
            "CONTAINER",
            "ID",
            "OWNER",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES"
        ]
    );
    assert_eq!(lines.len(), 2, "{table}");
    assert!(
        lines[1].starts_with("<id>   netswitch   \"sh -c 'trap exit TE…\"")
            || lines[1].contains("\"sh -c trap exit TER…\""),
        "{table}"
    );
    assert!(lines[1].contains(" ago   Up ") && lines[1].ends_with(" web"), "{table}");
    assert_eq!(said("-a --format {{.Names}}:{{.State}}"), "done:exited\nweb:running\n");
    assert!(said("-a -f name=done").contains(" Exited (3) "), "{}", said("-a"));
    assert_eq!(said("-q"), "<id>\n");
    assert_eq!(world.ok(&["ps", "-q", "--no-trunc"]).len(), 64);
    assert_eq!(said("-f status=exited --format {{.Names}}"), "done\n");
    assert_eq!(said("-f network=mynet --format {{.Names}}"), "web\n");
    assert_eq!(said("-f label=team --format {{.Label\"team\"}}"), "blue\n");
    assert_eq!(said("-a -f name=nobody -q"), "");
    assert_eq!(
        said("-f colour=red"),
        "Error response from daemon: Invalid filter 'colour'\nstatus 1\n"
    );
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn inspect_has_dockers_parts() {
    let world = World::new();
    world.run(
        "web",
        &[
            "-e",
            "A=b",
            "-h",
            "here",
            "--expose",
            "80",
            "-v",
            "/usr:/given:ro",
            "--label",
            "x=y",
        ],
    );
    let container = world.inspect("web");
    let keys: Vec<_> = container.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys[..6], ["Id", "Created", "Path", "Args", "State", "Name"]);
    assert_eq!((&container["Name"], &container["Path"]), (&json!("/web"), &json!("sh")));
    assert_eq!(container["Config"]["Hostname"], "here");
    // the first is the world's own
    assert_eq!(container["Config"]["Env"][1], "A=b");
    assert_eq!(container["Config"]["Labels"], json!({"x": "y"}));
    assert_eq!(container["NetworkSettings"]["Ports"], json!({"80/tcp": null}));
    assert_eq!(container["Mounts"][0]["Destination"], "/given");
    assert_eq!(container["Mounts"][0]["RW"], false);
    assert_eq!(container["State"]["Status"], "running");
    let format =
        "{{.State.Status}} {{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}}{{end}}";
    assert_eq!(world.ok(&["inspect", "-f", format, "web"]), "running bridge=172.17.0.2");
    let environment = world.ok(&["inspect", "-f", "{{json .Config.Env}}", "web"]);
    assert!(environment.ends_with(",\"A=b\"]"), "{environment}");
}

#[test]
fn a_name_is_made_up_and_ids_may_be_shortened() {
    let world = World::new();
    let id = world.ok(&["run", "-d", "--", "sleep", "1000"]);
    let name = world.ok(&["ps", "--format", "{{.Names}}"]);
    let (adjective, surname) = name.split_once('_').unwrap();
    assert!(!adjective.is_empty() && !surname.is_empty(), "{name}");
    assert_eq!(world.ok(&["inspect", "-f", "{{.Name}}", &id[..6]]), format!("/{name}"));
    assert_eq!(world.ok(&["rm", "-f", &id[..12]]), id[..12]);
}

#[test]
fn stats_and_doctor_and_version() {
    let world = World::new();
    world.run("web", &[]);
    let stats = world.ok(&["stats", "--format", "json"]);
    assert!(
        stats.contains(r#"{"container":"web","network":"bridge","drops":{},"received_packets":"#),
        "{stats}"
    );
    let table = world.ok(&["stats"]);
    assert!(
        table.starts_with("PATH") && table.contains("CONTAINER   NETWORK   DROPPED   REASON"),
        "{table}"
    );
    let doctor = world.ok(&["doctor"]);
    assert!(doctor.lines().all(|line| line.starts_with("ok ")), "{doctor}");
    let findings = world.json(&["doctor", "--format", "json"]);
    assert!(
        findings.as_array().unwrap().iter().all(|finding| finding["ok"] == true),
        "{findings}"
    );
    let version = world.ok(&["version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(
        world.ok(&["--version"]),
        concat!("netswitch version ", env!("CARGO_PKG_VERSION"))
    );
}
