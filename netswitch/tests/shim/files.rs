//! What a container sees of the host's files, and what it may write.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use netswitch::shim::{log, protocol::ToShim, spawn};
use nix::sys::{
    signal::Signal,
    stat::{Mode, SFlag, makedev, mknod},
};

use super::world::{World, poll};

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
fn other_users_of_the_host_reach_nothing() {
    let mut world = World::new(&["sleep", "60"]);
    // the agent's own mode does not matter
    fs::remove_file(world.spec.run_dir.join("hosts")).unwrap();
    fs::set_permissions(world.spec.run_dir.join("hostname"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&world.spec.run_dir, Permissions::from_mode(0o700)).unwrap();
    let agent = world.start();
    assert_eq!(world.exec_shell("su nobody -s /bin/cat /etc/hostname"), "web\n");
    agent
        .send(
            &ToShim::Signal {
                signal: Signal::SIGKILL as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(world.wait(), 137);
    for (name, expected) in [
        ("hosts", 0o644),
        ("hostname", 0o644),
        ("resolv.conf", 0o644),
        ("spec.json", 0o600),
        ("ready.json", 0o600),
        ("exit-code", 0o600),
        ("root", 0o700),
    ] {
        let mode = fs::metadata(world.spec.run_dir.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777;
        assert_eq!(mode, expected, "{name}: {mode:o}");
    }
}

#[test]
fn the_hosts_files_of_a_container_are_the_agents_to_write() {
    let mut world = World::new(&["sleep", "60"]);
    world.start();
    let refused =
        "for file in hosts resolv.conf hostname; do (echo x >> /etc/$file) 2> /dev/null || echo refused; done";
    assert_eq!(world.exec_shell(refused), "refused\n".repeat(3));
    fs::write(world.spec.run_dir.join("hosts"), "192.0.2.7\tlater\n").unwrap();
    assert_eq!(world.exec_shell("cat /etc/hosts"), "192.0.2.7\tlater\n");
}

#[test]
fn device_nodes_of_the_host_do_not_open() {
    let mut world = World::new(&["sleep", "60"]);
    // on the root file system, and in a folder given to the container
    let folder = PathBuf::from(format!("/var/lib/netswitch-test-{}", world.spec.id));
    fs::create_dir_all(&folder).unwrap();
    let made = mknod(
        &folder.join("zero"),
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o666),
        makedev(1, 5),
    );
    let path = folder.display();
    world.spec.binds = vec![format!("{path}:/given"), format!("{path}/zero:/dev/given")];
    world.start();
    let script = format!(
        "for node in {path}/zero /given/zero /dev/given /dev/zero; do head -c 1 $node 2> /dev/null | wc -c; done; \
         echo x > /dev/null"
    );
    let output = world.exec_shell(&script);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!((made, output.as_str()), (Ok(()), "0\n0\n0\n1\n"));
}

#[test]
fn a_container_stores_at_most_half_of_the_memory() {
    let mut world = World::new(&["sleep", "60"]);
    world.start();
    let sizes = world.exec_shell(
        "for path in / /tmp /run /dev /dev/shm; do stat -f -c '%b %S' $path; done; grep MemTotal /proc/meminfo",
    );
    let kibibytes = |index: usize| {
        let fields: Vec<&str> = sizes.lines().nth(index).unwrap().split(' ').collect();
        fields[0].parse::<u64>().unwrap() * fields[1].parse::<u64>().unwrap() / 1024
    };
    let memory: u64 = sizes
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    // one file system
    assert_eq!((kibibytes(1), kibibytes(2)), (kibibytes(0), kibibytes(0)));
    assert!(kibibytes(0).abs_diff(memory / 2) <= 4, "{sizes}");
    assert_eq!((kibibytes(3), kibibytes(4)), (64, 64 * 1024));
}

#[test]
fn a_node_that_a_container_makes_opens_nothing() {
    let mut world = World::new(&["sleep", "60"]);
    world.start();
    let script = "for folder in /dev /dev/shm /tmp /run /srv; do \
                  mknod $folder/made c 1 5 && head -c 1 $folder/made 2> /dev/null | wc -c; done";
    assert_eq!(world.exec_shell(script), "0\n".repeat(5));
}

/// What must be closed, and how a shell finds it closed.
#[test]
fn what_is_the_hosts_alone_is_masked() {
    let mark = format!("netswitch-test-{}", std::process::id());
    let secret = Path::new("/root").join(&mark);
    fs::write(&secret, "secret").unwrap();
    let mut world = World::new(&["sleep", "60"]);
    let given = world.folder.join("given");
    fs::create_dir(&given).unwrap();
    fs::write(given.join("file"), "mine\n").unwrap();
    world.spec.binds = vec![
        format!("{}:/root/given", given.display()),
        format!("{}:/given", secret.display()),
    ];
    world.start();
    let refused = |command: &str| {
        format!(
            "({command}) 2> /dev/null && echo 'done: {}'; ",
            command.replace('\'', "")
        )
    };
    let mut script = String::new();
    for path in ["/root", "/home", "/etc/ssh"] {
        if Path::new(path).is_dir() {
            script += &refused(&format!("echo x > {path}/x"));
            script += &refused(&format!("test -e {path}/{mark}"));
        }
    }
    script += "ls -A /home /etc/ssh 2> /dev/null | grep -v : | grep . ; ";
    for path in ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"] {
        if !Path::new(path).exists() {
            continue;
        }
        script += &refused(&format!("echo x >> {path}"));
        script += &refused(&format!("rm -f {path}"));
    }
    script += "awk -F: '$2 != \"*\" { print } END { print (NR > 3) }' /etc/shadow; cat /etc/shadow- /etc/gshadow- 2> /dev/null; ";
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/interrupts",
        "/proc/latency_stats",
        "/proc/sched_debug",
    ] {
        script += &format!("cat {path} 2> /dev/null; ");
    }
    for path in [
        "/proc/acpi",
        "/proc/asound",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ] {
        script += &format!("ls -A {path} 2> /dev/null; ");
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/x",
    ] {
        script += &refused(&format!("echo x > {path}"));
    }
    script += "cat /root/given/file /given; echo; su nobody -s /bin/sh -c 'id -un'";
    let output = world.exec_shell(&script);
    fs::remove_file(&secret).unwrap();
    assert_eq!(output, "1\nmine\nsecret\nnobody\n");
    assert!(!Path::new("/root/x").exists());
}

#[test]
fn the_group_reaches_the_socket_and_the_log_and_nothing_else() {
    let mut world = World::shell("echo said; sleep 60");
    let group = 4242;
    world.spec.group = Some(group);
    world.start();
    poll("it spoke", || world.output() == "said\n");
    let run_dir = &world.spec.run_dir;
    // as the agent makes it
    fs::set_permissions(run_dir, Permissions::from_mode(0o710)).unwrap();
    chown(run_dir, None, Some(group)).unwrap();
    let reaches = |group: u32| {
        let asked = |found: bool| if found { "yes" } else { "no" };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                become_user(group);
                let said = log::read(&world.spec.log, None).is_ok();
                let secrets = fs::read(run_dir.join("spec.json")).is_ok() || fs::read_dir(run_dir).is_ok();
                let output = spawn::connect(run_dir).map(|_| world.exec_shell("id -u"));
                (asked(said), asked(secrets), output.unwrap_or_default())
            });
            thread.join().unwrap()
        })
    };
    assert_eq!(reaches(group), ("yes", "no", "0\n".to_owned()));
    assert_eq!(reaches(group + 1), ("no", "no", String::new()));
}

/// The calling thread alone, as the kernel's own calls do it.
fn become_user(group: u32) {
    let nobody = 65534;
    // SAFETY: the list of groups lives through the call; the others pass no pointers.
    let failed = unsafe {
        libc::syscall(libc::SYS_setgroups, 1, &raw const group)
            | libc::syscall(libc::SYS_setresgid, nobody, nobody, nobody)
            | libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody)
    };
    assert_eq!(failed, 0);
}
