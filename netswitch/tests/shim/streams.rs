//! Logs, attached clients and terminals.

use std::io::{Read as _, Write as _};

use netswitch::shim::{
    log::{self, Stream},
    protocol::{Exec, ToShim},
    spawn,
};

use super::world::{World, ended, pipes, poll, raw, read_until, strings};

#[test]
fn the_log_has_all_lines_in_order() {
    let mut world =
        World::shell("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; printf end");
    let connection = world.spawn();
    let follow = log::read(&world.spec.log, Some(spawn::connect(&world.spec.run_dir).unwrap())).unwrap();
    let following = std::thread::spawn(move || follow.map(|line| line.unwrap().log).collect::<String>());
    spawn::start(&connection, false).unwrap();
    assert_eq!(world.wait(), 0);
    let expected: String = (0..5000)
        .map(|number| format!("line {number}\n"))
        .chain(["end".to_owned()])
        .collect();
    assert_eq!(world.output(), expected);
    let followed = following.join().unwrap();
    assert_eq!(followed.len(), expected.len() + "oops\n".len());
    let errors: Vec<_> = log::read(&world.spec.log, None)
        .unwrap()
        .map(Result::unwrap)
        .filter(|line| line.stream == Stream::Stderr)
        .collect();
    assert_eq!(errors[0].log, "oops\n");
}

#[test]
fn an_attached_client_types_and_reads() {
    let mut world = World::new(&["cat"]);
    world.spec.process.interactive = true;
    let connection = world.spawn();
    let client = spawn::connect(&world.spec.run_dir).unwrap();
    let (pipes, mut to, mut from) = pipes();
    let starting = std::thread::spawn(move || spawn::start(&connection, true).unwrap());
    client.send(&ToShim::Attach, &raw(&pipes)).unwrap();
    drop(pipes);
    to.write_all(b"hello\n").unwrap();
    assert_eq!(read_until(&mut from, "\n"), "hello\n");
    starting.join().unwrap();
    drop(to);
    assert_eq!(ended(&client), Ok(0));
    assert_eq!(world.output(), "hello\n");
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_at_the_end() {
    let mut world = World::shell("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last");
    let connection = world.spawn();
    let client = spawn::connect(&world.spec.run_dir).unwrap();
    let (pipes, _to, mut from) = pipes();
    client.send(&ToShim::Attach, &raw(&pipes)).unwrap();
    drop(pipes);
    spawn::start(&connection, true).unwrap();
    assert_eq!(world.wait(), 0);
    assert!(world.output().ends_with("x\nlast\n"));
    // it still gets everything once it reads
    let mut all = String::new();
    from.read_to_string(&mut all).unwrap();
    assert_eq!(all.len(), 1_000_000 + "\nlast\n".len());
    assert_eq!(ended(&client), Ok(0));
}

#[test]
fn a_terminal_has_a_size_and_takes_keys() {
    let mut world = World::shell("tty; stty size; echo $TERM; read line; echo got $line; stty size; exit 4");
    world.spec.process.terminal = true;
    world.spec.process.interactive = true;
    let connection = world.spawn();
    let client = spawn::connect(&world.spec.run_dir).unwrap();
    let (pipes, mut to, mut from) = pipes();
    client.send(&ToShim::Resize { rows: 33, columns: 77 }, &[]).unwrap();
    client.send(&ToShim::Attach, &raw(&pipes)).unwrap();
    drop(pipes);
    spawn::start(&connection, true).unwrap();
    assert_eq!(read_until(&mut from, "xterm\r\n"), "/dev/pts/0\r\n33 77\r\nxterm\r\n");
    client.send(&ToShim::Resize { rows: 40, columns: 90 }, &[]).unwrap();
    poll("size", || world.exec_shell("stty size < /dev/pts/0") == "40 90\n");
    to.write_all(b"key\r").unwrap();
    assert_eq!(read_until(&mut from, "90\r\n"), "key\r\ngot key\r\n40 90\r\n");
    assert_eq!(ended(&client), Ok(4));
}

#[test]
fn an_exec_may_have_a_terminal_too() {
    let mut world = World::new(&["sleep", "60"]);
    world.start();
    let command = strings(&["sh", "-c", "tty; stty size; tty < /dev/tty"]);
    let exec = Exec {
        command,
        terminal: true,
        user: Some("nobody".to_owned()),
        ..Exec::default()
    };
    let (ended, output) = world.exec(&exec, b"");
    assert_eq!((ended, output.as_str()), (Ok(0), "/dev/pts/0\r\n0 0\r\n/dev/tty\r\n"));
}
