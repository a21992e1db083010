//! Life of a container: run, exec, logs, stop, start, rm, and their exit statuses.

use std::fs;

use tests::world::{Output, World, eventually};

use super::{ping, words};

#[test]
fn the_commands_status_is_runs_status() {
    let world = World::new();
    let run = |command: &[&str]| world.cli(&[&["run", "--rm", "--"], command].concat());
    assert_eq!(run(&["true"]).status, 0);
    assert_eq!(run(&["false"]).status, 1);
    assert_eq!(run(&["sh", "-c", "exit 42"]).status, 42);
    let output = run(&["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str(), output.status),
        ("out\n", "err\n", 0)
    );
    let missing = run(&["no-such-program"]);
    assert_eq!(missing.status, 127, "{missing:?}");
    assert!(
        missing
            .stderr
            .contains("\"no-such-program\": executable file not found in $PATH"),
        "{missing:?}"
    );
    let refused = run(&["/etc/passwd"]);
    assert_eq!(refused.status, 126, "{refused:?}");
    assert!(refused.stderr.contains("permission denied"), "{refused:?}");
    assert_eq!(world.ok(&["ps", "-aq"]), "", "--rm removes them, the failed ones too");
}

#[test]
fn exec_has_its_own_environment_user_directory_and_status() {
    let world = World::new();
    world.run("web", &["-e", "GIVEN=at run", "-w", "/usr"]);
    let exec =
        |options: &[&str], command: &str| world.cli(&[&["exec"], options, &["web", "sh", "-c", command]].concat());
    assert_eq!(exec(&["-e", "A=b c"], "echo $A, $GIVEN").ok(), "b c, at run");
    assert_eq!(exec(&[], "pwd").ok(), "/usr");
    assert_eq!(exec(&["-w", "/etc"], "pwd").ok(), "/etc");
    assert_eq!(exec(&["-u", "nobody"], "id -un").ok(), "nobody");
    assert_eq!(exec(&["-u", "12:34"], "id -u; id -g").ok(), "12\n34");
    assert_eq!(exec(&[], "exit 7").status, 7);
    let with_input = |options: &[&str]| {
        Output::with_input(
            &mut world.command(&[&["exec"], options, &["web", "cat"]].concat()),
            "typed\n",
        )
    };
    assert_eq!(with_input(&["-i"]).stdout, "typed\n");
    assert_eq!(with_input(&[]).stdout, "");
    let missing = world.exec("web", &["no-such-program"]);
    assert_eq!(missing.status, 126, "as in engine 20.10: {missing:?}");
    assert!(
        missing.stderr.contains("executable file not found in $PATH"),
        "{missing:?}"
    );
    let stopped = world.cli(&["exec", "nobody-there", "true"]);
    assert_eq!(
        (stopped.status, stopped.stderr.as_str()),
        (1, "Error: No such container: nobody-there\n")
    );
}

#[test]
fn a_terminal_is_a_terminal() {
    let world = World::new();
    let script = |command: &str| {
        let line = format!("stty rows 33 columns 99; {} {command}", env_binary(&world));
        let mut script = world.host.command("timeout");
        script
            .args(["60", "script", "-qec", &line, "/dev/null"])
            .env("NETSWITCH_SOCKET", world.socket());
        Output::with_input(&mut script, "")
    };
    let output = script("run -it --rm --name web -- sh -c 'test -t 0 && test -t 1 && stty size && exit 5'");
    assert_eq!(output.status, 5, "{output:?}");
    assert!(output.stdout.contains("33 99"), "{output:?}");
    world.run("web", &[]);
    let output = script("exec -it web sh -c 'test -t 0 && tty'");
    assert_eq!(output.status, 0, "{output:?}");
    assert!(output.stdout.contains("/dev/pts/"), "{output:?}");
    let output = world.cli(&["run", "-it", "--", "true"]);
    assert_eq!(
        (output.status, output.stderr.as_str()),
        (1, "the input device is not a TTY\n")
    );
}

/// The program as a shell finds it.
fn env_binary(world: &World) -> String {
    let command = world.command(&[]);
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.last().unwrap().clone()
}

#[test]
fn logs_keep_both_streams() {
    let world = World::new();
    world.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--",
        "sh",
        "-c",
        "echo one; echo two >&2; echo three",
    ]);
    let logs = eventually("the container has ended", || {
        let running = world.inspect("web")["State"]["Running"] == true;
        if running {
            Err("it runs".into())
        } else {
            Ok(world.cli(&["logs", "web"]))
        }
    });
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("one\nthree\n", "two\n"));
    world.ok(&["run", "--name", "told", "--", "printf", "1\\n2\\n3\\n"]);
    assert_eq!(world.cli(&["logs", "--tail", "2", "told"]).stdout, "2\n3\n");
    assert_eq!(
        world.cli(&["logs", "-f", "web"]).stdout,
        "one\nthree\n",
        "to the end of what has ended"
    );
    let stamped = world.cli(&["logs", "-t", "web"]).stdout;
    assert!(stamped.lines().all(|line| line.as_bytes()[10] == b'T'), "{stamped}");
    let nobody = world.cli(&["logs", "nobody"]);
    assert_eq!(
        (nobody.status, nobody.stderr.as_str()),
        (1, "Error: No such container: nobody\n")
    );
}

#[test]
fn stop_lets_the_command_end_by_itself_and_start_runs_it_again() {
    let world = World::new();
    let command = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done";
    world.ok(&["run", "-d", "--name", "web", "--", "sh", "-c", command]);
    eventually("it is up", || match world.cli(&["logs", "web"]).stdout.as_str() {
        "up\n" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert_eq!(world.ok(&["stop", "web"]), "web");
    let state = world.inspect("web")["State"].take();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &3.into()));
    assert!(world.cli(&["logs", "web"]).stdout.ends_with("bye\n"));
    assert_eq!(world.ok(&["start", "web"]), "web");
    assert_eq!(world.inspect("web")["State"]["Status"], "running");
    ping(&world.host, &world.address("web", "bridge").to_string(), 64);
    // who ignores TERM is killed in the end
    world.ok(&[
        "run",
        "-d",
        "--name",
        "deaf",
        "--",
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 1; done",
    ]);
    world.ok(&["stop", "-t", "1", "deaf"]);
    assert_eq!(world.inspect("deaf")["State"]["ExitCode"], 137);
}

#[test]
fn rm_wants_a_stopped_container_or_force() {
    let world = World::new();
    let id = world.run("web", &[]);
    let text = format!(
        "Error response from daemon: You cannot remove a running container {id}. Stop the container before \
         attempting removal or force remove"
    );
    world.refuses(&["rm", "web"], 1, &text);
    assert_eq!(world.ok(&["rm", "-f", "web"]), "web");
    world.refuses(&["rm", "web"], 1, "Error: No such container: web");
    world.ok(&["run", "--rm", "-d", "--name", "short", "--", "true"]);
    eventually("--rm removes what has ended", || {
        match world.ok(&["ps", "-aq"]).as_str() {
            "" => Ok(()),
            left => Err(left.to_owned()),
        }
    });
}

#[test]
fn the_host_is_seen_and_never_written() {
    let world = World::new();
    let given = world.directory.join("given");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("file"), "from the host\n").unwrap();
    let bind = format!("{}:/no/such/place", given.display());
    let command = "cat /no/such/place/file; echo back > /no/such/place/file; echo mine > /etc/netswitch-test-mine; \
                   cat /etc/hostname";
    let output = world.cli(&[
        "run",
        "--rm",
        "-v",
        &bind,
        "-h",
        "here.example",
        "--",
        "sh",
        "-c",
        command,
    ]);
    assert_eq!(output.ok(), "from the host\nhere.example");
    assert_eq!(fs::read_to_string(given.join("file")).unwrap(), "back\n");
    assert!(!fs::exists("/no").unwrap() && !fs::exists("/etc/netswitch-test-mine").unwrap());
    let read_only = format!("{bind}:ro");
    let output = world.cli(&["run", "--rm", "-v", &read_only, "--", "touch", "/no/such/place/file"]);
    assert_ne!(output.status, 0, "{output:?}");
}

#[test]
fn files_of_the_network_are_the_containers_own() {
    let world = World::new();
    world.run(
        "web",
        &words("--add-host db:10.0.0.9 --add-host six:fd00::9 -h web.example.com"),
    );
    let hosts = world.exec("web", &["cat", "/etc/hosts"]).ok();
    assert!(
        hosts.contains("\n10.0.0.9\tdb\nfd00::9\tsix\n172.17.0.2\tweb.example.com web"),
        "{hosts}"
    );
    let servers = world.exec("web", &["cat", "/etc/resolv.conf"]).ok();
    assert!(!servers.contains("nameserver 127."), "{servers}");
    assert_eq!(world.exec("web", &["hostname"]).ok(), "web.example.com");
}

#[test]
fn a_stopped_container_keeps_its_chosen_address() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/29", "mynet"]);
    world.run("fixed", &["--net", "mynet", "--ip", "10.2.0.2"]);
    world.ok(&["stop", "fixed"]);
    assert_eq!(world.network("mynet")["Containers"].as_object().unwrap().len(), 0);
    for number in 3..=6 {
        let name = format!("c{number}");
        world.run(&name, &["--net", "mynet"]);
        assert_ne!(world.address(&name, "mynet").to_string(), "10.2.0.2");
    }
    let taken = world.cli(&["run", "-d", "--net", "mynet", "--ip", "10.2.0.2", "--", "true"]);
    assert_eq!(taken.status, 125);
    assert!(taken.stderr.contains("Address already in use"), "{taken:?}");
    world.ok(&["start", "fixed"]);
    assert_eq!(world.address("fixed", "mynet").to_string(), "10.2.0.2");
    ping(&world.inside("c3"), "10.2.0.2", 64);
}

#[test]
fn a_network_of_stopped_containers_may_go_and_they_miss_it() {
    let world = World::new();
    world.ok(&["network", "create", "mynet"]);
    world.run("web", &["--net", "mynet"]);
    world.ok(&["stop", "web"]);
    assert_eq!(world.ok(&["network", "rm", "mynet"]), "mynet");
    world.refuses(
        &["start", "web"],
        1,
        "Error response from daemon: network mynet not found\nError: failed to start containers: web",
    );
    // another of that name heals it
    world.ok(&["network", "create", "mynet"]);
    world.ok(&["start", "web"]);
    ping(&world.host, &world.address("web", "mynet").to_string(), 64);
}

#[test]
fn a_container_whose_network_fails_to_come_up_leaves_nothing() {
    let world = World::new();
    world.ok(&["network", "create", "--subnet", "10.2.0.0/30", "tiny"]);
    world.run("only", &["--net", "tiny"]);
    world.run("warm", &[]); // a device that was up once has another queue for good
    world.ok(&["rm", "-f", "warm"]);
    let before = world.snapshot();
    let output = world.cli(&["run", "--rm", "--net", "tiny", "--name", "more", "--", "true"]);
    assert_eq!(output.status, 125, "{output:?}");
    assert_eq!(world.snapshot().difference(&before), None);
    // the same for a command that is not there, and for what a created container leaves when it goes
    let output = world.cli(&["run", "-d", "--rm", "--name", "more", "--", "nosuchprogram"]);
    assert_eq!(output.status, 127, "{output:?}");
    assert_eq!(world.snapshot().difference(&before), None);
    let output = world.cli(&["run", "-d", "--name", "more", "--", "nosuchprogram"]);
    assert_eq!(output.status, 127, "{output:?}");
    assert_eq!(
        world.ok(&["ps", "-a", "--filter", "name=more", "--format", "{{.Status}}"]),
        "Created"
    );
    world.ok(&["rm", "more"]);
    assert_eq!(world.snapshot().difference(&before), None);
    let folders = world.folders();
    assert_eq!(folders, ["only"], "folders of containers in the run directory");
}
