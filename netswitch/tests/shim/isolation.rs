//! What keeps a container to itself: names, devices, capabilities, namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use netswitch::shim::{
    protocol::{Exec, Limits, NetworkNamespace},
    spawn,
};

use super::world::{World, poll, strings};

#[test]
fn a_container_has_names_and_numbers_of_its_own() {
    let mut world = World::shell("hostname; echo $$; cat /etc/hosts /etc/hostname /etc/resolv.conf; ls /sys/class/net");
    let (exit_code, output) = world.run();
    let expected = "web\n1\n127.0.0.1\tlocalhost\n172.17.0.2\tweb\nweb\nnameserver 192.0.2.1\nlo\n";
    assert_eq!((exit_code, output.as_str()), (0, expected));
    assert_ne!(nix::unistd::gethostname().unwrap(), "web");
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
fn capabilities_are_dockers() {
    let status = "grep -E 'Cap|NoNewPrivs|SigIgn|SigBlk' /proc/self/status | tr -d '\\t\\n'; umask";
    let root = "SigBlk:0000000000000000SigIgn:0000000000000000CapInh:0000000000000000CapPrm:00000000a80425fb\
                CapEff:00000000a80425fbCapBnd:00000000a80425fbCapAmb:0000000000000000NoNewPrivs:00022\n";
    let mut world = World::shell(&format!("{status}; mount -t tmpfs x /mnt; sleep 60"));
    world.start();
    assert_eq!(world.exec_shell(status), root);
    assert_eq!(world.exec_shell("grep -c ' /mnt ' /proc/mounts || true"), "0\n");
    let nobody = Exec {
        user: Some("nobody".to_owned()),
        command: strings(&["sh", "-c", status]),
        ..Exec::default()
    };
    let expected = root
        .replace("Prm:00000000a80425fb", "Prm:0000000000000000")
        .replace("Eff:00000000a80425fb", "Eff:0000000000000000");
    assert_eq!(world.exec(&nobody, b""), (Ok(0), expected));
    assert_eq!(world.output(), root);
}

#[test]
fn network_namespaces_are_new_shared_or_the_hosts() {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let namespace = |world: &World| fs::read_link(format!("/proc/{}/ns/net", world.ready().pid)).unwrap();
    let mut first = World::new(&["sleep", "60"]);
    first.start();
    let (pid, start_time) = (first.ready().pid, first.ready().start_time);
    let process = |start_time| NetworkNamespace::Process { pid, start_time };
    for shared in [
        NetworkNamespace::Path(format!("/proc/{pid}/ns/net").into()),
        process(start_time),
    ] {
        let mut sharing = World::new(&["sleep", "60"]);
        sharing.spec.namespace = shared;
        sharing.start();
        assert_eq!(namespace(&sharing), namespace(&first));
    }
    let mut hosts = World::new(&["sleep", "60"]);
    hosts.spec.namespace = NetworkNamespace::Host;
    hosts.start();
    assert_ne!(namespace(&first), own);
    assert_eq!(namespace(&hosts), own);
    let executable = Path::new(env!("CARGO_BIN_EXE_netswitch"));
    let fifo = first.spec.run_dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (lost, expected) in [
        (
            NetworkNamespace::Path("/nonexistent/ns".into()),
            "enter network namespace /nonexistent/ns: No such file".to_owned(),
        ),
        (
            NetworkNamespace::Path(fifo.clone()),
            format!("enter network namespace {}: Invalid argument", fifo.display()),
        ),
        // the number is another process's now
        (
            process(start_time - 1),
            format!("enter the network namespace of process {pid}: No such process"),
        ),
    ] {
        let mut world = World::new(&["true"]);
        world.spec.namespace = lost;
        let error = spawn::spawn(executable, &world.spec).unwrap_err().to_string();
        assert!(error.contains(&expected), "{error}");
    }
}

/// A shell command that makes a system call and prints what it returned, else the error's number.
fn call(number: libc::c_long, arguments: &[i64]) -> String {
    let arguments: Vec<String> = (0..6)
        .map(|index| arguments.get(index).unwrap_or(&0).to_string())
        .collect();
    format!(
        "perl -e 'my $r = syscall({number}, {}); print $r < 0 ? 0 + $! : \"done\", \"\\n\"'; ",
        arguments.join(", ")
    )
}

#[test]
fn system_calls_that_dockers_profile_does_not_list_are_denied() {
    let new_user = i64::from(libc::CLONE_NEWUSER);
    let (get_keyring_id, session) = (0, -3);
    let socket = |family: i32| call(libc::SYS_socket, &[family.into(), libc::SOCK_DGRAM.into()]);
    let denied = [
        call(libc::SYS_keyctl, &[get_keyring_id, session]),
        call(libc::SYS_add_key, &[]),
        call(libc::SYS_bpf, &[]),
        call(libc::SYS_perf_event_open, &[]),
        call(libc::SYS_userfaultfd, &[]),
        call(libc::SYS_fsopen, &[]),
        call(libc::SYS_mount, &[]),
        call(libc::SYS_setns, &[]),
        call(libc::SYS_unshare, &[i64::from(libc::CLONE_FILES)]),
        call(libc::SYS_clone, &[new_user | i64::from(libc::SIGCHLD)]),
        call(libc::SYS_io_uring_setup, &[1]),
        call(libc::SYS_io_uring_enter, &[]),
        call(libc::SYS_personality, &[0x4_0000]),
        socket(libc::AF_VSOCK),
        socket(libc::AF_ALG),
    ];
    let not_yet_known = 467;
    let unknown = [
        call(libc::SYS_clone3, &[]),
        call(not_yet_known, &[]),
        call(0x4000_0000 + libc::SYS_getpid, &[]),
    ];
    let allowed = [
        call(libc::SYS_ptrace, &[0]),
        call(libc::SYS_personality, &[0xffff_ffff]),
        socket(libc::AF_INET),
        socket(libc::AF_UNIX),
    ];
    let script = [denied.concat(), unknown.concat(), allowed.concat()].concat();
    let expected = format!(
        "{}{}{}",
        format!("{}\n", libc::EPERM).repeat(denied.len()),
        format!("{}\n", libc::ENOSYS).repeat(unknown.len()),
        "done\n".repeat(allowed.len())
    );
    let mut world = World::shell(&format!("{script} sleep 60"));
    world.start();
    assert_eq!(world.exec_shell(&script), expected);
    poll("the first process made its calls", || world.output() == expected);
    let nobody = Exec {
        user: Some("nobody".to_owned()),
        command: strings(&["sh", "-c", &script]),
        ..Exec::default()
    };
    assert_eq!(world.exec(&nobody, b""), (Ok(0), expected));
}

#[test]
fn a_container_is_at_the_root_of_its_cgroups() {
    let mut world = World::new(&["sleep", "60"]);
    world.start();
    let seen = world.exec_shell("grep -h ^0:: /proc/self/cgroup /proc/1/cgroup");
    assert_eq!(seen, "0::/\n0::/\n");
    assert_ne!(
        fs::read_link("/proc/self/ns/cgroup").unwrap(),
        fs::read_link(format!("/proc/{}/ns/cgroup", world.ready().pid)).unwrap()
    );
}

#[test]
fn limits_are_the_containers_and_not_its_shims() {
    let mut world = World::new(&["sleep", "60"]);
    world.spec.limits = Limits {
        memory: Some(32 << 20),
        pids: Some(8),
    };
    world.start();
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let read = |controller: &str, old: &str, new: &str| {
        let own = format!("netswitch.slice/{}.scope", world.spec.id);
        let old = format!("/sys/fs/cgroup/{controller}/{own}/{old}");
        let path = if mountinfo.contains(&format!("/sys/fs/cgroup/{controller} ")) {
            PathBuf::from(old)
        } else {
            world.cgroup().join(new)
        };
        fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    assert_eq!(read("pids", "pids.max", "pids.max"), "8");
    assert_eq!(
        read("pids", "cgroup.procs", "cgroup.procs"),
        world.ready().pid.to_string()
    );
    let greedy = Exec {
        command: strings(&["perl", "-e", "my $x = 'x' x (256 << 20); print length $x"]),
        ..Exec::default()
    };
    assert_eq!(world.exec(&greedy, b""), (Ok(137), String::new()));
    // an exec counts too
    let forking = "$| = 1; my $made = 0; for (1 .. 64) { my $pid = fork; last unless defined $pid; \
                   if (!$pid) { sleep 60; exit } $made++ } print $made; kill 9, -getpgrp";
    let forking = Exec {
        command: strings(&["perl", "-e", forking]),
        ..Exec::default()
    };
    let made = world.exec(&forking, b"").1;
    assert!((1..8).contains(&made.parse::<u32>().unwrap()), "{made}");
    spawn::kill(&world.spec.run_dir);
    assert!(!world.cgroup().exists());
}
