//! Whoever looks at the switch, however long that takes, holds up nobody who changes it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use netswitch::api::{Request, Response, Stats};
use tests::world::{Frozen, HOST, World, eventually};

/// A command in the background.
fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What is made and removed while something else is under way.
#[track_caller]
fn is_answered(world: &World) {
    world.ok(&["network", "create", "meanwhile"]);
    assert!(world.ok(&["network", "ls"]).contains("meanwhile"));
    world.run("busy", &["--net", "meanwhile"]);
    world.ok(&["rm", "-f", "busy"]);
    world.ok(&["network", "rm", "meanwhile"]);
}

#[test]
fn a_look_that_takes_long_holds_up_nobody_else() {
    let world = World::with_arguments(&["--metrics", "127.0.0.1:9417"]);
    world.run("one", &[]);
    let policy = world.directory.join("policy");
    fs::write(&policy, "").unwrap();
    let plan = ["policy", "plan", policy.to_str().unwrap()];
    let frozen = Frozen::thread(world.agent_pid(), "observer");
    let looks: [&[&str]; 4] = [&["stats"], &["flows"], &["flows", "--container", "one"], &plan];
    let mut looks = looks.map(|look| start(&world, look));
    let mut scrape = world.host.enter(|| TcpStream::connect("127.0.0.1:9417")).unwrap();
    write!(scrape, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    is_answered(&world);
    for look in &mut looks {
        assert!(look.try_wait().unwrap().is_none(), "nobody can have answered it");
    }
    drop(frozen);
    for mut look in looks {
        assert!(look.wait().unwrap().success());
    }
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains(r#"netswitch_flows{container="one",network="bridge"} 0"#),
        "{answer}"
    );
}

#[test]
fn a_program_that_hangs_holds_up_its_doctor_alone() {
    let world = World::without_agent();
    let (programs, pid) = (world.directory.join("programs"), world.directory.join("pid"));
    let pipe = world.directory.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(&programs).unwrap();
    let program = programs.join("iptables-save");
    let script = format!("#!/bin/sh\necho $$ > {}\nexec cat {}\n", pid.display(), pipe.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    world.start_agent_with(&[], &[("PATH", &path)]);
    // the agent kills it after a while: then another one shall hang
    eventually("an answer while the program hangs", || {
        let _ = fs::remove_file(&pid);
        let mut doctor = start(&world, &["doctor"]);
        let hanging = eventually("the program runs", || {
            let text = fs::read_to_string(&pid).unwrap_or_default();
            text.trim().parse::<u32>().map_err(|error| error.to_string())
        });
        is_answered(&world);
        let hangs = Path::new(&format!("/proc/{hanging}")).exists();
        assert!(doctor.wait().unwrap().success(), "what cannot be listed is no finding");
        hangs.then_some(()).ok_or_else(|| "it was killed before".to_owned())
    });
}

#[test]
fn what_is_asked_within_a_second_is_looked_at_once() {
    const SECOND: u64 = 1_000_000_000;
    let world = World::new();
    let ask = || -> Stats {
        match world.ask(&Request::Stats { since: None }) {
            Response::Stats(stats) => stats,
            other => panic!("{other:?}"),
        }
    };
    let first = ask();
    let second = ask();
    assert!(
        second == first || second.taken >= first.taken + SECOND,
        "{first:?}\n{second:?}"
    );
    // unless somebody wants to know what is now
    let third = world.stats();
    assert!(third.taken > second.taken, "{second:?}\n{third:?}");
}

#[test]
fn metrics_for_strangers_are_warned_of() {
    let mut world = World::without_agent();
    world.add_lan();
    let address = format!("{}:9417", HOST[0]);
    world.start_agent(&["--metrics", &address]);
    let log = world.log();
    assert!(log.contains("whoever reaches --metrics there"), "{log}");
    let lan = world.lan();
    let silent: Vec<TcpStream> = (0..64)
        .map(|_| lan.enter(|| TcpStream::connect(&address)).unwrap())
        .collect();
    is_answered(&world);
    drop(silent);
    let mut scrape = lan.enter(|| TcpStream::connect(&address)).unwrap();
    write!(scrape, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("netswitch_info"), "{answer}");
    drop(world);
    let world = World::with_arguments(&["--metrics", "127.0.0.1:9417"]);
    assert!(!world.log().contains("whoever reaches"), "{}", world.log());
}
