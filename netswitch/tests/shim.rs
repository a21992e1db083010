//! Containers of our own, started by the real shim; as root, each test in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use netswitch::shim::{
    Error,
    connection::Connection,
    log::{self, Stream},
    protocol::{Exec, FromShim, NetworkNamespace, Ready, Spec, ToShim},
    spawn,
};
use nix::{sys::signal::Signal, unistd::Pid};

const PATIENCE: Duration = Duration::from_secs(20);

/// One container and its folder; both go when it is dropped.
struct World {
    folder: PathBuf,
    spec: Spec,
    ready: Option<Ready>,
}

impl World {
    fn new(command: &[&str]) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "{:08x}{:04x}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(format!("netswitch-shim-{id}"));
        let run_dir = folder.join("run");
        fs::create_dir_all(&run_dir).unwrap();
        fs::write(run_dir.join("hosts"), "127.0.0.1\tlocalhost\n172.17.0.2\tweb\n").unwrap();
        fs::write(run_dir.join("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
        fs::write(run_dir.join("hostname"), "web\n").unwrap();
        let process = Exec {
            command: strings(command),
            ..Exec::default()
        };
        let spec = Spec {
            id,
            hostname: "web".to_owned(),
            process,
            namespace: NetworkNamespace::New,
            binds: Vec::new(),
            log: folder.join("log.json"),
            run_dir,
            hidden: Vec::new(),
        };
        World {
            folder,
            spec,
            ready: None,
        }
    }

    fn shell(script: &str) -> World {
        World::new(&["sh", "-c", script])
    }

    fn spawn(&mut self) -> Connection {
        let executable = Path::new(env!("CARGO_BIN_EXE_netswitch"));
        let (ready, connection) = spawn::spawn(executable, &self.spec).unwrap();
        self.ready = Some(ready);
        connection
    }

    fn ready(&self) -> &Ready {
        self.ready.as_ref().unwrap()
    }

    fn start(&mut self) -> Connection {
        let connection = self.spawn();
        assert_eq!(spawn::start(&connection, false).unwrap(), self.ready().pid);
        connection
    }

    fn wait(&self) -> i32 {
        spawn::wait_exit(&self.spec.run_dir).unwrap()
    }

    /// Runs to the end: the exit code and what was written to standard output.
    fn run(&mut self) -> (i32, String) {
        self.start();
        let exit_code = self.wait();
        (exit_code, self.output())
    }

    fn output(&self) -> String {
        let lines = log::read(&self.spec.log, None).unwrap().map(Result::unwrap);
        lines
            .filter(|line| line.stream == Stream::Stdout)
            .map(|line| line.log)
            .collect()
    }

    /// Another process; its exit code and output.
    fn exec(&self, exec: &Exec, input: &[u8]) -> (Result<i32, (i32, String)>, String) {
        let connection = spawn::connect(&self.spec.run_dir).unwrap();
        let (pipes, mut to, mut from) = pipes();
        connection.send(&ToShim::Exec(exec.clone()), &raw(&pipes)).unwrap();
        drop(pipes);
        to.write_all(input).unwrap();
        drop(to);
        let mut output = String::new();
        from.read_to_string(&mut output).unwrap();
        (ended(&connection), output)
    }

    fn exec_shell(&self, script: &str) -> String {
        let exec = Exec {
            command: strings(&["sh", "-c", script]),
            ..Exec::default()
        };
        let (ended, output) = self.exec(&exec, b"");
        assert_eq!(ended, Ok(0), "{script}: {output}");
        output
    }

    fn cgroup(&self) -> PathBuf {
        Path::new("/sys/fs/cgroup/unified/netswitch.slice").join(format!("{}.scope", self.spec.id))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(ready) = self.ready.take() {
            if spawn::is_alive(ready.pid, ready.start_time) {
                _ = nix::sys::signal::kill(Pid::from_raw(ready.pid), Signal::SIGKILL);
            }
            // it still writes there
            let until = Instant::now() + PATIENCE;
            while runs(ready.shim) && Instant::now() < until {
                std::thread::yield_now();
            }
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether there is such a process that is no zombie.
fn runs(pid: i32) -> bool {
    spawn::start_time(pid).is_some_and(|started| spawn::is_alive(pid, started))
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn ended(connection: &Connection) -> Result<i32, (i32, String)> {
    loop {
        match connection.receive().unwrap().expect("an answer").0 {
            FromShim::Started { .. } => {}
            FromShim::Exited { exit_code } => return Ok(exit_code),
            FromShim::Failed { exit_code, message } => return Err((exit_code, message)),
        }
    }
}

/// Standard streams for a process (output and errors are one), and our ends of them.
fn pipes() -> ([OwnedFd; 3], File, File) {
    let (input, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (from, output) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    ([input, output.try_clone().unwrap(), output], to.into(), from.into())
}

fn raw(pipes: &[OwnedFd; 3]) -> [RawFd; 3] {
    pipes.each_ref().map(AsRawFd::as_raw_fd)
}

fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

fn read_until(from: &mut File, text: &str) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&all).contains(text) {
        from.read_exact(&mut byte)
            .unwrap_or_else(|_| panic!("{text:?} in {:?}", String::from_utf8_lossy(&all)));
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

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
fn a_container_has_names_and_numbers_of_its_own() {
    let mut world = World::shell("hostname; echo $$; cat /etc/hosts /etc/hostname /etc/resolv.conf; ls /sys/class/net");
    let (exit_code, output) = world.run();
    let expected = "web\n1\n127.0.0.1\tlocalhost\n172.17.0.2\tweb\nweb\nnameserver 192.0.2.1\nlo\n";
    assert_eq!((exit_code, output.as_str()), (0, expected));
    assert_ne!(nix::unistd::gethostname().unwrap(), "web");
}

#[test]
fn nothing_written_in_a_container_reaches_the_host() {
    let mut world =
        World::shell("echo x > $MARK && mkdir -p $MARK.d/e && rm /etc/passwd && cat $MARK && ls /srv/$ID/there");
    let id = world.spec.id.clone();
    let shared = world.folder.join("shared");
    world.spec.process.environment = vec![format!("MARK=/etc/netswitch-{id}"), format!("ID={id}")];
    world.spec.binds = vec![format!("{}:/srv/{id}/there", shared.display())];
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "").unwrap();
    assert_eq!(world.run(), (0, "x\nfile\n".to_owned()));
    assert!(Path::new("/etc/passwd").exists());
    for path in [
        format!("/etc/netswitch-{id}"),
        format!("/etc/netswitch-{id}.d"),
        format!("/srv/{id}"),
    ] {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}

#[test]
fn binds_are_writable_read_only_or_made() {
    let mut world = World::shell("echo in > /a/b/file; echo no > /ro/x; cat /one; ls -d /made; echo $?");
    let folder = world.folder.clone();
    fs::create_dir(folder.join("rw")).unwrap();
    fs::write(folder.join("one"), "single\n").unwrap();
    let bind = |host: &str, rest: &str| format!("{}:{rest}", folder.join(host).display());
    world.spec.binds = vec![
        bind("rw", "/a/b"),
        bind("rw", "/ro:ro"),
        bind("one", "/one"),
        bind("new/dir", "/made"),
    ];
    assert_eq!(world.run(), (0, "single\n/made\n0\n".to_owned()));
    assert_eq!(fs::read_to_string(folder.join("rw/file")).unwrap(), "in\n");
    assert!(!folder.join("rw/x").exists());
    assert!(folder.join("new/dir").is_dir());
    let mut wrong = World::new(&["true"]);
    wrong.spec.binds = vec![format!("{}:/etc/passwd", folder.display())];
    let connection = wrong.spawn();
    let error = spawn::start(&connection, false).unwrap_err().to_string();
    assert!(
        error.contains("Are you trying to mount a directory onto a file"),
        "{error}"
    );
}

#[test]
fn the_host_is_out_of_sight() {
    let mut world = World::shell(
        "ls /run /sys/fs/bpf /sys/fs/cgroup; ls -A /tmp; ls -A $STATE; touch /proc/sys/kernel/hostname; \
         touch /sys/x; cat /proc/keys | wc -c; stat -c %a /tmp; ls /proc/self/fd | wc -l; \
         test $(readlink /proc/1/ns/pid) = $(readlink /proc/self/ns/pid) && ls /dev",
    );
    // a folder on the root file system, where an agent's state would be
    let state = PathBuf::from(format!("/var/lib/netswitch-test-{}", world.spec.id));
    fs::create_dir_all(state.join("secret")).unwrap();
    world.spec.hidden = vec![state.clone()];
    world.spec.process.environment = vec![format!("STATE={}", state.display())];
    let (exit_code, output) = world.run();
    fs::remove_dir_all(&state).unwrap();
    let devices = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    let expected = format!("/run:\nlock\n\n/sys/fs/bpf:\n\n/sys/fs/cgroup:\n0\n1777\n4\n{devices}");
    assert_eq!((exit_code, output), (0, expected));
}

#[test]
fn capabilities_are_dockers_less_mknod() {
    let status = "grep -E 'Cap|NoNewPrivs|SigIgn|SigBlk' /proc/self/status | tr -d '\\t\\n'; umask";
    let root = "SigBlk:0000000000000000SigIgn:0000000000000000CapInh:0000000000000000CapPrm:00000000a00425fb\
                CapEff:00000000a00425fbCapBnd:00000000a00425fbCapAmb:0000000000000000NoNewPrivs:00022\n";
    let mut world = World::shell(&format!("{status}; mknod /x b 7 0; mount -t tmpfs x /mnt; sleep 60"));
    world.start();
    assert_eq!(world.exec_shell(status), root);
    assert_eq!(
        world.exec_shell("test -e /x || grep -c ' /mnt ' /proc/mounts || true"),
        "0\n"
    );
    let nobody = Exec {
        user: Some("nobody".to_owned()),
        command: strings(&["sh", "-c", status]),
        ..Exec::default()
    };
    let expected = root
        .replace("Prm:00000000a00425fb", "Prm:0000000000000000")
        .replace("Eff:00000000a00425fb", "Eff:0000000000000000");
    assert_eq!(world.exec(&nobody, b""), (Ok(0), expected));
    assert_eq!(world.output(), root);
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

#[test]
fn a_killed_shim_takes_its_container_along() {
    let mut world = World::new(&["sleep", "60"]);
    drop(world.start());
    let ready = world.ready().clone();
    let (sender, exits) = mpsc::channel();
    let tell = move |id: &str, exit_code| sender.send((id.to_owned(), exit_code)).unwrap();
    spawn::watch_exit(world.spec.run_dir.clone(), world.spec.id.clone(), ready.clone(), tell).unwrap();
    assert!(spawn::is_alive(ready.pid, ready.start_time));
    nix::sys::signal::kill(Pid::from_raw(ready.shim), Signal::SIGKILL).unwrap();
    assert_eq!(exits.recv_timeout(PATIENCE).unwrap(), (world.spec.id.clone(), 255));
    assert!(!spawn::is_alive(ready.pid, ready.start_time));
    assert!(!world.cgroup().exists());
}

#[test]
fn the_end_is_told_once_and_leaves_nothing() {
    let mut world = World::shell("read line");
    world.spec.process.interactive = true;
    drop(world.start());
    let ready = world.ready().clone();
    if Path::new("/sys/fs/cgroup/unified").exists() {
        assert!(
            fs::read_to_string(world.cgroup().join("cgroup.procs"))
                .unwrap()
                .contains(&ready.pid.to_string())
        );
    }
    let (sender, exits) = mpsc::channel();
    let tell = move |id: &str, exit_code| sender.send((id.to_owned(), exit_code)).unwrap();
    let watching = spawn::watch_exit(world.spec.run_dir.clone(), world.spec.id.clone(), ready.clone(), tell).unwrap();
    spawn::signal(&world.spec.run_dir, Signal::SIGKILL as i32).unwrap();
    assert_eq!(exits.recv_timeout(PATIENCE).unwrap(), (world.spec.id.clone(), 137));
    watching.join().unwrap();
    assert!(!world.cgroup().exists());
    poll("the shim ends", || !runs(ready.shim));
    assert!(!world.spec.run_dir.join("shim.sock").exists());
}

#[test]
fn network_namespaces_are_new_shared_or_the_hosts() {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let namespace = |world: &World| fs::read_link(format!("/proc/{}/ns/net", world.ready().pid)).unwrap();
    let mut first = World::new(&["sleep", "60"]);
    first.start();
    let mut sharing = World::new(&["sleep", "60"]);
    sharing.spec.namespace = NetworkNamespace::Path(format!("/proc/{}/ns/net", first.ready().pid).into());
    sharing.start();
    let mut hosts = World::new(&["sleep", "60"]);
    hosts.spec.namespace = NetworkNamespace::Host;
    hosts.start();
    assert_ne!(namespace(&first), own);
    assert_eq!(namespace(&sharing), namespace(&first));
    assert_eq!(namespace(&hosts), own);
    let mut lost = World::new(&["true"]);
    lost.spec.namespace = NetworkNamespace::Path("/nonexistent/ns".into());
    let executable = Path::new(env!("CARGO_BIN_EXE_netswitch"));
    let error = spawn::spawn(executable, &lost.spec).unwrap_err().to_string();
    assert!(
        error.contains("enter network namespace /nonexistent/ns: No such file"),
        "{error}"
    );
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
