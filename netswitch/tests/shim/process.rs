//! Commands, their exit codes, and other processes beside them.

use netswitch::shim::{
    Error,
    protocol::{Exec, ToShim},
    spawn,
};
use nix::sys::signal::Signal;

use super::world::{World, ended, pipes, poll, raw, read_until, strings};

#[test]
fn exit_codes_are_the_commands() {
    for (script, exit_code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$; sleep 1; exit 5", 5)] {
        // signals of its own do not end a first process
        assert_eq!(World::shell(script).run().0, exit_code, "{script}");
    }
    let mut killed = World::new(&["sleep", "60"]);
    let connection = killed.start();
    connection
        .send(
            &ToShim::Signal {
                signal: Signal::SIGKILL as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(killed.wait(), 137);
    assert_eq!(spawn::written_exit_code(&killed.spec.run_dir), Some(137));
}

#[test]
fn commands_that_cannot_run_are_refused_in_dockers_words() {
    for (command, exit_code, end) in [
        (
            "nosuch",
            127,
            "exec: \"nosuch\": executable file not found in $PATH: unknown",
        ),
        ("/etc/passwd", 126, "exec: \"/etc/passwd\": permission denied: unknown"),
    ] {
        let mut world = World::new(&[command]);
        let connection = world.spawn();
        let Err(Error::Failed {
            exit_code: told,
            message,
        }) = spawn::start(&connection, false)
        else {
            panic!()
        };
        assert_eq!((told, message.ends_with(end)), (exit_code, true), "{message}");
        poll("exit code", || {
            spawn::written_exit_code(&world.spec.run_dir) == Some(exit_code)
        });
    }
}

#[test]
fn exec_takes_environment_user_and_folder() {
    let mut world = World::new(&["sleep", "60"]);
    world.spec.process.environment = strings(&["A=container", "B=container"]);
    world.spec.process.directory = Some("/made/here".to_owned());
    world.start();
    let script = "echo $A $B $HOME $HOSTNAME; id -un; id -gn; pwd; cat";
    let exec = |command: &[&str]| Exec {
        command: strings(command),
        ..Exec::default()
    };
    let full = Exec {
        environment: strings(&["A=exec"]),
        user: Some("daemon:tty".to_owned()),
        directory: Some("/usr".to_owned()),
        interactive: true,
        ..exec(&["sh", "-c", script])
    };
    let expected = "exec container /usr/sbin web\ndaemon\ntty\n/usr\ntyped\n";
    assert_eq!(world.exec(&full, b"typed\n"), (Ok(0), expected.to_owned()));
    assert_eq!(
        world.exec_shell("pwd; cat; ps -o pid= 1 | tr -d ' '"),
        "/made/here\n1\n"
    );
    assert_eq!(world.exec(&exec(&["sh", "-c", "exit 7"]), b"").0, Ok(7));
    assert_eq!(world.exec(&exec(&["sh", "-c", "kill -9 $$"]), b"").0, Ok(137));
    for (refused, end) in [
        (
            exec(&["nosuch"]),
            "exec: \"nosuch\": executable file not found in $PATH: unknown",
        ),
        (
            Exec {
                directory: Some("/no".to_owned()),
                ..exec(&["true"])
            },
            "chdir to cwd (\"/no\") failed: no such file or directory: unknown",
        ),
        (
            Exec {
                user: Some("no".to_owned()),
                ..exec(&["true"])
            },
            "unable to find user no: no matching entries in passwd file",
        ),
    ] {
        let (exit_code, message) = world.exec(&refused, b"").0.unwrap_err();
        assert_eq!((exit_code, message.ends_with(end)), (126, true), "{message}");
    }
}

#[test]
fn execs_end_with_their_container() {
    let mut world = World::new(&["sleep", "60"]);
    let agent = world.start();
    let exec = spawn::connect(&world.spec.run_dir).unwrap();
    let (pipes, _to, mut from) = pipes();
    let command = Exec {
        command: strings(&["sh", "-c", "echo up; sleep 60"]),
        ..Exec::default()
    };
    exec.send(&ToShim::Exec(command), &raw(&pipes)).unwrap();
    read_until(&mut from, "up\n");
    agent
        .send(
            &ToShim::Signal {
                signal: Signal::SIGKILL as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(world.wait(), 137);
    assert_eq!(ended(&exec), Ok(137));
}

#[test]
fn orphans_are_reaped_and_term_needs_a_handler() {
    let mut world = World::shell("trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done");
    let connection = world.start();
    poll("it is up", || world.output() == "up\n");
    connection
        .send(
            &ToShim::Signal {
                signal: Signal::SIGTERM as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(world.wait(), 9);
    let mut deaf = World::new(&["sleep", "60"]);
    let connection = deaf.start();
    connection
        .send(
            &ToShim::Signal {
                signal: Signal::SIGTERM as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(deaf.exec_shell("echo alive"), "alive\n");
}
