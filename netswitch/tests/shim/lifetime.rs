//! How containers and their shims end.

use std::{fs, io::Read as _, path::Path, thread};

use netswitch::shim::{protocol::ToShim, spawn};
use nix::{sys::signal::Signal, unistd::Pid};

use super::world::{World, block_on, ended, pipes, poll, raw, runs};

/// Waits for the end beside the test.
fn watch(world: &World) -> thread::JoinHandle<i32> {
    let (run_dir, id, ready) = (world.spec.run_dir.clone(), world.spec.id.clone(), world.ready().clone());
    thread::spawn(move || block_on(spawn::exit_code(&run_dir, id, ready)))
}

#[test]
fn a_killed_shim_takes_its_container_along() {
    let mut world = World::new(&["sleep", "60"]);
    drop(world.start());
    let ready = world.ready().clone();
    let exit_code = watch(&world);
    assert!(spawn::is_alive(ready.pid, ready.start_time));
    nix::sys::signal::kill(Pid::from_raw(ready.shim), Signal::SIGKILL).unwrap();
    assert_eq!(exit_code.join().unwrap(), 255);
    assert!(!spawn::is_alive(ready.pid, ready.start_time));
    assert!(!world.cgroup().exists());
}

#[test]
fn the_end_is_told_once_and_leaves_nothing() {
    let mut world = World::shell("read line");
    world.spec.process.interactive = true;
    drop(world.start());
    let ready = world.ready().clone();
    if Path::new("/sys/fs/cgroup/cgroup.procs").exists() || Path::new("/sys/fs/cgroup/unified").exists() {
        assert!(
            fs::read_to_string(world.cgroup().join("cgroup.procs"))
                .unwrap()
                .contains(&ready.pid.to_string())
        );
    }
    let exit_code = watch(&world);
    spawn::signal(&world.spec.run_dir, Signal::SIGKILL as i32).unwrap();
    assert_eq!(exit_code.join().unwrap(), 137);
    assert!(!world.cgroup().exists());
    poll("the shim ends", || !runs(ready.shim));
    assert!(!world.spec.run_dir.join("shim.sock").exists());
}

#[test]
fn a_start_without_its_agent_is_given_up() {
    let mut world = World::new(&["true"]);
    drop(world.spawn());
    let ready = world.ready().clone();
    poll("the shim ends", || !runs(ready.shim) && !runs(ready.pid));
    assert_eq!(spawn::written_exit_code(&world.spec.run_dir), Some(125));
    assert!(!world.cgroup().exists());
}

/// Takes the half minute that a start may take.
#[test]
fn a_start_that_nobody_finishes_is_given_up() {
    let (mut unasked, mut unattached) = (World::new(&["true"]), World::new(&["true"]));
    let (silent, asking) = (unasked.spawn(), unattached.spawn());
    asking.send(&ToShim::Start { after_attach: true }, &[]).unwrap();
    let (exit_code, message) = ended(&asking).unwrap_err();
    let reason = "start given up: no client attached: unknown";
    assert_eq!((exit_code, message.ends_with(reason)), (125, true), "{message}");
    for world in [&unasked, &unattached] {
        let ready = world.ready().clone();
        poll("the shim ends", || !runs(ready.shim) && !runs(ready.pid));
        assert_eq!(spawn::written_exit_code(&world.spec.run_dir), Some(125));
    }
    drop(silent);
}

#[test]
fn a_shim_with_a_slow_client_leaves_the_next_runs_socket() {
    let mut world = World::shell("head -c 1000000 /dev/zero");
    let connection = world.spawn();
    let slow = spawn::connect(&world.spec.run_dir).unwrap();
    let (pipes, _to, mut from) = pipes();
    slow.send(&ToShim::Attach, &raw(&pipes)).unwrap();
    drop(pipes);
    spawn::start(&connection, true).unwrap();
    assert_eq!(world.wait(), 0);
    let earlier = world.ready().clone();
    let _next = world.spawn();
    assert!(runs(earlier.shim));
    assert_eq!(from.read_to_end(&mut Vec::new()).unwrap(), 1_000_000);
    assert_eq!(ended(&slow), Ok(0));
    poll("the earlier shim ends", || !runs(earlier.shim));
    spawn::connect(&world.spec.run_dir).unwrap();
}

#[test]
fn killing_leaves_neither_container_nor_shim() {
    let mut running = World::new(&["sleep", "60"]);
    running.start();
    let mut unstarted = World::new(&["true"]);
    let _agent = unstarted.spawn();
    // one that waits for a client at its end
    let mut lingering = World::shell("head -c 1000000 /dev/zero");
    let connection = lingering.spawn();
    let slow = spawn::connect(&lingering.spec.run_dir).unwrap();
    let (pipes, _to, _from) = pipes();
    slow.send(&ToShim::Attach, &raw(&pipes)).unwrap();
    spawn::start(&connection, true).unwrap();
    assert_eq!(lingering.wait(), 0);
    for world in [&running, &unstarted, &lingering] {
        let ready = world.ready();
        assert!(runs(ready.shim));
        spawn::kill(&world.spec.run_dir);
        assert!(!runs(ready.shim) && !runs(ready.pid));
        fs::remove_dir_all(&world.spec.run_dir).unwrap();
    }
}
