//! A container's start takes its time, and holds up nobody but who asks for that container.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tests::world::{Hung, World, eventually};

fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.command(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs `stuck`, of which a volume lies on a file system that never answers, in the background.
fn run_stuck(world: &World, options: &[&str]) -> (Hung, Child) {
    let folder = world.directory.join("hung");
    let hung = Hung::new(&folder);
    let bind = format!("{}/below:/data", folder.display());
    let run = [
        &["run", "-d", "--name", "stuck", "-v", &bind],
        options,
        &["--", "sleep", "100"],
    ]
    .concat();
    let child = start(world, &run);
    eventually("a start under way", || match run_dirs(world).len() {
        1 => Ok(()),
        count => Err(count.to_string()),
    });
    (hung, child)
}

/// Where containers that run, or are about to, have their files.
fn run_dirs(world: &World) -> Vec<PathBuf> {
    let folder = fs::read_dir(world.directory.join("run/containers"));
    folder
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[track_caller]
fn is_created(world: &World) {
    let said = world.ok(&["ps", "-a", "--format", "{{.Names}}: {{.Status}}"]);
    assert!(said.lines().any(|line| line == "stuck: Created"), "{said}");
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

#[test]
fn a_start_that_hangs_holds_up_nobody_else() {
    let world = World::new();
    let (hung, mut stuck) = run_stuck(&world, &[]);
    world.ok(&["network", "create", "meanwhile"]);
    world.run("other", &["--net", "meanwhile", "-p", "8080:80"]);
    world.ok(&["network", "connect", "bridge", "other"]);
    world.ok(&["rm", "-f", "other"]);
    world.ok(&["network", "rm", "meanwhile"]);
    // what is asked of the container itself waits for its start
    let mut waiting = [&["start", "stuck"][..], &["rm", "-f", "stuck"]].map(|arguments| start(&world, arguments));
    world.ok(&["network", "ls"]);
    assert!(is_running(&mut stuck) && waiting.iter_mut().all(is_running));
    drop(hung);
    assert!(!stuck.wait().unwrap().success());
    assert!(waiting[1].wait().unwrap().success());
    waiting[0].wait().unwrap();
    assert_eq!(world.ok(&["ps", "-aq"]), "");
    assert_eq!(run_dirs(&world), Vec::<PathBuf>::new());
}

#[test]
fn starts_of_one_container_at_once_are_one_start() {
    let world = World::new();
    world.run("one", &[]);
    world.ok(&["stop", "-t", "0", "one"]);
    let mut all: Vec<Child> = (0..8).map(|_| start(&world, &["start", "one"])).collect();
    for child in &mut all {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(run_dirs(&world).len(), 1);
    assert_eq!(
        world
            .ok(&["exec", "one", "sh", "-c", "ps --no-headers -C sleep | wc -l"])
            .trim(),
        "1"
    );
}

/// An agent that is killed while it starts a container leaves none of it.
#[test]
fn an_agent_that_dies_in_a_start_leaves_nothing() {
    let world = World::new();
    let (hung, mut stuck) = run_stuck(&world, &["-p", "8080:80"]);
    eventually("a shim", || shim_of(&world).ok_or_else(|| "none".to_owned()));
    world.kill_agent();
    assert!(!stuck.wait().unwrap().success());
    drop(hung);
    world.start_agent(&[]);
    eventually("the shim has ended", || shim_of(&world).map_or(Ok(()), Err));
    assert_eq!(run_dirs(&world), Vec::<PathBuf>::new());
    is_created(&world);
    // its port is free
    world.run("other", &["-p", "8080:80"]);
}

/// The process that makes a container's namespaces in this world.
fn shim_of(world: &World) -> Option<String> {
    let folder = world.directory.join("run/containers").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    processes.filter_map(|name| name.into_string().ok()).find(|process| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.starts_with("netswitch\0shim\0") && line.contains(&folder)
    })
}
