//! Waiting for a container: `netswitch wait`, Docker's `POST /containers/{id}/wait`, `logs --follow`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use tests::world::World;

/// A container that ends with status 7 when it is stopped.
fn run(world: &World, name: &str) {
    let command = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 1000 & wait; done";
    world.ok(&["run", "-d", "--name", name, "--", "sh", "-c", command]);
    // before that, TERM would end it otherwise
    let (mut logs, line) = follow(world, name);
    assert_eq!(line, "up\n");
    logs.kill().unwrap();
    logs.wait().unwrap();
}

/// `logs --follow`, and its first line.
fn follow(world: &World, name: &str) -> (Child, String) {
    let mut command = world.command(&["logs", "--follow", name]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut logs = command.spawn().unwrap();
    let mut line = String::new();
    // byte by byte: what comes later is for others to read
    let output = logs.stdout.as_mut().unwrap();
    BufReader::with_capacity(1, output).read_line(&mut line).unwrap();
    (logs, line)
}

/// One who waits by Docker's API.
struct Waiting(BufReader<UnixStream>);

impl Waiting {
    /// Returns once the agent has said that it will tell.
    fn begin(world: &World, path: &str) -> Self {
        let mut stream = UnixStream::connect(world.socket()).unwrap();
        write!(
            stream,
            "POST /v1.41/containers/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK\r\n", "{path}");
        Self(reader)
    }

    fn hears_nothing(&mut self) {
        self.0.get_ref().set_nonblocking(true).unwrap();
        let mut read = Vec::new();
        let error = self.0.read_to_end(&mut read).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(!String::from_utf8_lossy(&read).contains("StatusCode"), "{read:?}");
        self.0.get_ref().set_nonblocking(false).unwrap();
    }

    #[track_caller]
    fn hears(mut self, answer: &str) {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        assert!(text.contains(answer), "{text}");
    }
}

#[test]
fn wait_prints_how_containers_have_ended() {
    let world = World::new();
    run(&world, "web");
    let mut command = world.command(&["wait", "web", "web"]);
    let waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    assert!(world.ok(&["network", "ls"]).contains("bridge"), "nobody else waits");
    world.ok(&["stop", "web"]);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n7\n", "{output:?}");
    assert_eq!(world.ok(&["wait", "web"]), "7", "it has ended");
    let error = "Error response from daemon: No such container: nobody";
    world.refuses(&["wait", "nobody"], 1, error);
}

#[test]
fn each_condition_is_told_when_it_holds() {
    let world = World::new();
    run(&world, "web");
    let running = Waiting::begin(&world, "web/wait");
    let next = Waiting::begin(&world, "web/wait?condition=next-exit");
    let mut removed = Waiting::begin(&world, "web/wait?condition=removed");
    world.ok(&["stop", "web"]);
    running.hears(r#"{"StatusCode":7}"#);
    next.hears(r#"{"StatusCode":7}"#);
    Waiting::begin(&world, "web/wait?condition=not-running").hears(r#"{"StatusCode":7}"#);
    let mut next = Waiting::begin(&world, "web/wait?condition=next-exit");
    next.hears_nothing();
    world.ok(&["start", "web"]);
    world.ok(&["stop", "web"]);
    next.hears(r#"{"StatusCode":"#);
    removed.hears_nothing();
    world.ok(&["rm", "web"]);
    removed.hears(r#"{"StatusCode":"#);
}

#[test]
fn a_container_that_is_removed_as_it_ends_is_told_of() {
    let world = World::new();
    let command = "trap 'exit 7' TERM; echo up; while :; do sleep 1000 & wait; done";
    world.ok(&["run", "-d", "--rm", "--name", "web", "--", "sh", "-c", command]);
    assert_eq!(follow(&world, "web").1, "up\n");
    let removed = Waiting::begin(&world, "web/wait?condition=removed");
    let running = Waiting::begin(&world, "web/wait");
    world.ok(&["stop", "web"]);
    removed.hears(r#"{"StatusCode":7}"#);
    running.hears(r#"{"StatusCode":7}"#);
}

#[test]
fn whoever_waits_hears_that_the_agent_stops() {
    let world = World::new();
    run(&world, "web");
    let waiting = Waiting::begin(&world, "web/wait");
    world.stop_agent();
    waiting.hears("the agent is stopping");
    world.start_agent(&[]);
    let waiting = Waiting::begin(&world, "web/wait");
    world.ok(&["stop", "web"]);
    waiting.hears(r#"{"StatusCode":7}"#);
}

#[test]
fn logs_are_followed_to_the_last_line() {
    let world = World::new();
    run(&world, "web");
    let (logs, line) = follow(&world, "web");
    assert_eq!(line, "up\n");
    world.ok(&["stop", "web"]);
    let output = logs.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "bye\n");
}

#[test]
fn who_waits_for_many_containers_needs_no_thread_for_each() {
    const CONTAINERS: usize = 8;
    let world = World::new();
    let threads = || {
        fs::read_dir(format!("/proc/{}/task", world.agent_pid()))
            .unwrap()
            .count()
    };
    let before = threads();
    for number in 0..CONTAINERS {
        world.run(&format!("c{number}"), &[]);
    }
    let waiting: Vec<Waiting> = (0..CONTAINERS)
        .map(|number| Waiting::begin(&world, &format!("c{number}/wait")))
        .collect();
    let after = threads();
    assert!(after < before + CONTAINERS, "{before} threads, then {after}");
    // and an agent that finds them running does it alike
    drop(waiting);
    world.restart_agent();
    let after = threads();
    assert!(after < before + CONTAINERS, "{before} threads, then {after}");
}
